import { keyFingerprint } from '../../shared/identity.ts';
import type { Pendings } from '../store/pendings.ts';
import { iso } from './times.ts';
import type { NodeView, TokenView } from './types.ts';

/** What is stored about a node. Times: milliseconds since 1970. */
export interface KnownNode {
  name: string;
  /** Both are known once it has connected for the first time. */
  joinedMs: number | undefined;
  certificateEndsMs: number | undefined;
  revoked: boolean;
  machineId: string;
  version: string;
  arch: string;
  lastSeenMs: number | undefined;
  groups?: readonly string[] | undefined;
}

/** What only the running controller knows about it. */
export interface LiveNode {
  connected: boolean;
  /** Where it is connected from. */
  address?: string | undefined;
  /** Code of the reason why it is held. */
  held?: string | undefined;
  /** What is installed there. */
  release?: string | undefined;
}

/** A join that waits, as the store has it. */
export type WaitingJoin = Awaited<ReturnType<Pendings['all']>>[number];

export function nodeView(known: KnownNode, live: LiveNode): NodeView {
  return {
    name: known.name,
    connected: live.connected,
    revoked: known.revoked,
    version: known.version,
    arch: known.arch,
    ...(live.address === undefined ? {} : { address: live.address }),
    ...(known.lastSeenMs === undefined ? {} : { lastSeen: iso(known.lastSeenMs) }),
    joined: known.joinedMs === undefined ? '' : iso(known.joinedMs),
    certificateEnds: known.certificateEndsMs === undefined ? '' : iso(known.certificateEndsMs),
    machineId: known.machineId,
    ...(live.held === undefined ? {} : { held: live.held }),
    ...(known.groups === undefined ? {} : { groups: [...known.groups] }),
    ...(live.release ? { release: live.release } : {}),
  };
}

/** A machine that waits for approval, among the nodes. */
export function pendingView({ name, address, askedAt, machine, decision, ...rest }: WaitingJoin): NodeView {
  return {
    ...{ name, connected: false, revoked: false, version: machine?.version ?? '', arch: machine?.arch ?? '' },
    ...{ address, joined: iso(askedAt), certificateEnds: '', machineId: '' },
    pending: {
      state: decision?.what ?? 'pending',
      fingerprint: keyFingerprint(rest.keyHash),
      token: rest.tokenId,
      asked: iso(askedAt),
      expires: iso(rest.expiresAt),
      ...(decision === undefined ? {} : { by: decision.by }),
      ...(machine === undefined ? {} : { machine }),
    },
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
  names?: string;
  cidrs?: string[];
  groups?: string[];
  approve?: boolean;
}): TokenView {
  return {
    id: token.id,
    ...(token.name === undefined ? {} : { name: token.name }),
    ...(token.replace === undefined ? {} : { replace: token.replace }),
    ...(token.names === undefined ? {} : { names: token.names }),
    ...(token.cidrs === undefined ? {} : { cidrs: token.cidrs }),
    ...(token.groups === undefined || token.groups.length === 0 ? {} : { groups: token.groups }),
    ...(token.approve ? { approve: true } : {}),
    usesLeft: token.usesLeft,
    created: iso(token.createdAt),
    expires: iso(token.expiresAt),
  };
}
