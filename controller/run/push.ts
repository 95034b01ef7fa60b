import { createHash } from 'node:crypto';
import { jsonBytes } from '../../shared/protocol/codec.ts';
import { FRAME_LIMIT } from '../../shared/protocol/level.ts';
import type { Push } from '../../shared/protocol/messages.ts';
import type { Revised } from '../../shared/share.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { shareOf } from '../compile/share-of.ts';

/** Above this a node's own document is not put into the push but asked for as a blob, so that no frame exceeds its limit. */
const INLINE_LIMIT = FRAME_LIMIT / 2;
/**
 * The same for what all have in common, which grows with the fleet: thousands of pushes that each carry it would be in
 * memory at once, while blobs are sent to a few at a time.
 */
const COMMON_INLINE_LIMIT = 64 * 1024;

export interface PushDocuments {
  /** The one message that carries a node's whole share. `cached`: digests the agent says it has. */
  push(run: string, revision: number, node: number, cached: readonly string[]): Push;
  /** A document of this node's share by its digest. */
  blob(node: number, sha256: string): Uint8Array | undefined;
}

/** Encodes what all nodes have in common once (ENGINE 2.8). `revisedOf`: what becomes of a node's earlier steps. */
export function pushDocuments(
  graph: TaskGraph,
  revisedOf: (node: number) => Revised | undefined = () => undefined,
): PushDocuments {
  const common = jsonBytes(graph.common);
  const commonDigest = sha256Of(common);
  const shares = new Map<number, Uint8Array>();
  const share = (node: number): Uint8Array => {
    const made = shares.get(node) ?? jsonBytes(shareOf(graph, node, revisedOf(node)));
    // Only large ones are kept, to be asked for again; small ones are cheaper to make anew.
    if (made.length > INLINE_LIMIT) shares.set(node, made);
    return made;
  };
  return {
    push(run, revision, node, cached) {
      const own = share(node);
      const ownInline = own.length <= INLINE_LIMIT;
      const commonInline = common.length <= COMMON_INLINE_LIMIT && !cached.includes(commonDigest);
      return {
        run,
        revision,
        share: ownInline ? own : new Uint8Array(),
        share_sha256: ownInline ? '' : sha256Of(own),
        common_sha256: commonDigest,
        common: commonInline ? common : new Uint8Array(),
        lease_ms: 0,
      };
    },
    blob(node, sha256) {
      if (sha256 === commonDigest) return common;
      const own = share(node);
      return sha256Of(own) === sha256 ? own : undefined;
    },
  };
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
