import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';

type Port = NonNullable<Facts['listening']>[number];

const LIMIT = 1000;

/** What ss(8) shows: it asks the kernel once, where a search through all of /proc would take seconds. */
export async function gatherListening(host: Host): Promise<Port[]> {
  const { code, stdout, stderr } = await host.run(['ss', '-n', '-l', '-t', '-u', '-p'], {
    timeoutMs: 5_000,
    env: { LC_ALL: 'C' },
  });
  if (code !== 0) throw new Error(`ss ended with ${code}: ${stderr.trim()}`);
  return parseListening(stdout).slice(0, LIMIT);
}

/** Pure: protocol, state, two queues, local address, peer, and `users:(("sshd",pid=1,fd=3))`. */
export function parseListening(text: string): Port[] {
  return text.split('\n').flatMap((line) => {
    const [protocol, state, , , local = '', , users = ''] = line.split(/\s+/);
    if ((protocol !== 'tcp' && protocol !== 'udp') || (state !== 'LISTEN' && state !== 'UNCONN')) return [];
    const at = local.lastIndexOf(':');
    const port = Number(local.slice(at + 1));
    if (!(port > 0)) return [];
    const [, process, pid] = /\(\("([^"]*)",pid=(\d+)/.exec(users) ?? [];
    const address = local.slice(0, at).replace(/^\[(.*?)\](.*)$/, '$1$2');
    return [
      {
        protocol,
        // Of both families at once.
        address: address === '*' ? '::' : address,
        port,
        ...(process === undefined ? {} : { process, pid: Number(pid) }),
      },
    ];
  });
}
