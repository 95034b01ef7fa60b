import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';

/** systemd-detect-virt(1) ends with 1 where it says `none`; undefined: it is not there. */
export async function gatherVirtualization(host: Host): Promise<Facts['virtualization']> {
  const [machine, container] = await Promise.all(
    ['--vm', '--container'].map((kind) => host.run(['systemd-detect-virt', kind], { timeoutMs: 5_000 })),
  );
  const [vm, ct] = [machine?.stdout.trim() ?? '', container?.stdout.trim() ?? ''];
  return vm === '' || ct === '' ? undefined : { machine: vm, container: ct };
}
