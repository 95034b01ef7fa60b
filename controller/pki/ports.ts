import type { PendingJoin } from './approval.ts';
import type { EnrolmentToken } from './tokens.ts';

/** What is known about the identity of a node; a plain value, kept by the store under `name`. */
export interface NodeIdentity {
  name: string;
  /** Serial (lower-case hex) that the node is known to use. */
  current: string;
  /** Serial issued by a renewal and not seen in use yet; `current` stays good until it is. */
  pending?: string;
  /** Hex sha256 of the SubjectPublicKeyInfo of the key last certified: tells "same key again" from "a new key". */
  keyHash: string;
  /** Token that admitted the node: lets it ask again when the answer to its enrolment was lost. */
  tokenId: string;
  /** Set by `revoke`: no certificate of this node opens anything until a replacing token admits it anew. */
  revoked: boolean;
  /** Groups of the fleet that its token put it into. */
  groups?: string[];
}

/** Reading side of the ledger: everything that decides about a certificate. */
export interface IdentityReader {
  node(name: string): NodeIdentity | undefined;
}

/** The identities the fleet has issued. The store implements it; writes are durable when the promise resolves. */
export interface IdentityLedger extends IdentityReader {
  /**
   * Writes `next` if the ledger still holds `previous` for that name (same `current`, `pending` and `revoked`, or
   * nothing for undefined). False when someone else was faster; nothing is written then.
   */
  replace(previous: NodeIdentity | undefined, next: NodeIdentity): Promise<boolean>;
}

/** The join tokens. The store implements it; secrets are never in it, only their hashes. */
export interface TokenStore {
  find(id: string): Promise<EnrolmentToken | undefined>;
  /** Uses the token up by one, atomically; false when it is gone, expired at `now` or has no use left. */
  take(id: string, now: number): Promise<boolean>;
}

/** Joins that wait for approval. The store implements it. */
export interface PendingStore {
  find(name: string): Promise<PendingJoin | undefined>;
  /**
   * Takes a use of its token and keeps a new one, both or neither; false when the token is good for none, somebody else waits
   * under that name, or `most` are waiting. Forgets expired ones, and for room the oldest of those rejected.
   */
  keep(pending: PendingJoin, limits: { now: number; most: number }): Promise<boolean>;
  /** Of this key only: another one may wait under the name by now. */
  remove(pending: Pick<PendingJoin, 'name' | 'keyHash'>): Promise<void>;
}

/** A certificate of a cluster, as it is written down when it is issued. */
export interface IssuedCertificate {
  /** Lower-case hex. */
  serial: string;
  plan: string;
  /** Name of the CA within the plan. */
  ca: string;
  /** For which node, by which task of which run. */
  node: string;
  run: string;
  task: string;
  /** What it says, in words that are equal when it would say the same. */
  names: string;
  /** Hex sha256 of the SubjectPublicKeyInfo. */
  keyHash: string;
  /** Epoch milliseconds. */
  notBefore: number;
  notAfter: number;
  pem: string;
  /** Since when a rollback has taken it back; epoch milliseconds. */
  revokedMs?: number;
}

/** The certificates of clusters that were issued. The store implements it; writes are durable when the promise resolves. */
export interface CertificateLedger {
  /** Of one key by one CA, those revoked too, the newest first. */
  ofKey(plan: string, ca: string, keyHash: string): Promise<IssuedCertificate[]>;
  add(issued: IssuedCertificate): Promise<void>;
}
