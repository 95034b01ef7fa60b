/** Programs that change packages: they outlive the agent (ENGINE 3.1), and wait until no other one is at it. */
import { join } from 'node:path';
import { KkError } from '../../../shared/errors.ts';
import type { CommandResult, Host, RunOutput } from '../../host/host.ts';
import { capturedText } from '../captured.ts';
import { isIncomplete, packageFailure } from './failures.ts';
import { untilFree } from './lock.ts';
import type { Argv } from './manager.ts';

/** How long dpkg may take to come to an end that it can go on from. */
const GRACE_MS = 30_000;

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
  for (const argv of programs) {
    const output = await untilFree(() => once(argv, running), running);
    if (output.code !== 0 || isIncomplete(output)) throw packageFailure(argv, output);
  }
}

/**
 * After a restart of the agent: what its former life began may be at work still. Waits until all of it has ended; how it ended is
 * seen by what it has left. `begunBootId`: the boot in which the step began.
 */
export async function followPrograms(
  { host, folder, log, signal }: Pick<Running, 'host' | 'folder' | 'log' | 'signal'>,
  begunBootId: string,
): Promise<void> {
  for (const name of await programsIn(host, folder)) {
    const found = await host.commands.recover(join(folder, name), begunBootId, { onOutput: log, signal });
    if (found.state === 'running') await found.result;
  }
  signal.throwIfAborted();
}

async function programsIn({ files }: Host, folder: string): Promise<string[]> {
  return (await files.list(folder)).filter((name) => name.startsWith('packages-'));
}

async function once(argv: Argv, running: Running): Promise<RunOutput> {
  const { host, folder, env, signal, timeoutMs = 0, log } = running;
  const tried = (await programsIn(host, folder)).length;
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
