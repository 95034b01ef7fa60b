/** Firewalls that keep a list of ports, each by its own program. */
import { KkError } from '../../shared/errors.ts';
import type { Host, RunOutput } from '../host/host.ts';

/** Is a port let through now, and after a boot? */
export interface PortState {
  now: boolean;
  kept: boolean;
}

export interface PortFirewall {
  readonly kind: 'firewalld' | 'ufw';
  isActive(): Promise<boolean>;
  /** Where ports are opened when a task does not say where; empty: it has no places. */
  place(): Promise<string>;
  look(place: string, ports: readonly string[]): Promise<Map<string, PortState>>;
  set(place: string, port: string, state: PortState, wanted: PortState, signal: AbortSignal): Promise<void>;
}

type Argv = readonly [string, ...string[]];

function failed(argv: Argv, { code, stdout, stderr }: RunOutput): KkError {
  return new KkError({
    code: 'FIREWALL_FAILED',
    message: `${argv.join(' ')} ended with ${code}.`,
    remedy: 'See the evidence, and how the firewall is on the node (firewall-cmd --state, ufw status verbose).',
    evidence: `${stderr}\n${stdout}`.trim().slice(-2000),
  });
}

async function ask(host: Host, argv: Argv, signal?: AbortSignal): Promise<string> {
  const output = await host.run(argv, {
    env: { LC_ALL: 'C' },
    timeoutMs: 60_000,
    ...(signal === undefined ? {} : { signal }),
  });
  if (output.code !== 0) throw failed(argv, output);
  return output.stdout;
}

/** Is a port, or a range, within another one? firewalld makes one range of ports that lie side by side. Pure. */
export function covers(range: string, port: string): boolean {
  const parsed = (text: string): [number, number, string | undefined] => {
    const [numbers = '', protocol] = text.split('/');
    const [from = 0, to = from] = numbers.split('-').map(Number);
    return [from, to, protocol];
  };
  const [[low, high, protocol], [from, to, wanted]] = [parsed(range), parsed(port)];
  return protocol === wanted && low <= from && to <= high;
}

/** firewall-cmd(1): what counts now and what counts after a boot or reload are two lists. */
export function firewalld(host: Host): PortFirewall {
  return {
    kind: 'firewalld',
    isActive: async () => (await host.run(['firewall-cmd', '--state'], { env: { LC_ALL: 'C' } })).code === 0,
    place: async () => (await ask(host, ['firewall-cmd', '--get-default-zone'])).trim(),
    async look(zone, ports) {
      const list = async (...more: string[]): Promise<string[]> =>
        (await ask(host, ['firewall-cmd', ...more, `--zone=${zone}`, '--list-ports'])).trim().split(/\s+/);
      const [now, kept] = [await list(), await list('--permanent')];
      const isIn = (all: readonly string[], port: string): boolean => all.some((one) => covers(one, port));
      return new Map(ports.map((port) => [port, { now: isIn(now, port), kept: isIn(kept, port) }]));
    },
    async set(zone, port, state, wanted, signal) {
      const change = (verb: string, ...more: string[]): Promise<string> =>
        ask(host, ['firewall-cmd', ...more, `--zone=${zone}`, `--${verb}-port=${port}`], signal);
      if (wanted.kept !== state.kept) await change(wanted.kept ? 'add' : 'remove', '--permanent');
      if (wanted.now !== state.now) await change(wanted.now ? 'add' : 'remove');
    },
  };
}

/** ufw(8): one list, for both IP families. It writes ranges with a colon. */
export function ufw(host: Host): PortFirewall {
  const rule = (port: string): string => port.replace('-', ':');
  return {
    kind: 'ufw',
    async isActive() {
      const { code, stdout } = await host.run(['ufw', 'status'], { env: { LC_ALL: 'C' } });
      return code === 0 && /^Status: active/m.test(stdout);
    },
    place: async () => '',
    async look(_, ports) {
      const rules = (await ask(host, ['ufw', 'show', 'added'])).split('\n').map((line) => line.trim());
      return new Map(
        ports.map((port) => {
          const wanted = `ufw allow ${rule(port)}`;
          const isOpen = rules.some((one) => one === wanted || one.startsWith(`${wanted} comment `));
          return [port, { now: isOpen, kept: isOpen }];
        }),
      );
    },
    async set(_, port, _state, wanted, signal) {
      await ask(host, wanted.kept ? ['ufw', 'allow', rule(port)] : ['ufw', 'delete', 'allow', rule(port)], signal);
    },
  };
}

/** The one that is active; undefined: none of them. */
export async function activeFirewall(host: Host): Promise<PortFirewall | undefined> {
  for (const one of [firewalld(host), ufw(host)]) if (await one.isActive()) return one;
  return undefined;
}
