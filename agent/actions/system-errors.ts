import { KkError } from '../../shared/errors.ts';

const KNOWN: Readonly<Record<string, { code: string; what: string; remedy: string }>> = {
  ENOENT: {
    code: 'FOLDER_MISSING',
    what: 'its folder does not exist',
    remedy: 'Make the folder with a directory task before.',
  },
  ENOTDIR: { code: 'FOLDER_MISSING', what: 'part of the path is not a directory', remedy: 'Correct the path.' },
  ELOOP: {
    code: 'PATH_IS_SYMLINK',
    what: 'a symlink stands there, and following it could change any file of the node',
    remedy: 'See on the node who made it and where it points (ls -l); remove it, or name its target.',
  },
  ENOSPC: {
    code: 'DISK_FULL',
    what: 'the disk is full',
    remedy: 'Free space (or inodes) on the filesystem of the path and run again.',
  },
  EDQUOT: {
    code: 'DISK_FULL',
    what: 'the disk quota is used up',
    remedy: 'Free space or raise the quota and run again.',
  },
  EROFS: {
    code: 'DISK_READ_ONLY',
    what: 'the filesystem is read-only',
    remedy: 'Remount it writable; after an I/O error see dmesg first.',
  },
  EACCES: {
    code: 'FILE_DENIED',
    what: 'permission was denied',
    remedy: 'Run the agent as root; see SELinux or AppArmor if it is.',
  },
  EPERM: {
    code: 'FILE_DENIED',
    what: 'the operation is not permitted',
    remedy: 'See whether the file is immutable (lsattr) or the agent is not root.',
  },
  EBUSY: {
    code: 'FILE_BUSY',
    what: 'it is a mount point or in use',
    remedy: 'Unmount it, or manage what is mounted there.',
  },
  EIO: {
    code: 'DISK_ERROR',
    what: 'the disk reported an error',
    remedy: 'See dmesg on the node and replace the disk.',
  },
};

/** Runs `work` on a path; failures of the system come out as errors a person can act on. */
export async function onPath<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const known = KNOWN[(thrown as NodeJS.ErrnoException | undefined)?.code ?? ''];
    if (known === undefined || thrown instanceof KkError) throw thrown;
    throw new KkError({
      code: known.code,
      message: `${path} could not be changed: ${known.what}.`,
      remedy: known.remedy,
      evidence: (thrown as Error).message,
      cause: thrown,
    });
  }
}
