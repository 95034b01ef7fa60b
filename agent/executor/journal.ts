import { type ErrorReport, KkError } from '../../shared/errors.ts';
import type { DurableMessage } from '../../shared/protocol/messages.ts';
import type { Disk, DurableFile } from '../durable/disk.ts';
import { encodeFrame, scanFrames } from './frames.ts';
import { diskFull, isDiskFull, RETRY_MS } from './full-disk.ts';
import { isSent, JOURNAL_FORMAT, type JournalRecord, messageOf, type NewRecord } from './records.ts';
import { retained } from './retained.ts';

/** Above this size the journal is rewritten without forgotten runs, if that has a chance to halve it. */
const COMPACT_ABOVE = 16 * 1024 * 1024;

const POINT = 'agent.journal';

export interface JournalOptions {
  path: string;
  disk: Disk;
  /** Makes the id of a new journal. */
  newId: () => string;
  /** Waits between attempts to write to a full disk. */
  pause: (ms: number) => Promise<void>;
  /** The disk is full (work stands still, nothing is lost), or takes writes again: undefined. */
  onTrouble: (report: ErrorReport | undefined) => void;
  /** The journal cannot be written and waiting does not help: the process must end and start anew from the file. */
  onFatal: (error: KkError) => void;
  compactAbove?: number;
}

/** A durable message that is on disk and not yet acknowledged. */
export interface Outgoing {
  sequence: number;
  message: DurableMessage;
}

/** What `Journal.open` found. */
export interface Opened {
  journal: Journal;
  records: JournalRecord[];
  /** Bytes of an unfinished last write that were cut off. */
  cut: number;
}

/**
 * The agent's memory: an append-only file of checksummed records. Records appended in the same turn of the event loop
 * share one fdatasync, however many wait for it. The outbox is what was sent as a record and is not yet acknowledged.
 */
export class Journal {
  readonly #options: JournalOptions;
  #file: DurableFile;
  #id = '';
  #sequence = 0;
  #acked = 0;
  #number: number;
  #size: number;
  #sizeAfterCompaction = 0;
  /** Numbers up to this one are known to be on disk. */
  #synced: number;
  #pending: JournalRecord[] = [];
  #waiters: (() => void)[] = [];
  #writing: Promise<void> | undefined;
  #dead = false;
  #outbox: Outgoing[] = [];
  #onOutgoing: () => void = () => {};

  private constructor(options: JournalOptions, file: DurableFile, number: number, size: number) {
    this.#options = options;
    this.#file = file;
    this.#number = number;
    this.#synced = number;
    this.#size = size;
  }

  /**
   * Opens or makes the journal. A torn tail (never synced) is cut off. Throws KkError JOURNAL_CORRUPT when something that
   * had been synced is not readable, STATE_NEWER when a newer agent wrote it.
   */
  static async open(options: JournalOptions): Promise<Opened> {
    const { file, content } = await options.disk.open(options.path, POINT);
    const scan = scanFrames(content);
    if (scan.damaged !== undefined) {
      await file.close();
      throw corrupt(options.path, scan.damaged, content.length);
    }
    const cut = content.length - scan.end;
    if (cut > 0) await file.truncate(scan.end);
    const records = scan.records as JournalRecord[];
    const journal = new Journal(options, file, scan.last, scan.end);
    if (records[0] === undefined) {
      const header: JournalRecord = { type: 'journal', format: JOURNAL_FORMAT, id: options.newId(), sequence: 0 };
      records.push(header);
      journal.#pending.push(header);
      journal.#take(header);
      await journal.synced();
    } else {
      const [header] = records;
      if (header.type !== 'journal' || header.format > JOURNAL_FORMAT) {
        await file.close();
        throw header.type === 'journal' ? newer(options.path, header.format) : corrupt(options.path, 0, content.length);
      }
      for (const record of records) journal.#take(record);
      for (const record of records) journal.#offer(record);
      if (records.some((r) => r.type === 'forget')) await journal.#compact(records);
    }
    return { journal, records, cut };
  }

  get id(): string {
    return this.#id;
  }

  /** Highest sequence given out. */
  get lastSequence(): number {
    return this.#sequence;
  }

  /** Durable messages above the last acknowledgement, in order; only what is on disk. */
  outgoing(): readonly Outgoing[] {
    return this.#outbox;
  }

  /** Called whenever {@link outgoing} has grown. One listener. */
  onOutgoing(listener: () => void): void {
    this.#onOutgoing = listener;
  }

  /**
   * Adds a record; gives a message its sequence. Returns at once: {@link synced} waits for the disk. A `lazy` record does
   * not ask for a write of its own and rides along with the next.
   */
  append(record: NewRecord, { lazy = false }: { lazy?: boolean } = {}): JournalRecord {
    const numbered = (isSent(record) ? { ...record, sequence: this.#sequence + 1 } : record) as JournalRecord;
    this.#take(numbered);
    this.#pending.push(numbered);
    if (!lazy) this.#kick();
    return numbered;
  }

  /** Resolves when everything appended so far is on disk. Never rejects: a full disk makes it wait. */
  synced(): Promise<void> {
    if (this.#pending.length === 0 && this.#writing === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#kick();
    });
  }

  /** The controller has synced every message up to `sequence`. */
  acknowledge(sequence: number): void {
    const acked = Math.min(sequence, this.#sequence);
    if (acked <= this.#acked) return;
    this.append({ type: 'acked', sequence: acked }, { lazy: true });
    const keep = this.#outbox.findIndex((out) => out.sequence > acked);
    this.#outbox.splice(0, keep < 0 ? this.#outbox.length : keep);
  }

  async close(): Promise<void> {
    await this.synced();
    // It may be rewriting the file.
    await this.#writing;
    await this.#file.close();
  }

  #take(record: JournalRecord): void {
    // A rewritten journal's header knows of higher ones than the records of older runs that were kept.
    if (isSent(record)) this.#sequence = Math.max(this.#sequence, record.sequence);
    else if (record.type === 'journal') [this.#id, this.#sequence] = [record.id, record.sequence];
    else if (record.type === 'acked') this.#acked = record.sequence;
  }

  #offer(record: JournalRecord): boolean {
    if (!isSent(record) || record.sequence <= this.#acked) return false;
    this.#outbox.push({ sequence: record.sequence, message: messageOf(record) });
    return true;
  }

  #kick(): void {
    if (this.#writing !== undefined || this.#dead) return;
    // setImmediate: whatever this turn still appends (an end and the next begin) shares the sync.
    this.#writing = new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#drain());
  }

  async #drain(): Promise<void> {
    try {
      while (this.#pending.length > 0 || this.#waiters.length > 0) {
        const waiters = this.#waiters.splice(0);
        const batch = this.#pending.splice(0);
        await this.#write(batch);
        this.#synced = this.#number;
        let grown = false;
        for (const record of batch) grown = this.#offer(record) || grown;
        for (const waiter of waiters) waiter();
        if (grown) this.#onOutgoing();
        if (this.#size > (this.#options.compactAbove ?? COMPACT_ABOVE) && this.#size > 2 * this.#sizeAfterCompaction) {
          await this.#compactNow();
        }
      }
      this.#writing = undefined;
    } catch (thrown) {
      this.#dead = true;
      this.#options.onFatal(unwritable(this.#options.path, thrown));
    }
  }

  async #write(batch: readonly JournalRecord[]): Promise<void> {
    let number = this.#number;
    const bytes = Buffer.concat(batch.map((record) => encodeFrame(++number, this.#synced, record)));
    for (let full = false; ; ) {
      try {
        await this.#file.append(bytes);
        await this.#file.sync();
        if (full) this.#options.onTrouble(undefined);
        break;
      } catch (thrown) {
        if (!isDiskFull(thrown)) throw thrown;
        full = true;
        this.#options.onTrouble(diskFull(this.#options.path));
        await this.#file.truncate(this.#size);
        await this.#options.pause(RETRY_MS);
      }
    }
    this.#number = number;
    this.#size += bytes.length;
  }

  async #compactNow(): Promise<void> {
    await this.#file.close();
    const { file, content } = await this.#options.disk.open(this.#options.path, POINT);
    this.#file = file;
    await this.#compact(scanFrames(content).records as JournalRecord[]);
  }

  /** Rewrites the file; a crash leaves either the old or the new one. */
  async #compact(records: readonly JournalRecord[]): Promise<void> {
    const kept = retained(records);
    const bytes = Buffer.concat(kept.map((record, index) => encodeFrame(index + 1, kept.length, record)));
    await this.#options.disk.replace(this.#options.path, bytes, 'agent.journal.rewrite').catch((thrown) => {
      // A full disk: the old file is as good, only larger.
      if (!isDiskFull(thrown)) throw thrown;
    });
    await this.#file.close();
    const { file, content } = await this.#options.disk.open(this.#options.path, POINT);
    const scan = scanFrames(content);
    this.#file = file;
    [this.#number, this.#synced, this.#size, this.#sizeAfterCompaction] = [scan.last, scan.last, scan.end, scan.end];
  }
}

function corrupt(path: string, offset: number, size: number): KkError {
  return new KkError({
    code: 'JOURNAL_CORRUPT',
    message: `The agent's journal ${path} is damaged at byte ${offset}: a record that had been synced is not readable.`,
    evidence: `${size} bytes in all; records before the damage are sound.`,
    remedy:
      `Check the node's disk (dmesg, smartctl). Then move ${path} away and restart kk-agent: it makes a new journal, and the ` +
      "controller treats this node's work of unfinished runs as unknown and does it again.",
  });
}

function newer(path: string, format: number): KkError {
  return new KkError({
    code: 'STATE_NEWER',
    message: `The journal ${path} has format ${format}; this agent knows formats up to ${JOURNAL_FORMAT}.`,
    remedy:
      'A newer kk-agent has worked here: start that version again (/usr/local/lib/kk-agent/), or upgrade this one.',
  });
}

function unwritable(path: string, cause: unknown): KkError {
  return new KkError({
    code: 'JOURNAL_UNWRITABLE',
    message: `The agent's journal ${path} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}.`,
    remedy: `Check the file system of ${path} (dmesg, mount, df); then restart kk-agent: it goes on from what the file holds.`,
    cause,
  });
}
