import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { FileCache } from '../../agent/files/cache.ts';
import type { Files } from '../../agent/files/files.ts';
import { Away } from '../../agent/files/source.ts';

/** A node's cache in a folder; files of plans come from nowhere, unless `fromController` says so. */
export function filesIn(dir: string, { limit = 1024 ** 3, ...other }: Partial<Files> & { limit?: number } = {}): Files {
  const cache = new FileCache({
    folder: join(dir, 'files'),
    limit,
    bytesPerSecond: undefined,
    pause: async (_ms, signal) => void (await setTimeout(1, undefined, { signal }).catch(() => {})),
    monotonicMs: () => performance.now(),
  });
  const nowhere = () => Promise.reject(new Away('there is no controller here'));
  return {
    cache,
    proxy: {},
    send: nowhere,
    fromController: () => ({ name: 'the controller', patience: 0, open: nowhere }),
    ...other,
  };
}
