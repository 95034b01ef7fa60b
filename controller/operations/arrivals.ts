import { LIVES } from '../../shared/protocol/level.ts';
import type { Hello, Life } from '../../shared/protocol/messages.ts';
import { duplicateIdentity, judgeDuplicate, type Machine } from '../pki/judge-duplicate.ts';
import type { Clock } from '../run/ports.ts';
import type { Cursor, NodeRecord, Nodes } from '../store/nodes.ts';

/**
 * A copy that was refused comes back within about two minutes (kk.proto, Closing.final). One that has not been seen for this
 * long is gone, and the node is trusted again.
 */
const DOUBT_MS = 180_000;

/** Boot ids remembered per node: enough to see an old one return. */
const BOOTS_KEPT = 20;

/** Of an agent's: a UUID. */
const LIFE_LENGTH = 36;

export interface ArrivalsParts {
  nodes: Nodes;
  clock: Clock;
  /** Two machines came with one certificate: nothing new may start under that name (ENGINE 4.4). */
  onDoubt(node: string, error: Error): void;
  /** There is one machine again. */
  onTrust(node: string): void;
  /**
   * Its journal is another one than it was, or was set back (ENGINE 3.4), and is stored as far as `present` says; awaited
   * before the node is welcomed.
   */
  onVoid(node: string, present: Cursor): Promise<void>;
}

/** Who arrives: clones are told apart, journals continued. Remembers which nodes are in doubt. */
export class Arrivals {
  private readonly doubts = new Map<string, { why: string; seenMs: number }>();
  private readonly parts: ArrivalsParts;

  constructor(parts: ArrivalsParts) {
    this.parts = parts;
  }

  /** Why the node is held; undefined: it is not. */
  heldFor(node: string): string | undefined {
    return this.doubts.get(node)?.why;
  }

  /** Joined anew or revoked: whoever has the name now is the one. */
  trust(node: string): void {
    if (this.doubts.delete(node)) this.parts.onTrust(node);
  }

  /** Trusts again where the copy stays away. Called about once a second. */
  tick(): void {
    const now = this.parts.clock.monotonicMs();
    for (const [node, { seenMs }] of this.doubts) if (now - seenMs > DOUBT_MS) this.trust(node);
  }

  /**
   * Takes note of a Hello and answers how far the agent's journal is stored. A journal we do not know starts at 0; one that
   * ends before what was stored (a disk set back) goes on from where it ends. Throws KkError DUPLICATE_IDENTITY.
   */
  async arrived(
    node: string,
    hello: Hello,
    certificateEndsMs: number,
    live: Machine | undefined,
  ): Promise<{ acked: number }> {
    const { nodes, clock } = this.parts;
    const { record, cursor } = await nodes.get(node);
    const machine = { machineId: hello.machine_id, bootId: hello.boot_id };
    const boots = record?.machineId === hello.machine_id ? record.boots : [];
    if (judgeDuplicate({ boots, ...(live ? { live } : {}) }, machine) === 'duplicate') {
      const error = duplicateIdentity(node, [...(live ? [live] : []), machine]);
      this.doubts.set(node, { why: error.message, seenMs: clock.monotonicMs() });
      this.parts.onDoubt(node, error);
      throw error;
    }
    const { lives: known = [] } = record ?? {};
    const acked = goesOnFrom(cursor, known, hello);
    if (cursor.journal !== '' && (cursor.journal !== hello.journal_id || acked < cursor.sequence))
      await this.parts.onVoid(node, { journal: hello.journal_id, sequence: acked });
    // Only now: after a crash before this the journal must seem as strange as it is.
    const now = clock.nowMs();
    await nodes.put(node, {
      joinedMs: record?.joinedMs ?? now,
      lastSeenMs: now,
      certificateEndsMs,
      machineId: hello.machine_id,
      boots: boots.at(-1) === hello.boot_id ? boots : [...boots, hello.boot_id].slice(-BOOTS_KEPT),
      lives: isKnown(known, hello.lives) ? known : hello.lives.slice(-LIVES).map(({ id }) => id.slice(0, LIFE_LENGTH)),
      version: hello.version,
      arch: hello.arch,
    } satisfies NodeRecord);
    return { acked };
  }

  async left(node: string): Promise<void> {
    await this.parts.nodes.seen(node, this.parts.clock.nowMs());
  }
}

/**
 * How far the journal that Hello tells of is the one that is stored: `cursor`, unless it is another one, ends before, or
 * goes on from an earlier life than the last of those that are `known`. Pure.
 */
function goesOnFrom(cursor: Cursor, known: readonly string[], { journal_id, last_sequence, lives }: Hello): number {
  if (cursor.journal !== journal_id) return 0;
  const sequence = Math.min(cursor.sequence, last_sequence);
  const last = known.at(-1);
  if (last === undefined || isKnown(known, lives)) return sequence;
  const at = lives.findIndex(({ id }) => id === last);
  return at < 0 ? 0 : Math.min(sequence, lives[at + 1]?.after ?? sequence);
}

/** Who was set back begins a new life; a Hello of a known one may be late, and come after that of the next. */
function isKnown(known: readonly string[], lives: readonly Life[]): boolean {
  const present = lives.at(-1);
  return present === undefined || known.includes(present.id);
}
