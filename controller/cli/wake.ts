import { access } from 'node:fs/promises';
import { databasePath } from '../config/settings.ts';
import type { Cli } from './cli.ts';
import { awaitController, ensureController } from './daemon.ts';

/** A controller that was there a moment ago: its service manager gets this long before another is started. */
const RESTART_MS = 5_000;

/**
 * For commands about what was done before: a controller that `apply` started ends by itself, and its runs and nodes must
 * be there for whoever asks a minute later. Starts one on the state it left; does nothing where there is no state, so that
 * the command says that no controller answers instead of making a new fleet.
 */
export async function wakeController(cli: Cli): Promise<void> {
  const hasState = await access(databasePath(cli.stateFolder)).then(
    () => true,
    () => false,
  );
  if (hasState) await startController(cli);
}

/** Makes a controller answer; tells when one had to be started. */
export async function startController(cli: Cli): Promise<void> {
  const { client, stateFolder } = cli;
  const pid = await ensureController({ client, stateFolder, self: cli.parts.self });
  if (pid !== undefined) cli.note(`Started a controller (pid ${pid}); it ends by itself when nothing is left to do.`);
}

/** After the controller was lost: waits for whoever keeps it running, then starts one. */
export async function reviveController(cli: Cli): Promise<void> {
  if (await awaitController(cli.client, RESTART_MS)) return;
  await startController(cli);
}
