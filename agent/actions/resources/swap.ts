import { ABSENT } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { swapsOf } from '../swaps.ts';

/** Swap space by the path of its file or device: in use, or not. A priority that the kernel gave is not told. */
export function swapResource(root: string): ResourceKind {
  return {
    async look(path, { host }) {
      const found = (await swapsOf(host, root).list()).find((one) => one.path === path);
      if (found === undefined) return { state: 'off' };
      return found.priority < 0 ? { state: 'on' } : { state: 'on', priority: found.priority };
    },

    async restore(path, before, _present, { host, signal }) {
      const swaps = swapsOf(host, root);
      // A unit that was brought back before may have done it.
      const isOn = (await swaps.list()).some((one) => one.path === path);
      if (isOn === (before.state === 'on')) return undefined;
      if (before.state === 'off') return void (await swaps.off(path, signal));
      if ((await host.files.stat(path)) === undefined) return `the swap space ${path} is left off, because it is gone`;
      const { priority } = before;
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
