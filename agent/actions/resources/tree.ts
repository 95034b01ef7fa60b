import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import type { FileStat, Host } from '../../host/host.ts';
import { ABSENT, type Image, lost } from '../../undo/image.ts';
import { IMAGE_LIMIT, type ResourceKind } from '../../undo/resource.ts';
import { numbers } from './file.ts';

/** One thing below the folder; `path` is relative to it. */
const Leaf = z.strictObject({
  path: z.string(),
  kind: z.enum(['file', 'directory', 'symlink']),
  mode: z.int(),
  uid: z.int(),
  gid: z.int(),
  /** Base64 of a file, target of a symlink. */
  data: z.string(),
});
type Leaf = z.infer<typeof Leaf>;

/** A directory with all that is in it: files, folders, symlinks, their modes and owners. Hard links become files of their own. */
export const treeResource: ResourceKind = {
  async look(path, { host, keep }): Promise<Image> {
    const present = await host.files.stat(path);
    if (present === undefined) return ABSENT;
    const { kind, mode, uid, gid } = present;
    if (kind !== 'directory') return { state: kind };
    const found = await leavesOf(path, host);
    if (typeof found === 'string') return lost(found);
    return { state: 'directory', mode, uid, gid, content: await keep(Buffer.from(JSON.stringify(found))) };
  },

  async restore(path, before, _present, { host, content }) {
    const { files } = host;
    if (before.state === 'absent') return void (await files.remove(path));
    const leaves = z.array(Leaf).parse(JSON.parse((await content(String(before['content']))).toString('utf8')));
    // Made beside it and put in place at once, so that one cut short is not taken for something that a person made.
    const making = join(dirname(path), `.${basename(path)}.kk-undo`);
    await files.remove(making);
    await files.makeNew(making, async (inside) => {
      // Folders last and deepest first: what is made in them must not need their modes.
      for (const { path: below, kind, data, mode, uid, gid } of leaves) {
        const at = `${inside}/${below}`;
        if (kind === 'directory') await files.makeDirectory(at);
        else if (kind === 'file') await files.writeAtomic(at, Buffer.from(data, 'base64'), { mode, uid, gid });
        else await files.makeLink(at, data, { uid, gid });
      }
      for (const { path: below, kind, mode, uid, gid } of leaves.toReversed())
        if (kind === 'directory') await files.makeDirectory(`${inside}/${below}`, { mode, uid, gid });
      await files.makeDirectory(inside, numbers(before));
    });
    await files.rename(making, path);
    return undefined;
  },
};

/** Everything below, parents first; or why it cannot be kept. */
async function leavesOf(root: string, { files }: Host): Promise<Leaf[] | string> {
  const leaves: Leaf[] = [];
  let size = 0;
  const folders = [''];
  for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
    for (const name of await files.list(`${root}/${folder}`)) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const stat = await files.stat(`${root}/${path}`);
      if (stat === undefined) continue;
      const { kind, mode, uid, gid } = stat;
      if (kind === 'other') return `${root}/${path} is a device, pipe or socket`;
      size += stat.size + path.length + 100;
      // In base64 it must still fit.
      if (size * 1.4 > IMAGE_LIMIT) return `${root} holds more than the ${IMAGE_LIMIT} bytes that are kept`;
      if (kind === 'directory') folders.push(path);
      const leaf = { path, kind, mode, uid, gid };
      const found = kind === 'file' ? await files.whole(`${root}/${path}`) : undefined;
      if (kind !== 'file') leaves.push({ ...leaf, data: await targetOf(`${root}/${path}`, kind, files) });
      else if (found === undefined) return `${root}/${path} is being changed by somebody else`;
      else leaves.push({ ...leaf, ...attributesOf(found.stat), data: found.content.toString('base64') });
    }
  }
  return leaves;
}

/** Of the very file that was read, which may be another than was looked at first. */
function attributesOf({ mode, uid, gid }: FileStat): Pick<Leaf, 'mode' | 'uid' | 'gid'> {
  return { mode, uid, gid };
}

async function targetOf(path: string, kind: FileStat['kind'], files: Host['files']): Promise<string> {
  return kind === 'symlink' ? ((await files.readLink(path)) ?? '') : '';
}
