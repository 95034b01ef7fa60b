/** What the journal holds. Records rebuild the agent's whole state; the durable messages to the controller are among them. */
import type { ErrorReport } from '../../shared/errors.ts';
import type { Facts } from '../../shared/facts.ts';
import { jsonBytes } from '../../shared/protocol/codec.ts';
import type { DurableMessage, WireOutcome } from '../../shared/protocol/messages.ts';
import type { Json, Share, StepResult } from '../../shared/share.ts';

/** Raised when an older agent could not read the journal; each format is read by the next version too (ENGINE 4.8). */
export const JOURNAL_FORMAT = 1;

/** First record of the file. `sequence`: the last one given out before the file was rewritten. */
export type JournalHeader = { type: 'journal'; format: number; id: string; sequence: number };

/** The end of one loop item, or of a step without a loop (item 0). */
export interface ItemEnd {
  outcome: 'ok' | 'failed' | 'skipped';
  changed: boolean;
  attempts: number;
  /** The register's part of this item; absent when sensitive. */
  register?: Json;
  output?: Json;
  diffs?: StepResult['diffs'];
  error?: ErrorReport;
  /** Dry run: why it cannot be told what would be done; what it would bind is not known either. */
  unknown?: string;
  /** Dry run: it would do something, so what it would bind is not known. */
  undone?: true;
}

/** Records of the node's own: never sent. Times are wall clock milliseconds unless they say otherwise. */
export type LocalRecord =
  | {
      type: 'push';
      run: string;
      revision: number;
      share: Share;
      /** sha256 of the common document in the blob folder. */
      common: string;
      /** 0: as in Welcome. */
      leaseMs: number;
    }
  | { type: 'gate'; run: string; revision: number; gate: string; values: Json }
  | { type: 'gate-closed'; run: string; revision: number; gate: string; cause: string }
  | { type: 'permit'; run: string; revision: number; task: number }
  | { type: 'hold'; run: string; reason: string }
  | { type: 'resume'; run: string }
  /** `force`: permit steps too. */
  | { type: 'cancel'; run: string; graceMs: number; force?: true }
  /** `revision`: what was held of it; not pushed again (a controller that was set back does not know that it was done). */
  | { type: 'forget'; run: string; revision?: number }
  /** `mac` in base64: kept to be given back, the agent cannot verify it. */
  | { type: 'generation'; value: number; mac: string }
  | { type: 'acked'; sequence: number }
  /** The journal was opened when its last message was `after`. */
  | { type: 'life'; id: string; after: number }
  /** The heartbeat that was last answered: sent at `atMs` of CLOCK_BOOTTIME in that boot, under that lease. */
  | { type: 'contact'; boot: string; atMs: number; leaseMs: number }
  | {
      type: 'attempt';
      run: string;
      task: number;
      item: number;
      attempt: number;
      boot: string;
      /** Digest of the evaluated inputs. */
      inputs: string;
      /** Begun because an earlier one was interrupted. */
      recovery?: true;
    }
  /** A `recover` task is about to start; `round` counts the recoveries of the step. */
  | { type: 'recover'; run: string; task: number; item: number; round: number; index: number; boot: string }
  /** `inputs`: of an item that is kept from an earlier revision; else its attempts tell. */
  | { type: 'item'; run: string; task: number; item: number; end: ItemEnd; inputs?: string };

/** Records that are messages too; `sequence` is given by the journal. */
export type SentRecord =
  | { type: 'accepted'; run: string; revision: number }
  | { type: 'refused'; run: string; revision: number; error: ErrorReport }
  | {
      type: 'begun';
      run: string;
      revision: number;
      task: number;
      atMs: number;
      boot: string;
      /** The loop's items, frozen; undefined: no loop. */
      items?: Json[];
    }
  | {
      type: 'ended';
      run: string;
      revision: number;
      task: number;
      outcome: WireOutcome;
      result: StepResult;
      atMs: number;
      durationMs: number;
      /** Names the step bound on this node: its register, or what set_fact says. */
      bindings: Record<string, Json>;
      /** The task's, by which a later revision knows the step (ENGINE 3.4). Journals of earlier agents lack it. */
      key?: string;
      /** Digest of items and inputs of a step that ended ok. */
      inputs?: string;
      /** Dry run: names that the step would have bound, and nobody can say to what. */
      unbound?: string[];
    }
  | {
      type: 'blocked';
      run: string;
      revision: number;
      tasks: number[];
      cause: string;
      cancelled: boolean;
      atMs: number;
      /** The tasks' keys, as in `ended`. */
      keys?: string[];
    }
  | { type: 'facts'; run: string; version: number; facts: Facts };

export type JournalRecord = JournalHeader | LocalRecord | (SentRecord & { sequence: number });

/** A record as it is handed to the journal, before it has a sequence. */
export type NewRecord = LocalRecord | SentRecord;

const SENT: ReadonlySet<string> = new Set<SentRecord['type']>([
  'accepted',
  'refused',
  'begun',
  'ended',
  'blocked',
  'facts',
]);

export function isSent(record: JournalRecord | NewRecord): record is SentRecord & { sequence: number } {
  return SENT.has(record.type);
}

/** The message that a record is. */
export function messageOf(record: SentRecord): DurableMessage {
  const { type: kind } = record;
  switch (kind) {
    case 'accepted':
      return { kind, value: { run: record.run, revision: record.revision } };
    case 'refused':
      return { kind, value: { run: record.run, revision: record.revision, error: jsonBytes(record.error) } };
    case 'begun': {
      const { run, revision, task, atMs, items } = record;
      return { kind, value: { run, revision, task, attempt: 1, items: items?.length ?? 0, at_ms: atMs } };
    }
    case 'ended': {
      const { run, revision, task, outcome, result, atMs, durationMs } = record;
      const value = { run, revision, task, outcome, result: jsonBytes(result), at_ms: atMs, duration_ms: durationMs };
      return { kind, value };
    }
    case 'blocked': {
      const { run, revision, tasks, cause, cancelled, atMs } = record;
      return { kind, value: { run, revision, tasks, cause, cancelled, at_ms: atMs } };
    }
    case 'facts':
      return { kind, value: { run: record.run, version: record.version, facts: jsonBytes(record.facts) } };
  }
}
