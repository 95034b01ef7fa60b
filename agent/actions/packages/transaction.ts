/** Programs that change packages: they outlive the agent (ENGINE 3.1), and wait until no other one is at it. */
import { join } from 'node:path';
import { KkError } from '../../../shared/errors.ts';
import type { CommandResult, Host, RunOutput } from '../../host/host.ts';
import { capturedText } from '../captured.ts';
import { lockedBy, packageFailure } from './failures.ts';
import type { Argv } from './manager.ts';

/** How long dpkg may take to come to an end that it can go on from. */
const GRACE_MS = 30_000;
const LOOK_AGAIN_MS = 2000;

export interface Running {
  host: Host;
  /** Outputs are kept below it. */
  folder: string;
  env: Record<string, string>;
  signal: AbortSignal;
  /** Absent or 0: none. */
  timeoutMs?: number | undefined;
  lockWaitMs: number;
  starting(): void;
  log(stream: 'stdout' | 'stderr', offset: number, data: Uint8Array): void;
}

/**
 * Runs them one after another. Throws PACKAGE_LOCK_HELD with who holds it, COMMAND_TIMEOUT, and what {@link packageFailure} makes
 * of what they say.
 */
export async function runPrograms(programs: readonly Argv[], running: Running): Promise<void> {
  for (const argv of programs) await untilFree(argv, running);
}

async function untilFree(argv: Argv, running: Running): Promise<void> {
  const { host, lockWaitMs, signal } = running;
  const deadline = host.bootTimeMs() + lockWaitMs;
  for (;;) {
    const output = await once(argv, running);
    if (output.code === 0) return;
    const locked = lockedBy(output);
    if (locked === undefined) throw packageFailure(argv, output);
    const left = deadline - host.bootTimeMs();
    if (left <= 0) throw await lockHeld(locked.pid, running, output);
    await host.files.changed('/var/lib/dpkg', { timeoutMs: Math.min(LOOK_AGAIN_MS, left), signal });
  }
}

async function once(argv: Argv, running: Running): Promise<RunOutput> {
  const { host, folder, env, signal, timeoutMs = 0, log } = running;
  const tried = (await host.files.list(folder)).filter((name) => name.startsWith('packages-')).length;
  running.starting();
  const spec = { argv, env: { LC_ALL: 'C.UTF-8', ...env }, timeoutMs, graceMs: GRACE_MS };
  const result = await host.commands.start(join(folder, `packages-${tried + 1}`), spec, { onOutput: log, signal });
  if (result.timedOut) throw timedOut(argv, result);
  if (result.code === undefined) signal.throwIfAborted();
  const text = (stream: CommandResult['stdout']): string => {
    const { head, tail } = capturedText(stream);
    return `${head}${tail}`;
  };
  return { code: result.code ?? 1, stdout: text(result.stdout), stderr: text(result.stderr) };
}

function timedOut(argv: Argv, { durationMs }: CommandResult): KkError {
  return new KkError({
    code: 'COMMAND_TIMEOUT',
    message: `${argv[0]} did not end within its timeout and was stopped after ${Math.round(durationMs / 1000)} s.`,
    remedy: 'See its output for where it hung; raise the timeout of the task if it only needs longer.',
  });
}

async function lockHeld(pid: number | undefined, { host, lockWaitMs }: Running, output: RunOutput): Promise<KkError> {
  const line = pid === undefined ? undefined : await host.files.read(`/proc/${pid}/cmdline`).catch(() => undefined);
  const command = line?.toString('utf8').replaceAll('\0', ' ').trim().slice(0, 300) || 'a program that is gone by now';
  const who = pid === undefined ? 'another program' : `process ${pid} (${command})`;
  return new KkError({
    code: 'PACKAGE_LOCK_HELD',
    message: `The package manager is in use by ${who}, still after ${lockWaitMs / 1000} s.`,
    remedy:
      'Wait until it has ended (unattended upgrades take a while), or end it on the node if it hangs; lock_wait_seconds waits longer.',
    evidence: `${output.stderr}\n${output.stdout}`.trim().slice(-2000),
  });
}
