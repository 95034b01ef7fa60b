import { KkError } from '../../shared/errors.ts';

/** What swapon, swapoff, mkswap (util-linux) and dd say when they fail, with what to do about it. */
const KNOWN: readonly [said: RegExp, code: string, what: string, remedy: string][] = [
  [
    /cannot allocate memory/i,
    'SWAP_NO_MEMORY',
    'cannot be switched off: what lies there does not fit into memory',
    'Stop programs that need much memory, or reboot the node after an apply that has run into this, then run again.',
  ],
  [
    /no space left/i,
    'SWAP_NO_SPACE',
    'does not fit on its disk',
    'Free space there, or give a smaller size or another file.',
  ],
  [
    /not permitted|permission denied/i,
    'SWAP_DENIED',
    'may not be changed here',
    'Run the agent as root. In a container see to swap on its host, for there is one for all.',
  ],
  [
    /: not found$|not executable/m,
    'SWAP_TOOLS_MISSING',
    'cannot be changed: the tools for it are not on this node',
    'Install util-linux in an earlier task.',
  ],
];

export function swapFailed(path: string, stderr: string): KkError {
  const [, code, what, remedy] = KNOWN.find(([said]) => said.test(stderr)) ?? [
    undefined,
    'SWAP_FAILED',
    'could not be switched on or off',
    'See the evidence. On btrfs a swap file must not be compressed or snapshotted; an overlay takes none.',
  ];
  return new KkError({
    code,
    message: `The swap space ${path} ${what}.`,
    remedy,
    evidence: stderr.trim().slice(-2000),
  });
}

export function swapStillOn(path: string): KkError {
  return new KkError({
    code: 'SWAP_STILL_ON',
    message: `Somebody switches the swap space ${path} on again.`,
    remedy:
      'Find out on the node which service does so (systemctl list-units; zram tools), and disable it in an earlier task.',
  });
}

export function swapFileDiffers(path: string, why: string): KkError {
  return new KkError({
    code: 'SWAP_FILE_DIFFERS',
    message: `${path} is there and ${why}, so it is not made a swap file.`,
    remedy: 'Name another file, give the size it has, or switch it off and remove it in earlier tasks.',
  });
}

export function swapUnitStatic(file: string, by: string): KkError {
  return new KkError({
    code: 'SWAP_UNIT_STATIC',
    message: `${file} makes swap space at every boot for ${by}, and can be neither disabled nor masked.`,
    remedy: 'Remove that file, or what names it (systemctl list-dependencies --reverse), in an earlier task.',
  });
}
