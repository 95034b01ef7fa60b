import { isSystemError } from '../../../shared/errors.ts';
import type { Host } from '../../host/host.ts';

/** deb-systemd-invoke(1p), invoke-rc.d(8): 101 forbids the action. */
const POLICY = '#!/bin/sh\n# Made by kk while it installs packages whose services are not to start.\nexit 101\n';

const pathIn = (root: string): string => `${root}/usr/sbin/policy-rc.d`;
const besideOf = (root: string): string => `${pathIn(root)}.kk-before`;

/** Is our policy there, left by an agent that was ended in the middle? Then nothing of this node starts what it installs. */
export async function isPolicyLeft({ files }: Pick<Host, 'files'>, root: string): Promise<boolean> {
  return (await files.read(pathIn(root)))?.toString('utf8') === POLICY;
}

/** What is installed by `work` starts no service (Debian's policy-rc.d); another policy that is there comes back after it. */
export async function withoutStarts<T>(
  { files }: Pick<Host, 'files'>,
  root: string,
  work: () => Promise<T>,
): Promise<T> {
  const path = pathIn(root);
  const isLeft = await isPolicyLeft({ files }, root);
  if (!isLeft && (await files.stat(path)) !== undefined) await files.rename(path, besideOf(root));
  await files.writeAtomic(path, Buffer.from(POLICY), { mode: 0o755 });
  try {
    return await work();
  } finally {
    await takeAway({ files }, root);
  }
}

/** Puts back what was there before. */
export async function takeAway({ files }: Pick<Host, 'files'>, root: string): Promise<void> {
  try {
    await files.rename(besideOf(root), pathIn(root));
  } catch (thrown) {
    if (!isSystemError(thrown, 'ENOENT')) throw thrown;
    await files.remove(pathIn(root));
  }
}
