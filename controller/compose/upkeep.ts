import { VERSION } from '../config/version.ts';
import { type Manifest, restoreBackup, writeBackup } from '../store/backup.ts';
import { takeStateFolder } from '../store/state-folder.ts';

/** Backs up a state folder on which no controller runs; meanwhile none can. Throws KkError CONTROLLER_RUNNING, BACKUP_*. */
export async function backupOffline(folder: string, file: string, logs: boolean): Promise<Manifest> {
  const taken = await takeStateFolder(folder, process.pid);
  try {
    return await writeBackup(folder, file, { version: VERSION, created: new Date().toISOString(), logs });
  } finally {
    await taken.release();
  }
}

/** Makes a state folder of a backup. Throws KkError as `restoreBackup` says. */
export function restoreOffline(folder: string, file: string): Promise<Manifest> {
  return restoreBackup(file, folder, Date.now);
}
