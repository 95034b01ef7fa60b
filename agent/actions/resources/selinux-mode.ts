import type { ResourceKind } from '../../undo/resource.ts';
import { selinuxKernel } from '../selinux-kernel.ts';

/** The mode of the running kernel; the file that says it for the next boot is a resource of its own. */
export function selinuxModeResource(root: string): ResourceKind {
  return {
    look: async (_, { host }) => ({ state: 'selinux', mode: await selinuxKernel(host, root).mode() }),

    async restore(_, before, present, { host }) {
      const mode = before['mode'];
      if (present['mode'] === 'disabled' || (mode !== 'enforcing' && mode !== 'permissive'))
        return 'SELinux is left as it is now, because only a reboot changes that';
      await selinuxKernel(host, root).set(mode);
      return undefined;
    },
  };
}
