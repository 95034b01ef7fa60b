import { ABSENT } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { numbers } from './file.ts';

/** A symlink by its path: what it says, and whose it is. */
export const linkResource: ResourceKind = {
  async look(path, { host }) {
    const present = await host.files.stat(path);
    if (present === undefined) return ABSENT;
    if (present.kind !== 'symlink') return { state: present.kind };
    const { uid, gid } = present;
    return { state: 'symlink', target: (await host.files.readLink(path)) ?? '', uid, gid };
  },

  async restore(path, before, _present, { host }) {
    await host.files.remove(path);
    if (before.state === 'symlink') await host.files.makeLink(path, String(before['target']), numbers(before));
    return undefined;
  },
};
