import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseErrorText } from '../../shared/error-text.ts';
import { type ErrorReport, isSystemError, reportOf } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';
import type { Layout } from './layout.ts';
import { finishPlacing, forgetRelease, placeExecutable } from './place-executable.ts';
import { enableUnits, restartInTime, restartTimerInTime, type UnitTexts } from './units.ts';
import type { PendingUpgrade, UpgradeFiles } from './upgrade-files.ts';

/** The agent that runs on this node now. */
export interface PresentAgent {
  pid: number;
  /** Its executable, without symlinks. */
  executable: string;
  /** To its controller, and welcomed. */
  isConnected: boolean;
}

export interface GuardInput {
  files: UpgradeFiles;
  layout: Layout;
  host: Pick<Host, 'run' | 'files' | 'bootTimeMs'>;
  /** This guard's own release: the one to go back to. */
  version: string;
  executable: string;
  units: UnitTexts;
  /** Undefined: none runs, or it has not told anything of itself yet. */
  agent: () => Promise<PresentAgent | undefined>;
  sleep: (ms: number) => Promise<void>;
}

const INSTALL_MS = 180_000;
const LOOK_MS = 250;
/** systemd ends what does not stop within 30 s, twice, before it starts the other. */
const COME_BACK_MS = 90_000;
/** An agent that is connected must stay so for this long: one that falls over its first task shall not be kept. */
const SETTLE_MS = 3_000;
const JOURNAL_LINES = 20;

/**
 * Watches over an upgrade (ENGINE 4.8), as a process of the release of before: has the new one install itself, waits
 * until it has been welcomed by the controller, and puts the old one back if that does not come about in time. It needs
 * nobody: neither controller nor network, and no life of the agent. Done twice (after a crash, or a boot) it does what is
 * left. Returns how the upgrade ended; undefined: none was under way. Throws KkError when not even the old one can be put
 * back; whoever started it tries again.
 */
export async function guardUpgrade(input: GuardInput): Promise<'done' | ErrorReport | undefined> {
  const { files } = input;
  const pending = await files.pending();
  if (pending === undefined) return undefined;
  const { id, executable } = pending;
  const error = pending.returning ?? (await installNew(input, pending)) ?? (await watch(input, pending));
  if (error === undefined) {
    // Said first: as long as it is not, another guard finds the executable and judges again.
    await files.end({ id });
    await input.host.files.remove(dirname(executable));
    return 'done';
  }
  // A disk without room must not keep the old agent away; then nobody shall install the refused one again, either.
  await files.begin({ ...pending, returning: error }).catch(() => input.host.files.remove(dirname(executable)));
  await putBack(input, pending);
  await input.host.files.remove(dirname(executable));
  await files.end({ id, error }).catch((thrown: unknown) => {
    if (!isNoRoom(thrown)) throw thrown;
    return files.cancel();
  });
  return error;
}

/** The new agent places itself and writes its own units, and is restarted: nobody knows better what it needs. */
async function installNew(
  { host }: GuardInput,
  { executable, name }: PendingUpgrade,
): Promise<ErrorReport | undefined> {
  try {
    const { code, stdout, stderr } = await host.run([executable, 'install', '--name', name], { timeoutMs: INSTALL_MS });
    if (code === 0) return undefined;
    const said = parseErrorText(stderr);
    if (said !== undefined) return said;
    return {
      code: 'UPGRADE_NOT_INSTALLED',
      message: `The new agent could not install itself: it ended with ${code}.`,
      evidence: `${stderr}${stdout}`.trim().slice(-2000),
      remedy: 'The agent of before is back. Look at what was seen, and package the agent anew.',
    };
  } catch (thrown) {
    return reportOf(thrown);
  }
}

/** Undefined: the new agent was welcomed, and still is. */
async function watch(input: GuardInput, { to, limitMs }: PendingUpgrade): Promise<ErrorReport | undefined> {
  const { host, layout, sleep } = input;
  const wanted = await runsFrom(layout, to);
  const isThere = async (): Promise<number | undefined> => {
    const agent = await input.agent();
    return agent?.isConnected && agent.executable === wanted ? agent.pid : undefined;
  };
  const end = host.bootTimeMs() + limitMs;
  while (host.bootTimeMs() < end) {
    const pid = await isThere();
    if (pid !== undefined) {
      await sleep(SETTLE_MS);
      if ((await isThere()) === pid) return undefined;
    }
    await sleep(LOOK_MS);
  }
  return {
    code: 'UPGRADE_NOT_CONNECTED',
    message: `The new agent (${to}) did not come to work within ${limitMs / 1000} s: the controller has not welcomed it.`,
    evidence: await lastWords(host),
    remedy: 'The agent of before is back. Look at what the new one said, and at its way to the controller.',
  };
}

/** The executable of a release as processes name it, where a folder on the way is a link. */
async function runsFrom({ library }: Layout, release: string): Promise<string> {
  return `${await realpath(library)}/${release}/kk-agent`;
}

function isNoRoom(thrown: unknown): boolean {
  return isSystemError(thrown, 'ENOSPC') || isSystemError(thrown, 'EDQUOT');
}

async function lastWords(host: Pick<Host, 'run'>): Promise<string> {
  const argv: [string, ...string[]] = [
    'journalctl',
    '-u',
    'kk-agent',
    '-n',
    String(JOURNAL_LINES),
    '-o',
    'cat',
    '--no-pager',
  ];
  const { stdout } = await host.run(argv, { timeoutMs: 10_000 }).catch(() => ({ stdout: '' }));
  return stdout.trim().slice(-4000);
}

async function putBack(input: GuardInput, { to }: PendingUpgrade): Promise<void> {
  const { layout, host, executable, version, units } = input;
  const { release } = await placeExecutable(executable, version, layout.library);
  const before = (await input.agent())?.pid;
  try {
    // Always: the agent that runs may be at rest, or be the new one.
    await enableUnits(host, layout.units, units, true);
  } catch (thrown) {
    // systemd is slow, or hangs in something else (a generator, a unit that does not stop): it does what it was asked
    // all the same, later. Asking again and again would end the agent that came back by the time.
    await restartInTime(host).catch(() => {});
    if (!(await cameBack(input, release, before))) throw thrown;
    // What was not come to, as far as systemd does it: the old agent is at work, and nothing may be undone by this.
    await enableUnits(host, layout.units, units, false).catch(() => {});
    await restartTimerInTime(host).catch(() => {});
  }
  await finishPlacing(layout.library);
  await forgetRelease(layout.library, to);
}

/** Whether by and by an agent of that release runs, as another process than `before`. */
async function cameBack(input: GuardInput, release: string, before: number | undefined): Promise<boolean> {
  const { layout, host, sleep } = input;
  const wanted = await runsFrom(layout, release);
  const end = host.bootTimeMs() + COME_BACK_MS;
  while (host.bootTimeMs() < end) {
    const now = await input.agent();
    if (now?.executable === wanted && now.pid !== before) return true;
    await sleep(LOOK_MS);
  }
  return false;
}
