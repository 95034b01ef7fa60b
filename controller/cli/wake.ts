import { access } from 'node:fs/promises';
import { databasePath } from '../config/settings.ts';
import type { Cli } from './cli.ts';
import { startController } from './start-run.ts';

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
