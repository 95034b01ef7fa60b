/** What the link needs of the executor, and nothing more. */
import type {
  DurableMessage,
  ForAgent,
  Generation,
  Life,
  RunHeld,
  ToControllerBodies,
} from '../../shared/protocol/messages.ts';

/** What Hello says about the journal. */
export interface Held {
  journalId: string;
  lastSequence: number;
  generation: Generation;
  runs: RunHeld[];
  blobs: string[];
  lives: Life[];
}

/** Messages about work; the rest of `ForAgent` is the link's own business. */
export type WorkMessage = Extract<
  ForAgent,
  { kind: 'push' | 'open_gate' | 'close_gate' | 'permit' | 'hold' | 'resume' | 'cancel' | 'forget' | 'blob_part' }
>;

/** Sent at most once, and asked for again after the next Welcome. */
export type Wish =
  | { kind: 'permit_wanted'; value: ToControllerBodies['permit_wanted'] }
  | { kind: 'blob_wanted'; value: ToControllerBodies['blob_wanted'] };

export interface Work {
  held(): Held;
  /** Steps at work, for the heartbeat. */
  running(): number;
  /** Takes a message in; order is kept. Never throws: what it cannot do becomes a message back. */
  handle(message: WorkMessage): void;
  /** The next durable messages above `after` that are synced, in order, about as many as fit into `bytes`. */
  outgoing(after: number, bytes: number): Promise<readonly { sequence: number; message: DurableMessage }[]>;
  acknowledge(sequence: number): void;
  /** A Welcome was applied: the generation is kept if it is the highest, wishes are repeated. */
  welcomed(generation: Generation): void;
  /** A heartbeat sent at `atMs` of CLOCK_BOOTTIME was answered: the lease counts from there. */
  contact(atMs: number, leaseMs: number): void;
  /** Called when there is more to send. */
  onOutgoing(listener: () => void): void;
  onWish(listener: (wish: Wish) => void): void;
}
