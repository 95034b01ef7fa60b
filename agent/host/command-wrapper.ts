import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { crash } from '../../shared/crash.ts';
import { KkError } from '../../shared/errors.ts';
import { claim, replace } from '../durable/files.ts';
import { openCapture, openMerged } from './command-capture.ts';
import { enterCgroup, leaveCgroup } from './command-cgroup.ts';
import { type Family, familyLives, signalFamily } from './command-family.ts';
import {
  CANCEL_SIGNAL,
  type Cancel,
  claimCommand,
  LATER,
  NAMES,
  readJson,
  type Status,
  type WrapperSpec,
} from './command-folder.ts';
import { toldFolder } from './command-later.ts';
import { begin, type Program } from './command-program.ts';
import { whyUnfit } from './fitness.ts';
import { startTicks } from './process-identity.ts';

/** After the main process ended, what it left in its pipes is read for at most so long. */
const DRAIN_MS = 2000;
/** How often we look whether a group that was told to end has ended. */
const GROUP_POLL_MS = 50;
/** A killed group that is still there after this hangs in the kernel; we do not hang with it. */
const KILLED_MS = 2000;
const STATUS_RETRY_MS = 1000;
/** setTimeout takes no more (it would fire at once). */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

type Cause = 'timedOut' | 'cancelled' | 'interrupted';

/**
 * Runs one command for the agent and outlives it (ENGINE 3.1). `where` is its folder, or {@link LATER}. It holds its spec and
 * gets `started` before the command begins, its output as it comes, and `status.json` when it ended. Ends this process.
 */
export async function runWrapper(where: string): Promise<never> {
  const self = { pid: process.pid, startTicks: startTicks(process.pid) ?? 0 };
  const cgroup = enterCgroup(`kk-command-${self.pid}-${self.startTicks}`);
  const leave = (): never => {
    leaveCgroup(cgroup);
    process.exit(0);
  };
  const folder = where === LATER ? await toldFolder() : where;
  if (folder === undefined) return leave();
  // First of all: whoever sees `started` may signal us.
  let early: Cause | undefined;
  let end: (cause: Cause) => void = (cause) => {
    early ??= cause;
  };
  process.on('SIGHUP', () => {});
  process.on('SIGINT', () => {});
  process.on(CANCEL_SIGNAL, () => end('cancelled'));
  process.on('SIGTERM', () => end('interrupted'));
  process.umask(0o022);

  const merged = openMerged(folder);
  const stdout = openCapture(folder, 'stdout', merged);
  const stderr = openCapture(folder, 'stderr', merged);
  const spec = readJson<WrapperSpec>(folder, NAMES.spec);
  if (spec === undefined) return leave();
  if (!(await claimCommand(folder, { by: 'wrapper', bootId: ownBootId(), ...self }))) return leave();
  crash.at('agent.wrapper.claimed');
  rmSync(join(folder, NAMES.spec), { force: true });

  const begun = performance.now();
  const status = { timedOut: false, cancelled: false, interrupted: false, lingering: false };
  const finish = async (how: Pick<Status, 'code' | 'signal' | 'error'>): Promise<never> => {
    const durationMs = Math.round(performance.now() - begun);
    crash.at('agent.wrapper.ended');
    const last: Status = { ...how, ...status, durationMs, stdout: await stdout.end(), stderr: await stderr.end() };
    // On a full disk we wait for room: a command whose end is not known cannot be judged.
    // Without its folder nobody will ask: the run was forgotten.
    while (!(await writeStatus(folder, last)) && existsSync(folder)) await later(STATUS_RETRY_MS);
    return leave();
  };

  const unfit = whyUnfit(spec);
  if (unfit !== undefined) return finish({ error: unfit });
  let program: Program;
  try {
    program = await begin(spec, { stdout, stderr });
  } catch (thrown) {
    return finish({ error: whyNotBegun(thrown) });
  }
  const family: Family = { pid: program.pid, ...(cgroup === undefined ? {} : { cgroup }) };
  crash.at('agent.wrapper.running');
  const noted = noteChild(folder, family);

  let graceMs: number | undefined;
  end = (cause) => {
    if (graceMs !== undefined) return;
    status[cause] = true;
    graceMs = (cause === 'cancelled' && readJson<Cancel>(folder, NAMES.cancel)?.graceMs) || spec.graceMs;
    signalFamily(family, 'SIGTERM');
    setTimeout(() => signalFamily(family, 'SIGKILL'), Math.min(graceMs, LONGEST_TIMER_MS));
  };
  if (early !== undefined) end(early);
  const timeout =
    spec.timeoutMs > 0 ? setTimeout(() => end('timedOut'), Math.min(spec.timeoutMs, LONGEST_TIMER_MS)) : undefined;

  const how = await program.exited;
  clearTimeout(timeout);
  await noted;
  if (graceMs !== undefined) await familyGone(family, graceMs);
  status.lingering = !(await Promise.race([program.closed, later(DRAIN_MS)]));
  return finish(how);
}

function ownBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function whyNotBegun(thrown: unknown): NonNullable<Status['error']> {
  if (thrown instanceof KkError) return { code: 'no-terminal', message: thrown.report.evidence ?? thrown.message };
  return { code: 'spawn', message: (thrown as Error).message };
}

function later(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms));
}

/** Once the grace is over, what was started since is killed too. */
async function familyGone(family: Family, graceMs: number): Promise<void> {
  const graceEnds = performance.now() + graceMs;
  while (familyLives(family) && performance.now() < graceEnds + KILLED_MS) {
    await later(GROUP_POLL_MS);
    if (performance.now() > graceEnds) signalFamily(family, 'SIGKILL');
  }
}

/** So that a command whose wrapper was killed can be ended before its step is tried again. */
async function noteChild(folder: string, family: Family): Promise<void> {
  const child = JSON.stringify({ ...family, startTicks: startTicks(family.pid) });
  // A full disk must not stop what has begun.
  await claim(join(folder, NAMES.child), child, 'agent.command.child').catch(() => {});
}

/** false: it could not be written. */
function writeStatus(folder: string, status: Status): Promise<boolean> {
  const path = join(folder, NAMES.status);
  // A name of our own: a random one loads node:crypto, a tenth of what the wrapper takes to start.
  return replace(path, JSON.stringify(status), 'agent.command.status', { temporary: `${path}.${process.pid}` }).then(
    () => true,
    () => false,
  );
}
