import type { Host } from '../../host/host.ts';
import { ABSENT } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';

/** A home that was made with an account, from /etc/skel: it goes only while nothing of its owner's is in it. */
export function homeResource(root: string): ResourceKind {
  return {
    async look(path, { host }) {
      const found = await host.files.stat(path);
      return found === undefined ? ABSENT : { state: found.kind };
    },

    async restore(path, _before, _present, { host }) {
      const own = await ownIn(path, `${root}/etc/skel`, host);
      if (own !== undefined) return `${path} is left, because ${own} was put there`;
      await host.files.remove(path);
      return undefined;
    },
  };
}

/** The first thing that is not as in the skeleton; undefined: there is none. */
async function ownIn(path: string, skeleton: string, host: Host): Promise<string | undefined> {
  const { files } = host;
  for (const name of await files.list(path)) {
    const [at, from] = [`${path}/${name}`, `${skeleton}/${name}`];
    const [found, known] = [await files.stat(at), await files.stat(from)];
    if (found?.kind !== known?.kind) return at;
    if (found?.kind === 'directory') {
      const own = await ownIn(at, from, host);
      if (own !== undefined) return own;
    } else if (found?.kind === 'file') {
      const same = (await files.read(at))?.equals((await files.read(from)) ?? Buffer.alloc(0)) ?? false;
      if (!same) return at;
    } else if ((await files.readLink(at)) !== (await files.readLink(from))) return at;
  }
  return undefined;
}
