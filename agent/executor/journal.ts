import { type ErrorReport, KkError } from '../../shared/errors.ts';
import type { DurableMessage } from '../../shared/protocol/messages.ts';
import type { Disk, DurableFile } from '../durable/disk.ts';
import { decodeFrame, encodeFrame, encodeMark, type Scan, scanFrames } from './frames.ts';
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

/** A durable message that is on disk. */
export interface Outgoing {
  sequence: number;
  message: DurableMessage;
}

/** Where a durable message lies in the file. */
interface Place {
  sequence: number;
  start: number;
  size: number;
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
 * share one fdatasync, however many wait for it. What is sent is read from the file: of messages that wait for a controller
 * which is away only their places are in memory.
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
  /** As far as the file says so. */
  #marked = 0;
  #pending: JournalRecord[] = [];
  #waiters: (() => void)[] = [];
  #writing: Promise<void> | undefined;
  #isFull = false;
  /** Of who waits for the disk, but not for room on it. */
  readonly #impatient = new Set<() => void>();
  #dead = false;
  #closed = false;
  /** The messages in the file, in order; acknowledged ones of runs that are held are among them. */
  #places: Place[] = [];
  /** Reading and rewriting take turns. */
  #turn: Promise<unknown> = Promise.resolve();
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
    if (content.length > scan.end) await file.truncate(scan.end);
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
      journal.#places = placesIn(scan);
      if (retained(records).length < records.length) await journal.#compact(records);
      await journal.#mark();
    }
    return { journal, records, cut: scan.torn };
  }

  get id(): string {
    return this.#id;
  }

  /** Highest sequence given out. */
  get lastSequence(): number {
    return this.#sequence;
  }

  /** Durable messages above the last acknowledgement, in order; only what is on disk. */
  outgoing(): readonly { sequence: number }[] {
    return this.#places.slice(this.#placeAfter(this.#acked));
  }

  /**
   * The next messages above `after` that are on disk, about as many as fit into `bytes`. Acknowledged ones are among them,
   * as long as their run is held: a controller that was set back needs them again. None after {@link close}.
   */
  read(after: number, bytes: number): Promise<Outgoing[]> {
    return this.#alone(async () => {
      const from = this.#placeAfter(after);
      const first = this.#places[from];
      if (first === undefined || this.#closed || this.#dead) return [];
      let to = from + 1;
      while (end(this.#places[to]) - first.start <= bytes) to += 1;
      const places = this.#places.slice(from, to);
      const content = await this.#file.read(first.start, end(places.at(-1)) - first.start);
      return places.map(({ sequence, start, size }) => {
        const record = decodeFrame(content.subarray(start - first.start, start - first.start + size)) as JournalRecord;
        if (record === undefined || !isSent(record) || record.sequence !== sequence)
          throw corrupt(this.#options.path, start, this.#size);
        return { sequence, message: messageOf(record) };
      });
    }).catch((thrown) => {
      this.#fail(thrown);
      return [];
    });
  }

  /** Called whenever there is more to {@link read}. One listener. */
  onOutgoing(listener: () => void): void {
    this.#onOutgoing = listener;
  }

  /**
   * Adds a record; gives a message its sequence. Returns at once: {@link synced} waits for the disk. A `lazy` record does
   * not ask for a write of its own and rides along with the next. After {@link close} nothing is written any more.
   */
  append(record: NewRecord, { lazy = false }: { lazy?: boolean } = {}): JournalRecord {
    const numbered = (isSent(record) ? { ...record, sequence: this.#sequence + 1 } : record) as JournalRecord;
    if (this.#closed) return numbered;
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

  /** Like {@link synced}, but a full disk does not make it wait: then what was appended may not be known after a crash. */
  settled(): Promise<void> {
    if (this.#isFull) return Promise.resolve();
    return new Promise((resolve) => {
      this.#impatient.add(resolve);
      void this.synced().then(() => {
        this.#impatient.delete(resolve);
        resolve();
      });
    });
  }

  /** The controller has synced every message up to `sequence`. */
  acknowledge(sequence: number): void {
    const acked = Math.min(sequence, this.#sequence);
    if (acked <= this.#acked) return;
    this.append({ type: 'acked', sequence: acked }, { lazy: true });
  }

  /** Writes what was appended, unless the disk is full or broken; nobody was told then that it was written. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#pending.length > 0) this.#kick();
    await this.#writing;
    await this.#alone(() => this.#file.close());
  }

  /** Index of the first place above `sequence`. */
  #placeAfter(sequence: number): number {
    let [low, high] = [0, this.#places.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#places[middle] as Place).sequence > sequence) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #take(record: JournalRecord): void {
    // A rewritten journal's header knows of higher ones than the records of older runs that were kept.
    if (isSent(record)) this.#sequence = Math.max(this.#sequence, record.sequence);
    else if (record.type === 'journal') [this.#id, this.#sequence] = [record.id, record.sequence];
    else if (record.type === 'acked') this.#acked = record.sequence;
  }

  #kick(): void {
    if (this.#writing !== undefined || this.#dead) return;
    // setImmediate: whatever this turn still appends (an end and the next begin) shares the sync.
    this.#writing = new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#drain());
  }

  async #drain(): Promise<void> {
    try {
      while (this.#pending.length > 0 || this.#waiters.length > 0 || this.#marked < this.#synced) {
        if (this.#pending.length === 0 && this.#waiters.length === 0) {
          await this.#mark();
          continue;
        }
        const waiters = this.#waiters.splice(0);
        const batch = this.#pending.splice(0);
        if (batch.length > 0) await this.#write(batch);
        this.#synced = this.#number;
        for (const waiter of waiters) waiter();
        if (batch.some(isSent)) this.#onOutgoing();
        if (this.#size > (this.#options.compactAbove ?? COMPACT_ABOVE) && this.#size > 2 * this.#sizeAfterCompaction) {
          await this.#alone(() => this.#compactNow());
        }
      }
      this.#writing = undefined;
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    if (this.#dead) return;
    this.#dead = true;
    if (!this.#closed)
      this.#options.onFatal(thrown instanceof KkError ? thrown : unwritable(this.#options.path, thrown));
  }

  async #write(batch: readonly JournalRecord[]): Promise<void> {
    let number = this.#number;
    const frames = batch.map((record) => encodeFrame(++number, this.#synced, record));
    const bytes = Buffer.concat(frames);
    for (let full = false; ; ) {
      try {
        await this.#file.append(bytes);
        await this.#file.sync();
        this.#isFull = false;
        if (full) this.#options.onTrouble(undefined);
        break;
      } catch (thrown) {
        if (!isDiskFull(thrown) || this.#closed) throw thrown;
        full = true;
        this.#isFull = true;
        for (const go of this.#impatient) go();
        this.#options.onTrouble(diskFull(this.#options.path));
        await this.#file.truncate(this.#size);
        await this.#options.pause(RETRY_MS);
      }
    }
    this.#number = number;
    for (const [index, record] of batch.entries()) {
      const size = frames[index]?.length ?? 0;
      if (isSent(record)) this.#places.push({ sequence: record.sequence, start: this.#size, size });
      this.#size += size;
    }
  }

  /** A courtesy to the next start, which could not tell a damaged last record from a torn one. */
  async #mark(): Promise<void> {
    this.#marked = this.#synced;
    await this.#file.mark(encodeMark(this.#synced)).catch((thrown) => {
      if (!isDiskFull(thrown)) throw thrown;
    });
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
    if (content.length > scan.end) await file.truncate(scan.end);
    this.#file = file;
    this.#places = placesIn(scan);
    [this.#number, this.#synced, this.#size, this.#sizeAfterCompaction] = [scan.last, scan.last, scan.end, scan.end];
    this.#marked = 0;
  }
}

function placesIn({ records, starts, end: whole }: Scan): Place[] {
  return (records as JournalRecord[]).flatMap((record, index) => {
    const start = starts[index] ?? 0;
    return isSent(record) ? [{ sequence: record.sequence, start, size: (starts[index + 1] ?? whole) - start }] : [];
  });
}

/** Where a place ends; beyond everything when there is none. */
function end(place: Place | undefined): number {
  return place === undefined ? Number.POSITIVE_INFINITY : place.start + place.size;
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
