import type { Host } from '../host/host.ts';
import type { Image } from './image.ts';

/** What looking at a resource and bringing it back may use. */
export interface Hands {
  host: Host;
  /** Is what is looked at to be restored later? Then it must be kept, else its digest is enough. */
  keeps: boolean;
  /** Names bytes by their digest; where they are to be restored later, it keeps them. */
  keep(bytes: Buffer): Promise<string>;
  /** Bytes that were kept. Throws KkError UNDO_DAMAGED. */
  content(digest: string): Promise<Buffer>;
  /** Aborted by cancel and by the step's timeout. */
  signal: AbortSignal;
}

/**
 * One kind of resource: all that an action must supply for its changes to be undone. Both throw what the system throws;
 * `look` answers `lost` where an image would be too large to be kept (see {@link IMAGE_LIMIT}) or could not be restored.
 */
export interface ResourceKind {
  look(id: string, hands: Hands): Promise<Image>;
  /** Brings what is `present` to what was `before`; where it cannot, a note of what was left and why. May be called again after a crash. */
  restore(id: string, before: Image, present: Image, hands: Hands): Promise<string | undefined>;
}

export type ResourceKinds = { readonly [kind: string]: ResourceKind };

/** Bytes of one image that are kept: they are in memory meanwhile. */
export const IMAGE_LIMIT = 64 * 1024 * 1024;
