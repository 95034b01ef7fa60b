import { existsSync } from 'node:fs';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { databasePath } from '../config/settings.ts';
import type { Cli } from './cli.ts';
import type * as Daemon from './daemon.ts';

/** A controller that was there a moment ago: its service manager gets this long before another is started. */
const RESTART_MS = 5_000;

/**
 * For commands about what was done before: a controller that `apply` started ends by itself, and its runs and nodes must
 * be there for whoever asks a minute later. Starts one on the state it left; does nothing where there is no state, so that
 * the command says that no controller answers instead of making a new fleet.
 */
export async function wakeController(cli: Cli): Promise<void> {
  if (existsSync(databasePath(cli.stateFolder))) await startController(cli);
}

/** {@link wakeController} when nobody answers; where somebody does, one round trip less. */
export async function askOrWake<T>(cli: Cli, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (thrown) {
    // Nothing has been sent, so nothing is asked twice.
    if (!isAbsent(thrown)) throw thrown;
    await wakeController(cli);
    return ask();
  }
}

/** There is no socket, or nobody listens on it. */
function isAbsent(thrown: unknown): boolean {
  const away = thrown instanceof KkError && thrown.code === 'CONTROLLER_UNREACHABLE';
  return away && ['ENOENT', 'ECONNREFUSED'].some((code) => isSystemError(thrown.cause, code));
}

/** Makes a controller answer; tells when one had to be started. */
export async function startController(cli: Cli): Promise<void> {
  const { client, stateFolder } = cli;
  const { ensureController } = await daemon();
  const pid = await ensureController({ client, stateFolder, self: cli.parts.self });
  if (pid !== undefined) cli.note(`Started a controller (pid ${pid}); it ends by itself when nothing is left to do.`);
}

/** After the controller was lost: waits for whoever keeps it running, then starts one. */
export async function reviveController(cli: Cli): Promise<void> {
  const { awaitController } = await daemon();
  if (await awaitController(cli.client, RESTART_MS)) return;
  await startController(cli);
}

/** Loaded when there is none: mostly there is. */
const daemon = (): Promise<typeof Daemon> => import('./daemon.ts');
