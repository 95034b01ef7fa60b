import type { PendingJoin } from '../../controller/pki/approval.ts';
import type { IdentityLedger, NodeIdentity, PendingStore, TokenStore } from '../../controller/pki/ports.ts';
import type { EnrolmentToken } from '../../controller/pki/tokens.ts';

/** Joins that wait, in memory. */
export class MemoryPendings implements PendingStore {
  readonly waiting = new Map<string, PendingJoin>();
  private readonly tokens: TokenStore;

  constructor(tokens: TokenStore) {
    this.tokens = tokens;
  }

  async find(name: string): Promise<PendingJoin | undefined> {
    return this.waiting.get(name);
  }

  async keep(pending: PendingJoin, { now, most }: { now: number; most: number }): Promise<boolean> {
    const known = this.waiting.get(pending.name);
    if (this.waiting.size >= most || (known !== undefined && known.decision?.what !== 'rejected')) return false;
    if (!(await this.tokens.take(pending.tokenId, now))) return false;
    this.waiting.set(pending.name, pending);
    return true;
  }

  async remove({ name, keyHash }: PendingJoin): Promise<void> {
    if (this.waiting.get(name)?.keyHash === keyHash) this.waiting.delete(name);
  }
}

/** The ledger and the tokens in memory, with the same promises as the store's. */
export class MemoryLedger implements IdentityLedger, TokenStore {
  readonly nodes = new Map<string, NodeIdentity>();
  readonly tokens = new Map<string, EnrolmentToken>();

  node(name: string): NodeIdentity | undefined {
    return this.nodes.get(name);
  }

  async replace(previous: NodeIdentity | undefined, next: NodeIdentity): Promise<boolean> {
    const held = this.nodes.get(next.name);
    const same =
      held?.current === previous?.current && held?.pending === previous?.pending && held?.revoked === previous?.revoked;
    if (same) this.nodes.set(next.name, next);
    return same;
  }

  async find(id: string): Promise<EnrolmentToken | undefined> {
    return this.tokens.get(id);
  }

  async take(id: string, now: number): Promise<boolean> {
    const token = this.tokens.get(id);
    if (token === undefined || now >= token.expiresAt || token.usesLeft < 1) return false;
    this.tokens.set(id, { ...token, usesLeft: token.usesLeft - 1 });
    return true;
  }
}
