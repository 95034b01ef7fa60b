import { ABSENT } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { type Swap, swapsOf } from '../swaps.ts';

/** What the kernel gave is below zero, and is not told. */
const priorityOf = ({ priority }: Swap): number | undefined => (priority < 0 ? undefined : priority);

/** Swap space by the path of its file or device: in use, with a priority if it was given one; or not. */
export function swapResource(root: string): ResourceKind {
  return {
    async look(path, { host }) {
      const found = (await swapsOf(host, root).list()).find((one) => one.path === path);
      if (found === undefined) return { state: 'off' };
      const priority = priorityOf(found);
      return priority === undefined ? { state: 'on' } : { state: 'on', priority };
    },

    async restore(path, before, _present, { host, signal }) {
      const swaps = swapsOf(host, root);
      // A unit that was brought back before may have done it.
      const found = (await swaps.list()).find((one) => one.path === path);
      if (before.state === 'off') return void (found && (await swaps.off(path, signal)));
      if (found !== undefined && priorityOf(found) === before['priority']) return undefined;
      if ((await host.files.stat(path)) === undefined) return `the swap space ${path} is left off, because it is gone`;
      const { priority } = before;
      if (found !== undefined) await swaps.off(path, signal);
      await swaps.on(path, typeof priority === 'number' ? priority : undefined, signal);
      return undefined;
    },
  };
}

/** A swap file by its path; its content is nobody's. */
export const swapFileResource: ResourceKind = {
  async look(path, { host }) {
    const found = await host.files.stat(path);
    return found === undefined ? ABSENT : { state: found.kind };
  },

  // Only made ones are remembered.
  restore: async (path, _before, _present, { host }) => void (await host.files.remove(path)),
};
