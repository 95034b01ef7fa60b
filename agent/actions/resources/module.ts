import { KkError } from '../../../shared/errors.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { kernelModules } from '../kernel-modules.ts';

/** A module of the running kernel by its name; the files that load it at boot are resources of their own. */
export function moduleResource(root: string): ResourceKind {
  return {
    look: async (name, { host }) => ({ state: await kernelModules(host, root).stateOf(name) }),

    async restore(name, before, _present, { host, signal }) {
      const modules = kernelModules(host, root);
      if (before.state !== 'absent') return void (await modules.load(name, [], signal));
      try {
        await modules.unload(name, signal);
        return undefined;
      } catch (thrown) {
        // What uses it came after the run, or does not let go before a reboot; that it is there harms nobody.
        if (thrown instanceof KkError && thrown.code === 'MODULE_IN_USE')
          return `the kernel module ${name} is left, because it is in use`;
        throw thrown;
      }
    },
  };
}
