import type { Image } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { replaceLink } from '../timezone.ts';
import { fileResource, numbers } from './file.ts';

/** A path that is left as a symlink: what it says, and whose it is; or the file that was there before. */
export const linkResource: ResourceKind = {
  async look(path, hands): Promise<Image> {
    const { files } = hands.host;
    const present = await files.stat(path);
    if (present?.kind !== 'symlink') return fileResource.look(path, hands);
    const { uid, gid } = present;
    return { state: 'symlink', target: (await files.readLink(path)) ?? '', uid, gid };
  },

  async restore(path, before, present, hands) {
    const { host } = hands;
    if (before.state === 'file') return fileResource.restore(path, before, present, hands);
    if (before.state !== 'symlink' || present.state === 'directory') await host.files.remove(path);
    if (before.state === 'symlink') await replaceLink(path, String(before['target']), host, numbers(before));
    return undefined;
  },
};
