import { iso } from './times.ts';
import type { NodeView, TokenView } from './types.ts';

/** What is stored about a node. Times: milliseconds since 1970. */
export interface KnownNode {
  name: string;
  joinedMs: number;
  certificateEndsMs: number;
  revoked: boolean;
  machineId: string;
  version: string;
  arch: string;
  lastSeenMs: number | undefined;
}

/** What only the running controller knows about it. */
export interface LiveNode {
  connected: boolean;
  /** Where it is connected from. */
  address?: string | undefined;
  /** Code of the reason why it is held. */
  held?: string | undefined;
}

export function nodeView(known: KnownNode, live: LiveNode): NodeView {
  return {
    name: known.name,
    connected: live.connected,
    revoked: known.revoked,
    version: known.version,
    arch: known.arch,
    ...(live.address === undefined ? {} : { address: live.address }),
    ...(known.lastSeenMs === undefined ? {} : { lastSeen: iso(known.lastSeenMs) }),
    joined: iso(known.joinedMs),
    certificateEnds: iso(known.certificateEndsMs),
    machineId: known.machineId,
    ...(live.held === undefined ? {} : { held: live.held }),
  };
}

/** A join token without its secret, which nobody can show again. */
export function tokenView(token: {
  id: string;
  createdAt: number;
  expiresAt: number;
  usesLeft: number;
  name?: string;
  replace?: string;
}): TokenView {
  return {
    id: token.id,
    ...(token.name === undefined ? {} : { name: token.name }),
    ...(token.replace === undefined ? {} : { replace: token.replace }),
    usesLeft: token.usesLeft,
    created: iso(token.createdAt),
    expires: iso(token.expiresAt),
  };
}
