import { KkError } from '../../shared/errors.ts';
import { createHost } from '../host/index.ts';
import { LAYOUT } from '../install/layout.ts';
import { uninstallAgent } from '../install/uninstall.ts';

/** Throws KkError UNINSTALL_UNCONFIRMED without `yes`, and what uninstallAgent throws. */
export async function uninstall({
  yes,
  wrapper,
}: {
  yes?: true;
  wrapper: readonly [string, ...string[]];
}): Promise<void> {
  if (!yes) {
    throw new KkError({
      code: 'UNINSTALL_UNCONFIRMED',
      message:
        'This takes the agent, its identity and its journal off this machine; rollbacks of earlier runs end with it.',
      remedy: 'Say `kk-agent uninstall --yes`, then `kk-controller nodes remove NAME --force` on the controller.',
    });
  }
  const host = createHost({ wrapper: { argv: wrapper } });
  await uninstallAgent({ host, uid: process.getuid?.() ?? -1, layout: LAYOUT });
  process.stdout.write('the agent is gone from this machine; what plans have made here stays\n');
}
