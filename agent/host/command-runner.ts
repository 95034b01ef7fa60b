import { type ChildProcess, spawn } from 'node:child_process';
import { watch } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crash } from '../../shared/crash.ts';
import { claim, makePrivateFolder } from '../durable/files.ts';
import { withoutMasters } from '../pty/masters.ts';
import { terminalOwnerOf } from './accounts.ts';
import { bootId } from './boot-id.ts';
import { Cancelled } from './cancelled.ts';
import { interrupted, unfit, wrapperFailed } from './command-errors.ts';
import { type Family, signalFamily } from './command-family.ts';
import {
  CANCEL_SIGNAL,
  claimCommand,
  NAMES,
  readJson,
  type Started,
  type Status,
  type WrapperSpec,
} from './command-folder.ts';
import { capturedOutput, followOutput, type OnOutput, outputIsWhole } from './command-output.ts';
import type { Standby } from './command-standby.ts';
import type { CommandFound, CommandResult, CommandRunner, CommandSpec } from './host.ts';
import { lives, type ProcessIdentity } from './process-identity.ts';
import { launchAs } from './run-as.ts';

/** How often we look at a wrapper that is not our child, and at a folder whose changes nobody tells us. */
const POLL_MS = 500;

type Options = { onOutput?: OnOutput; signal?: AbortSignal };

/** Something that can be waited for and rung; a ring while nobody waits is kept. */
function bell(): { ring(): void; wait(ms: number): Promise<void> } {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    async wait(ms) {
      if (!rung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      rung = false;
    },
  };
}

type Bell = ReturnType<typeof bell>;

/** What a command's end and its output are read from; the other files of its folder tell nothing while it runs. */
const TOLD: readonly string[] = [NAMES.status, 'stdout', 'stderr'];

function watchFolder(folder: string, ring: () => void): () => void {
  try {
    const watcher = watch(folder, (_, name) => {
      if (name === null || TOLD.includes(name)) ring();
    }).on('error', () => {});
    return () => watcher.close();
  } catch {
    // No inotify watch left: the poll does it alone.
    return () => {};
  }
}

async function resultOf(folder: string, status: Status): Promise<CommandResult> {
  if (status.error !== undefined) throw unfit(status.error);
  if (status.interrupted) throw interrupted('its node went down while it ran');
  return {
    ...(status.code === undefined ? {} : { code: status.code }),
    ...(status.signal === undefined ? {} : { signal: status.signal }),
    timedOut: status.timedOut,
    cancelled: status.cancelled,
    durationMs: status.durationMs,
    stdout: await capturedOutput(folder, 'stdout', status.stdout),
    stderr: await capturedOutput(folder, 'stderr', status.stderr),
  };
}

/** Waits for the status of a wrapper; undefined: it died without one. */
async function follow(
  folder: string,
  wrapperLives: () => boolean,
  door: Bell,
  onOutput: OnOutput | undefined,
): Promise<Status | undefined> {
  const output = followOutput(folder, onOutput);
  const unwatch = watchFolder(folder, door.ring);
  try {
    for (;;) {
      // In this order: a wrapper writes its output, then its status, then ends.
      const alive = wrapperLives();
      const status = readJson<Status>(folder, NAMES.status);
      await output.pump();
      if (status !== undefined || !alive) return status;
      await door.wait(POLL_MS);
    }
  } finally {
    unwatch();
    await output.close();
  }
}

async function withCancel<T>(
  folder: string,
  signal: AbortSignal | undefined,
  pid: number,
  alive: () => boolean,
  work: Promise<T>,
): Promise<T> {
  const cancel = async () => {
    if (signal?.reason instanceof Cancelled && signal.reason.graceMs > 0) {
      const { graceMs } = signal.reason;
      // Without it the command has the grace of its task.
      await claim(join(folder, NAMES.cancel), JSON.stringify({ graceMs }), 'agent.command.cancel').catch(() => {});
    }
    if (alive()) process.kill(pid, CANCEL_SIGNAL);
  };
  if (signal?.aborted) void cancel();
  signal?.addEventListener('abort', cancel);
  return work.finally(() => signal?.removeEventListener('abort', cancel));
}

/** A command without a wrapper has nobody to hold its timeout or tell its end. */
function killOrphan(folder: string): void {
  const child = readJson<ProcessIdentity & Family>(folder, NAMES.child);
  if (child === undefined || !lives(child)) return;
  signalFamily(child, 'SIGKILL');
}

/** It may hold secrets, and nobody will read it now. */
function dropSpec(folder: string): Promise<void> {
  return rm(join(folder, NAMES.spec), { force: true });
}

async function neverBegun(folder: string): Promise<CommandResult> {
  await dropSpec(folder);
  return neverRan(folder);
}

function neverRan(folder: string): CommandResult {
  const none = (name: string) => ({ head: Buffer.alloc(0), tail: Buffer.alloc(0), bytes: 0, file: join(folder, name) });
  return { timedOut: false, cancelled: true, durationMs: 0, stdout: none('stdout'), stderr: none('stderr') };
}

async function writeSpec(folder: string, spec: CommandSpec): Promise<void> {
  const { argv, env } = await launchAs(spec.argv, spec.user, {
    ...(spec.terminal === undefined ? {} : { TERM: 'xterm' }),
    ...spec.env,
  });
  const owner = spec.user === undefined ? undefined : await terminalOwnerOf(spec.user);
  const wrapped: WrapperSpec = {
    argv,
    program: spec.argv[0],
    env,
    cwd: spec.cwd ?? '/',
    ...(spec.stdin === undefined ? {} : { stdin: spec.stdin }),
    ...(spec.terminal === undefined ? {} : { terminal: { ...spec.terminal, ...(owner && { owner }) } }),
    timeoutMs: spec.timeoutMs,
    graceMs: spec.graceMs,
  };
  await makePrivateFolder(folder);
  // Exclusive: a late wrapper of an earlier use of this folder would find a spec and run it a second time.
  const path = join(folder, NAMES.spec);
  if (!(await claim(path, JSON.stringify(wrapped), 'agent.command.spec'))) throw new Error(`${path} is there already`);
}

/** Sees a wrapper through to the end of its command; undefined: it ended before that began. */
async function attend(
  child: ChildProcess,
  folder: string,
  { onOutput, signal }: Options,
): Promise<CommandResult | undefined> {
  crash.at('agent.command.launched');
  const door = bell();
  child.once('exit', door.ring);
  const alive = () => child.exitCode === null && child.signalCode === null;
  const status = await withCancel(folder, signal, child.pid as number, alive, follow(folder, alive, door, onOutput));
  if (status !== undefined) return resultOf(folder, status);
  if (readJson<Started>(folder, NAMES.started)?.by !== 'wrapper') return undefined;
  killOrphan(folder);
  throw interrupted('the process that watched over it was killed');
}

function spawnWrapper(argv: readonly string[]): Promise<ChildProcess> {
  const [program, ...args] = argv as [string, ...string[]];
  // Detached: a session of its own, which the end of the agent does not touch. Nothing of the agent's environment.
  const child = spawn(program, args, { detached: true, stdio: withoutMasters('ignore'), cwd: '/', env: {} });
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child));
    child.once('error', (thrown) => reject(wrapperFailed(argv, thrown.message)));
  });
}

/** `argv`: the command line that runs `runWrapper` of its last argument, the folder; `standby`: one that runs it already. */
export function commandRunner({
  argv,
  standby,
}: {
  argv: readonly string[];
  standby?: Standby | undefined;
}): CommandRunner {
  async function start(folder: string, spec: CommandSpec, options: Options): Promise<CommandResult> {
    const { signal } = options;
    if (signal?.aborted) return neverRan(folder);
    await writeSpec(folder, spec);
    crash.at('agent.command.launch');
    const waiting = standby?.take(folder);
    standby?.rest();
    // One that waited may have died of what has nothing to do with the command; then the command gets one of its own.
    const attended = waiting && (await attend(waiting, folder, options));
    if (attended !== undefined) return attended;
    if (signal?.aborted) return neverBegun(folder);
    const child = await spawnWrapper([...argv, folder]).catch(async (thrown) => {
      await dropSpec(folder);
      throw thrown;
    });
    const result = await attend(child, folder, options);
    if (result !== undefined) return result;
    if (signal?.aborted) return neverBegun(folder);
    await dropSpec(folder);
    throw wrapperFailed(argv, `it ended with ${child.signalCode ?? `code ${child.exitCode}`} before it began`);
  }

  /** Sees to it that no late wrapper begins; false: one has begun. */
  async function forestall(folder: string): Promise<boolean> {
    await makePrivateFolder(folder);
    if (!(await claimCommand(folder, { by: 'agent' }))) return false;
    await dropSpec(folder);
    return true;
  }

  async function recover(folder: string, begunBootId: string, { onOutput, signal }: Options): Promise<CommandFound> {
    const boot = await bootId();
    let who = readJson<Started>(folder, NAMES.started);
    // The claim is not synced: after a power cut there may be none though the command began, and even ended.
    if (begunBootId !== boot) await dropSpec(folder);
    else if (who === undefined) {
      if (await forestall(folder)) return { state: 'never-started' };
      who = readJson<Started>(folder, NAMES.started);
    }
    // In another boot it tells nothing: the try that followed, in a folder of its own, may not have reached the disk.
    if (who?.by === 'agent') return { state: begunBootId === boot ? 'never-started' : 'lost' };
    const alive = () => who?.bootId === boot && lives(who);
    if (who !== undefined && alive() && readJson<Status>(folder, NAMES.status) === undefined) {
      const door = bell();
      const result = withCancel(folder, signal, who.pid, alive, follow(folder, alive, door, onOutput)).then(
        (status) => {
          if (status !== undefined) return resultOf(folder, status);
          killOrphan(folder);
          throw interrupted('the process that watched over it was killed');
        },
      );
      // The caller may take its time before it awaits.
      result.catch(() => {});
      return { state: 'running', result };
    }
    const status = await follow(folder, () => false, bell(), onOutput);
    if (status !== undefined && !status.interrupted && outputIsWhole(folder, status))
      return { state: 'ended', result: await resultOf(folder, status) };
    if (who?.bootId === boot) killOrphan(folder);
    return { state: 'lost' };
  }

  return { start, recover };
}
