import type { FileCache } from './cache.ts';
import { blobFromController, type ControllerParts } from './from-controller.ts';
import type { Source } from './source.ts';
import { type Sending, sendFile } from './to-controller.ts';
import type { ProxyEnvironment } from './web.ts';

/** What actions need to bring files to the node. */
export interface Files {
  cache: FileCache;
  /** A file of the plan, by its digest. */
  fromController(sha256: string): Source;
  /** The proxy that web servers are asked through, where a task states none. */
  proxy: ProxyEnvironment;
  /** Brings a file to the controller; true: it did not have it. */
  send(sending: Omit<Sending, 'pause'>): Promise<boolean>;
}

export function createFiles(
  cache: FileCache,
  controller: ControllerParts,
  proxy: ProxyEnvironment,
  pause: Sending['pause'],
): Files {
  return {
    cache,
    proxy,
    fromController: (sha256) => blobFromController(sha256, controller),
    send: (sending) => sendFile({ ...sending, pause }, controller),
  };
}
