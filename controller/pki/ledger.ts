/** How an identity changes: pure steps from one {@link NodeIdentity} to the next. The store only keeps the result. */
import type { NodeIdentity } from './ports.ts';

/** Newly admitted, or replaced: every serial issued before is superseded at once, and an old revocation ends. */
export function admitted(input: {
  name: string;
  serial: string;
  keyHash: string;
  tokenId: string;
  groups?: string[];
}): NodeIdentity {
  return {
    name: input.name,
    current: input.serial,
    keyHash: input.keyHash,
    tokenId: input.tokenId,
    revoked: false,
    ...(input.groups === undefined || input.groups.length === 0 ? {} : { groups: input.groups }),
  };
}

/** A renewal was answered; an earlier pending serial that never came into use is superseded. */
export function renewed(identity: NodeIdentity, serial: string, keyHash: string): NodeIdentity {
  return { ...identity, pending: serial, keyHash };
}

/**
 * The node came with `serial`. When that is the pending one, the renewal has worked and the old serial is superseded;
 * otherwise the same value comes back, and nothing needs writing.
 */
export function seenWith(identity: NodeIdentity, serial: string): NodeIdentity {
  if (identity.pending !== serial) return identity;
  const { pending, ...rest } = identity;
  return { ...rest, current: pending };
}

/** After `revoke`. */
export function revoked(identity: NodeIdentity): NodeIdentity {
  return { ...identity, revoked: true };
}

/** Whether a certificate with this serial stands for the node: the one in use, or the one that should follow it. */
export function isAccepted(identity: NodeIdentity, serial: string): boolean {
  return serial === identity.current || serial === identity.pending;
}
