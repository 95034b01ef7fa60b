import { readlink, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';
import type { Layout } from './layout.ts';
import { removeUnits } from './units.ts';

export interface UninstallInput {
  host: Pick<Host, 'files' | 'run'>;
  /** Effective user id. */
  uid: number;
  layout: Layout;
}

/**
 * Takes the agent off the node: units, commands that still run, executables, state. What plans have made stays, for it is
 * the node's now. Safe to repeat. Throws KkError NOT_ROOT, SYSTEMD_FAILED.
 */
export async function uninstallAgent({ host, uid, layout }: UninstallInput): Promise<void> {
  if (uid !== 0) {
    throw new KkError({
      code: 'NOT_ROOT',
      message: 'Taking the agent off the machine needs root.',
      remedy: 'Run it again as root, for example with sudo.',
    });
  }
  await removeUnits(host, layout.units);
  const command = join(layout.commands, 'kk-agent');
  // A file of somebody else's is left alone.
  const target = await readlink(command).catch(() => undefined);
  if (target?.startsWith(`${layout.library}/`)) await rm(command, { force: true });
  for (const path of [layout.state, layout.runtime, layout.scripts, layout.library]) await host.files.remove(path);
  for (const path of layout.traces) {
    await host.files.remove(path);
    // systemd makes the folder for the first that needs it; others' traces keep it there.
    await host.files.removeEmpty(dirname(path));
  }
}
