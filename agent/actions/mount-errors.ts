import { KkError } from '../../shared/errors.ts';

/** What mount and umount (util-linux) say when they fail, with what to do about it. */
const KNOWN: readonly [said: RegExp, code: string, what: string, remedy: string][] = [
  [
    /permission denied|not permitted|must be superuser/i,
    'MOUNT_DENIED',
    'may not be mounted or unmounted here',
    'Run the agent as root. In a container mount it on its host; of a network file system see whom its server lets in (exports).',
  ],
  [
    /unknown filesystem type|need a \/sbin\/mount|helper program/i,
    'MOUNT_TYPE_UNKNOWN',
    'has a type that this node cannot mount',
    'Install its tools in an earlier task (nfs-common or nfs-utils, cifs-utils), load its module, or correct fstype.',
  ],
  [
    /does not exist|can't find|no such|not a block device/i,
    'MOUNT_SOURCE_MISSING',
    'cannot be mounted: what is to be mounted is not there',
    'Correct src (lsblk -f on the node shows what there is), or make it in an earlier task.',
  ],
  [
    /wrong fs type|bad superblock|bad option|can't read superblock/i,
    'MOUNT_REFUSED',
    'cannot be mounted: its type or its options do not fit what is there',
    'Correct fstype and opts, or make the file system in an earlier task (mkfs); the kernel says more in dmesg.',
  ],
  [
    /timed out|no route|connection refused|not responding|name or service/i,
    'MOUNT_SERVER_AWAY',
    'cannot be mounted: its server does not answer',
    'See the server and the network between (showmount -e, firewall), then run again.',
  ],
  [
    /: not found$|not executable/m,
    'MOUNT_TOOLS_MISSING',
    'cannot be mounted: mount is not on this node',
    'Install mount (util-linux) in an earlier task.',
  ],
];

/** `users`: processes that keep it from being unmounted. */
export function mountFailed(path: string, stderr: string, users: readonly string[]): KkError {
  const evidence = stderr.trim().slice(-2000);
  if (/target is busy|already mounted or mount point busy|device is busy/i.test(stderr)) {
    const by = users.length === 0 ? 'something that is mounted below it, or the kernel itself' : users.join(', ');
    return new KkError({
      code: 'MOUNT_BUSY',
      message: `${path} is in use by ${by}.`,
      remedy: 'Stop what uses it in an earlier task, and unmount what is mounted below it, then run again.',
      evidence,
    });
  }
  const [, code, what, remedy] = KNOWN.find(([said]) => said.test(stderr)) ?? [
    undefined,
    'MOUNT_FAILED',
    'could not be mounted or unmounted',
    'See the evidence, and dmesg on the node.',
  ];
  return new KkError({ code, message: `${path} ${what}.`, remedy, evidence });
}

export function otherMounted(path: string, source: string): KkError {
  return new KkError({
    code: 'MOUNT_OCCUPIED',
    message: `Something else is mounted on ${path}: ${source}.`,
    remedy: 'Unmount it in an earlier task (state: unmounted), or name another path.',
  });
}

export function notADirectory(path: string, kind: string): KkError {
  return new KkError({
    code: 'MOUNT_POINT_UNFIT',
    message: `${path} is a ${kind}, and no directory to mount on.`,
    remedy: 'Name a directory without symlinks in its path, or remove what is there in an earlier task.',
  });
}
