import { KkError } from '../../../shared/errors.ts';
import { ABSENT } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { type Mounted, mountedAt } from '../mountinfo.ts';
import { mountsOf } from '../mounts.ts';
import { textFacet, textOfFacet } from './long-text.ts';

/** The kernel tells them, and takes them from nobody. */
const NOT_GIVEN = new Set(['seclabel']);

/** What is mounted at a path; its line in fstab is a resource of its own. */
export function mountResource(root: string): ResourceKind {
  return {
    async look(path, hands) {
      const found = mountedAt(await mountsOf(hands.host, root).list(), path);
      if (found === undefined) return ABSENT;
      const { source, type, root: inside, device, options, superOptions } = found;
      const ofAll = superOptions.filter((one) => !NOT_GIVEN.has(one)).join(',');
      const place = { source, type, inside, device, options: options.join(',') };
      return { state: 'mounted', ...place, ...(await textFacet('superOptions', ofAll, hands)) };
    },

    async restore(path, before, present, hands) {
      const { host, signal } = hands;
      const mounts = mountsOf(host, root);
      if (before.state === 'absent') {
        try {
          await mounts.unmount(path, signal);
          return undefined;
        } catch (thrown) {
          if (thrown instanceof KkError && thrown.code === 'MOUNT_BUSY') return `${path} is left: ${thrown.message}`;
          throw thrown;
        }
      }
      const [options, type, inside] = [String(before['options']), String(before['type']), String(before['inside'])];
      if (present.state === 'mounted') return void (await mounts.remount(path, options, signal));
      const src =
        inside === '/' ? String(before['source']) : folderOf(await mounts.list(), String(before['device']), inside);
      if (src === undefined)
        return `${path} is left unmounted: where ${inside} of ${before['source']} is, nobody can tell`;
      const isBind = inside !== '/';
      // A file system's own options come with it; of a bind mount they are those of what it lies on.
      const all = isBind
        ? `bind,${options}`
        : [...new Set(`${options},${await textOfFacet('superOptions', before, hands)}`.split(','))].join(',');
      await mounts.mount(path, { src, type: isBind ? 'none' : type, options: all }, signal);
      return undefined;
    },
  };
}

/** The path at which a folder of a file system can be seen. */
function folderOf(all: readonly Mounted[], device: string, inside: string): string | undefined {
  for (const { device: other, root, path } of all) {
    const above = root === '/' ? '' : root;
    if (other === device && inside.startsWith(`${above}/`))
      return `${path === '/' ? '' : path}${inside.slice(above.length)}`;
  }
  return undefined;
}
