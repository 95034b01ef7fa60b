/** A disk without room is told and waited for; it is never an error of the work. */
import { dirname } from 'node:path';
import { type ErrorReport, isSystemError } from '../../shared/errors.ts';
import type { Disk } from '../durable/disk.ts';

/** A full disk is tried again this often, in milliseconds. */
export const RETRY_MS = 5_000;

export interface Patience {
  pause: (ms: number) => Promise<void>;
  /** The disk is full (work stands still, nothing is lost), or takes writes again: undefined. */
  onTrouble: (report: ErrorReport | undefined) => void;
}

export function isDiskFull(thrown: unknown): boolean {
  return isSystemError(thrown, 'ENOSPC') || isSystemError(thrown, 'EDQUOT');
}

export function diskFull(path: string): ErrorReport {
  return {
    code: 'DISK_FULL',
    message: `The file system of ${path} is full: no step starts until there is room again; nothing is lost.`,
    remedy: `Free some space on it (df -h ${path}); the agent goes on by itself.`,
  };
}

/** The same disk, whose `replace` waits for room. */
export function patient(disk: Disk, { pause, onTrouble }: Patience): Disk {
  return {
    open: (path, point) => disk.open(path, point),
    async replace(path, bytes, point) {
      for (let full = false; ; full = true) {
        try {
          await disk.replace(path, bytes, point);
          if (full) onTrouble(undefined);
          return;
        } catch (thrown) {
          if (!isDiskFull(thrown)) throw thrown;
          if (!full) onTrouble(diskFull(dirname(path)));
          await pause(RETRY_MS);
        }
      }
    },
  };
}
