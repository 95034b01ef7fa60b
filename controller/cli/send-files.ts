import { createReadStream } from 'node:fs';
import { isEmptyDirectory } from '../../shared/blob.ts';
import { blobsIn } from '../compile/blobs.ts';
import { diskPath } from '../plan/index.ts';
import type { Client } from './client.ts';
import type { CheckedPlan } from './plan-file.ts';

/** Brings the files that a plan names to the controller, as far as it does not have them; one after another, as streams. */
export async function sendFiles(
  client: Client,
  { sources, graph }: Pick<CheckedPlan, 'sources' | 'graph'>,
): Promise<void> {
  const named = [...blobsIn(graph).keys()];
  if (named.length === 0) return;
  const missing = new Set(await client.missingBlobs({ sha256: named }));
  for (const [path, { sha256 }] of Object.entries(sources.files ?? {})) {
    if (!isEmptyDirectory(path) && missing.delete(sha256))
      await client.addBlob(sha256, createReadStream(diskPath(path)));
  }
}
