import type { FileCache } from './cache.ts';
import { blobFromController, type ControllerParts } from './from-controller.ts';
import type { Source } from './source.ts';

/** What actions need to bring files to the node. */
export interface Files {
  cache: FileCache;
  /** A file of the plan, by its digest. */
  fromController(sha256: string): Source;
}

export function createFiles(cache: FileCache, controller: ControllerParts): Files {
  return { cache, fromController: (sha256) => blobFromController(sha256, controller) };
}
