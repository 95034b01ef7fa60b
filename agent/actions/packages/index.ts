import { KkError } from '../../../shared/errors.ts';
import { gatherPackageManager } from '../../facts/index.ts';
import type { Host } from '../../host/host.ts';
import { apt } from './apt.ts';
import { dnf } from './dnf.ts';
import { untilFree } from './lock.ts';
import type { Ask, PackageManager } from './manager.ts';
import { zypper } from './zypper.ts';

/** Solving a large transaction takes a while on a small machine; fetching what the repositories have, too. */
const ASK_MS = 10 * 60_000;

/**
 * The package manager of the node. `root`: what /usr and /var are below. `lockWaitMs`: how long it waits for another program, which
 * dnf, yum and zypper ask for only to look (PACKAGE_LOCK_HELD). Throws PACKAGE_MANAGER_MISSING.
 */
export async function packageManagerOf(
  host: Pick<Host, 'files' | 'run' | 'bootTimeMs'>,
  root: string,
  signal: AbortSignal,
  lockWaitMs = 0,
): Promise<PackageManager> {
  const kind = await gatherPackageManager(host, root);
  const ask: Ask = (argv, options = {}) =>
    untilFree(() => host.run(argv, { timeoutMs: ASK_MS, signal, ...options, env: { LC_ALL: 'C', ...options.env } }), {
      host,
      signal,
      lockWaitMs,
    });
  if (kind === 'apt') return apt(host, ask, root);
  if (kind === 'zypper') return zypper(ask);
  if (kind !== 'none') return dnf(kind, ask);
  throw new KkError({
    code: 'PACKAGE_MANAGER_MISSING',
    message: 'This node has none of apt, dnf, yum and zypper.',
    remedy: "Take the task out for this node (when: facts.package_manager != 'none'), or install with a command task.",
  });
}
