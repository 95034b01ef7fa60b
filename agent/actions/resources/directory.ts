import { ABSENT } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { lookAt } from '../directory.ts';
import { numbers } from './file.ts';

/** A directory by its path, without what is in it: mode, owner, or that there is none. */
export const directoryResource: ResourceKind = {
  async look(path, { host }) {
    const present = await lookAt(path, host);
    if (present === undefined) return ABSENT;
    const { kind, mode, uid, gid } = present;
    return kind === 'directory' ? { state: kind, mode, uid, gid } : { state: kind };
  },

  async restore(path, before, _present, { host }) {
    if (before.state !== 'absent') return void (await host.files.makeDirectory(path, numbers(before)));
    return (await host.files.removeEmpty(path)) ? undefined : `${path} is left, because it is not empty`;
  },
};
