import type { Host } from '../host/host.ts';

/** Left by the packages of Debian and Ubuntu, and of SUSE, which say that they need a restart. */
const MARKS = ['/run/reboot-required', '/var/run/reboot-required', '/run/reboot-needed'];

/** What distributions ship to find out, with the code that means yes: yum-utils, dnf-utils, zypper(8). */
const TOOLS: readonly { argv: [string, ...string[]]; yes: number }[] = [
  { argv: ['needs-restarting', '-r'], yes: 1 },
  { argv: ['zypper', '--non-interactive', 'needs-rebooting'], yes: 102 },
];
/** They read the database of packages. */
const TOOL_MS = 60_000;

/** Why the node has to be restarted; undefined: it has not. `root`: what /run, /proc and /lib are below. */
export async function rebootNeeded(host: Host, root: string): Promise<string | undefined> {
  const { files } = host;
  for (const mark of MARKS) if ((await files.stat(root + mark)) !== undefined) return `there is ${mark}`;
  for (const { argv, yes } of TOOLS) {
    const { code, stderr } = await host.run(argv, { timeoutMs: TOOL_MS });
    // An error has the same code as a yes, and something to say.
    if (code === yes && stderr === '') return `${argv.join(' ')} says so`;
  }
  const release = (await files.read(`${root}/proc/sys/kernel/osrelease`))?.toString('utf8').trim() ?? '';
  const kernels = await files.list(`${root}/lib/modules`);
  if (kernels.length === 0 || kernels.includes(release)) return undefined;
  return `the kernel that runs, ${release}, was replaced`;
}
