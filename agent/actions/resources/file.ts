import { ABSENT, type Image, lost } from '../../undo/image.ts';
import { IMAGE_LIMIT, type ResourceKind } from '../../undo/resource.ts';

/** A regular file by its path: content, mode, owner, or that there is none. */
export const fileResource: ResourceKind = {
  async look(path, { host, keep, keeps, signal }) {
    const present = await host.files.stat(path);
    if (present === undefined) return ABSENT;
    const { kind, size } = present;
    if (kind !== 'file') return { state: kind };
    if (size > IMAGE_LIMIT && keeps) return lost(`${path} has ${size} bytes; up to ${IMAGE_LIMIT} are kept`);
    if (size > IMAGE_LIMIT) {
      const large = await host.files.digest(path, signal);
      if (large === undefined) return lost(`${path} is being changed by somebody else`);
      const { mode, uid, gid } = large.stat;
      return { state: 'file', content: large.sha256, mode, uid, gid };
    }
    // Content and owner of one file: who may write to the folder must not get another's content restored as their own.
    const found = await host.files.whole(path);
    if (found === undefined) return lost(`${path} is being changed by somebody else`);
    const { mode, uid, gid } = found.stat;
    return { state: 'file', content: await keep(found.content), mode, uid, gid };
  },

  async restore(path, before, present, { host, content }) {
    const { files } = host;
    if (before.state === 'absent') return void (await files.remove(path));
    const { mode, uid, gid } = numbers(before);
    if (present.state === 'file' && present['content'] === before['content'])
      await files.setAttributes(path, { mode, uid, gid });
    else await files.writeAtomic(path, await content(String(before['content'])), { mode, uid, gid });
    return undefined;
  },
};

/** The attributes in an image. */
export function numbers(image: Image): { mode: number; uid: number; gid: number } {
  return { mode: Number(image['mode']), uid: Number(image['uid']), gid: Number(image['gid']) };
}
