import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { pause } from './pause.ts';
import { rebootNeeded } from './reboot-needed.ts';

type Input = ActionInput<'reboot'>;
type Output = ActionOutput<'reboot'>;

/** Services have ended by then, and the agent with them (systemd gives each 90 s, and a few of them more). */
const DOWN_MS = 10 * 60_000;
const TEST_MS = 60_000;
const TEST_EVERY_MS = 5000;

/** Tried one after the other: an older systemctl knows no message. */
function orders(reason: string): [string, ...string[]][] {
  return [
    ['systemctl', 'reboot', `--message=${reason}`],
    ['systemctl', 'reboot'],
    ['shutdown', '-r', 'now', reason],
  ];
}

/** Throws REBOOT_REFUSED. */
async function order(reason: string, { host, signal }: ActionContext): Promise<void> {
  const said: string[] = [];
  for (const argv of orders(reason)) {
    const { code, stderr } = await host.run(argv, { signal });
    if (code === 0) return;
    said.push(`${argv[0]}: ${stderr.trim()}`);
  }
  throw new KkError({
    code: 'REBOOT_REFUSED',
    message: 'The node refuses to restart.',
    remedy:
      'See who holds it (systemd-inhibit --list) and whether the agent is root; a container is restarted by its host.',
    evidence: said.join('\n').slice(-2000),
  });
}

/** What needs the node can go on once it holds. Throws REBOOT_TEST_FAILED. */
async function holdsAgain({ test, timeout_seconds }: Input, { host, signal }: ActionContext): Promise<void> {
  if (test === undefined) return;
  const until = host.bootTimeMs() + timeout_seconds * 1000;
  for (;;) {
    const { code, stdout, stderr } = await host.run(['/bin/sh', '-c', test], { timeoutMs: TEST_MS, signal });
    if (code === 0) return;
    if (host.bootTimeMs() >= until) {
      throw new KkError({
        code: 'REBOOT_TEST_FAILED',
        message: `The node is back, but its test did not succeed within ${timeout_seconds} s: it exited with ${code}.`,
        remedy:
          'See on the node what did not start (systemctl --failed), or raise timeout_seconds if it only needs longer.',
        evidence: `${stdout}${stderr}`.trim().slice(-2000),
      });
    }
    await pause(TEST_EVERY_MS, signal);
  }
}

/**
 * The step is begun, on disk, before the node goes down; the agent of the next boot finds it and ends it (ENGINE 3.3).
 * `root`: what /proc, /run and /lib are below.
 */
export function rebootExecutor(root: string): ActionExecutor<'reboot'> {
  /** Has the node been down since this attempt began? */
  async function isBack({ host, recovering }: ActionContext): Promise<boolean> {
    const boot = (await host.files.read(`${root}/proc/sys/kernel/random/boot_id`))?.toString('utf8').trim();
    return recovering !== undefined && boot !== recovering.bootId;
  }

  const whyNeeded = async ({ when_needed, reason }: Input, { host }: ActionContext): Promise<string | undefined> =>
    when_needed ? rebootNeeded(host, root) : reason;

  return {
    async inspect(input, context) {
      if (await isBack(context)) return { already: false };
      const why = await whyNeeded(input, context);
      if (why === undefined) return { already: true, output: { rebooted: false, why: 'it is not needed' } };
      return { already: false, foreseen: { rebooted: true, why } };
    },

    async apply(input, context) {
      const { signal } = context;
      if (await isBack(context)) {
        await holdsAgain(input, context);
        const output: Output = { rebooted: true, why: input.reason };
        return { output };
      }
      const why = (await whyNeeded(input, context)) ?? input.reason;
      context.starting();
      context.log('stdout', 0, Buffer.from(`Restarting: ${why}.\n`));
      await order(input.reason, context);
      // This life of the agent ends here.
      await pause(DOWN_MS, signal, false);
      throw new KkError({
        code: 'REBOOT_NOT_DOWN',
        message: `The node was told to restart and is still up after ${DOWN_MS / 60_000} min.`,
        remedy: 'See on the node what does not end (systemctl list-jobs), and restart it by hand.',
      });
    },
  };
}
