import { isSystemError, KkError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';

export type SelinuxMode = 'enforcing' | 'permissive' | 'disabled';

/** The switch of the running kernel, which is there only while SELinux is on. */
export interface SelinuxKernel {
  mode(): Promise<SelinuxMode>;
  /** Throws SELINUX_DENIED. */
  set(mode: 'enforcing' | 'permissive'): Promise<void>;
}

/** `root`: what /sys is below. */
export function selinuxKernel({ files }: Pick<Host, 'files'>, root: string): SelinuxKernel {
  const path = `${root}/sys/fs/selinux/enforce`;
  return {
    async mode() {
      const enforce = (await files.read(path))?.toString('utf8').trim();
      if (enforce === undefined) return 'disabled';
      return enforce === '1' ? 'enforcing' : 'permissive';
    },

    async set(mode) {
      try {
        await files.setKernelValue(path, mode === 'enforcing' ? '1' : '0');
      } catch (thrown) {
        if (!['EACCES', 'EPERM', 'EROFS', 'EINVAL'].some((code) => isSystemError(thrown, code))) throw thrown;
        throw new KkError({
          code: 'SELINUX_DENIED',
          message: `The kernel of this node does not let SELinux be made ${mode}.`,
          remedy:
            'Run the agent as root and unconfined; a policy with secure_mode_policyload on, or a kernel without the development mode, allows it only by a reboot.',
          evidence: (thrown as Error).message,
          cause: thrown,
        });
      }
    },
  };
}
