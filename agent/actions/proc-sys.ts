import { sysctlValue } from '../../shared/actions/sysctl.ts';
import { isSystemError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';
import { notReadable, notTaken, notWritten } from './sysctl-errors.ts';

/** Values of the running kernel, by their path below /proc/sys (proc_sys(5)). */
export interface ProcSys {
  fileOf(path: string): string;
  /** As {@link sysctlValue} has it; undefined: the kernel has no such key. Throws SYSCTL_UNREADABLE. */
  read(path: string): Promise<string | undefined>;
  /** Does the kernel let anybody set it here? Of what all containers of a host share it does not. */
  mayBeSet(path: string): Promise<boolean>;
  /** Throws SYSCTL_UNKNOWN, SYSCTL_DENIED, SYSCTL_REFUSED, and SYSCTL_NOT_TAKEN where the kernel then has another. */
  write(path: string, value: string): Promise<void>;
}

export function procSys({ files }: Host, root: string): ProcSys {
  const fileOf = (path: string): string => `${root}/proc/sys/${path}`;

  async function read(path: string): Promise<string | undefined> {
    try {
      const text = await files.read(fileOf(path));
      return text === undefined ? undefined : sysctlValue(text.toString('utf8'));
    } catch (thrown) {
      // A folder of keys is no key.
      if (isSystemError(thrown, 'EISDIR')) return undefined;
      throw notReadable(path, thrown);
    }
  }

  return {
    fileOf,
    read,
    async mayBeSet(path) {
      const found = await files.stat(fileOf(path));
      return found !== undefined && (found.mode & 0o222) !== 0;
    },
    async write(path, value) {
      try {
        await files.setKernelValue(fileOf(path), `${value}\n`);
      } catch (thrown) {
        throw notWritten(path, value, thrown);
      }
      const taken = await read(path);
      if (taken !== value) throw notTaken(path, value, taken ?? 'nothing');
    },
  };
}
