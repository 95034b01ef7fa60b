/**
 * A journal's life on simulated media: random work, and at every change of the disk the images that a power cut there
 * could leave, each with what must be in it. Deterministic for a seed.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Journal, JournalOptions } from '../../agent/executor/journal.ts';
import { isSent, type JournalRecord, type NewRecord } from '../../agent/executor/records.ts';
import type { Share } from '../../shared/share.ts';
import { type Luck, Media, randomOf } from './media.ts';
import { mount } from './media-fs.ts';

export const FOLDER = '/simulated';
const PATH = `${FOLDER}/journal`;
const SHARE: Share = { format: 1, node: 'n', kind: 'plan', tasks: [], hostVars: {}, batches: {} };
/** Small, so that it is rewritten every few records. */
const COMPACT_ABOVE = 1_500;

export interface Parts {
  Journal: typeof Journal;
  disk: JournalOptions['disk'];
}

/** What was appended in all lives, in order; everything below `safe` had been synced, or read after a start. */
interface Memory {
  id: string;
  written: JournalRecord[];
  safe: number;
  /** The highest number that was acknowledged. */
  acked: number;
}

interface Image {
  where: string;
  files: Map<string, Buffer>;
  memory: Memory;
}

export class Story {
  readonly #parts: Parts;
  readonly #random: () => number;
  #media = new Media();
  #memory: Memory = { id: '', written: [], safe: 0, acked: 0 };
  #step = 0;
  #stamp = 0;
  #images: Image[] = [];

  constructor(parts: Parts, seed: number) {
    this.#parts = parts;
    this.#random = randomOf(seed);
  }

  /** One start of the agent and its end; then every image is looked at. Returns how many, and what is wrong with them. */
  async live(): Promise<{ points: number; wrong: string[] }> {
    this.#images = [];
    let killedAt = this.#chance(0.5) ? this.#step + 1 + this.#upTo(25) : Number.POSITIVE_INFINITY;
    let stop = (): void => {};
    const killed = new Promise<void>((resolve) => {
      stop = resolve;
    });
    mount({
      folder: FOLDER,
      media: this.#media,
      before: (what) => {
        this.#step += 1;
        this.#photograph(`step ${this.#step}, before ${what}`);
        if (this.#step < killedAt) return undefined;
        stop();
        return new Promise(() => {});
      },
    });
    const work = this.#work();
    await Promise.race([work, killed]);
    // What is still going on comes to a halt at its next change: only this process's own turns are left of it.
    killedAt = 0;
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    this.#photograph(`after step ${this.#step}`);
    const files = this.#media.afterCut(this.#luck());
    // A kill leaves what the kernel holds, a power cut does not.
    if (this.#chance(0.6)) this.#media = new Media(files);
    const wrong: string[] = [];
    for (const image of this.#images) {
      const found = await this.#look(image);
      if (found !== undefined) wrong.push(`${image.where}: ${found}`);
    }
    return { points: this.#images.length, wrong };
  }

  /** The next life goes on from what is on the media now: what it reads is what counts. */
  async #work(): Promise<void> {
    const memory = this.#memory;
    const { journal, records } = await this.#open();
    if (memory.id === '') memory.id = journal.id;
    this.#settle(memory, records);
    for (let left = 3 + this.#upTo(15); left > 0; left -= 1) await this.#act(journal);
    if (this.#chance(0.5)) {
      const upTo = memory.written.length;
      await journal.close();
      memory.safe = Math.max(memory.safe, upTo);
    }
  }

  async #act(journal: Journal): Promise<void> {
    const memory = this.#memory;
    const kind = this.#random();
    if (kind < 0.15) {
      const told = journal.outgoing();
      const upTo = told[this.#upTo(told.length)]?.sequence;
      if (upTo === undefined) return;
      memory.acked = Math.max(memory.acked, upTo);
      journal.acknowledge(upTo);
      return;
    }
    if (kind < 0.4) {
      const upTo = memory.written.length;
      const told = journal.synced().then(() => {
        memory.safe = Math.max(memory.safe, upTo);
      });
      if (this.#chance(0.7)) await told;
      else await new Promise((resolve) => setImmediate(resolve));
      return;
    }
    for (let count = 1 + this.#upTo(4); count > 0; count -= 1) {
      memory.written.push(journal.append(this.#record(), { lazy: this.#chance(0.2) }));
    }
  }

  #record(): NewRecord {
    this.#stamp += 1;
    const run = `r${Math.floor(this.#stamp / 12) - this.#upTo(2)}`;
    const kind = this.#random();
    // No two records are the same.
    const revision = this.#stamp;
    if (kind < 0.1) return { type: 'forget', run, revision };
    const isKnown = this.#memory.written.some((one) => one.type === 'push' && one.run === run);
    if (kind < 0.16 || !isKnown) return { type: 'push', run, revision, share: SHARE, common: 'c', leaseMs: 0 };
    if (kind < 0.3) return { type: 'permit', run, revision: 1, task: this.#stamp };
    const cause = 'x'.repeat(this.#chance(0.1) ? 700 : this.#upTo(40));
    return { type: 'blocked', run, revision: 1, tasks: [this.#stamp], cause, cancelled: false, atMs: 1 };
  }

  #open() {
    return this.#parts.Journal.open({
      path: PATH,
      disk: this.#parts.disk,
      newId: () => `id-${this.#stamp}`,
      pause: () => Promise.resolve(),
      onTrouble: () => {},
      onFatal: (error) => {
        throw error;
      },
      compactAbove: COMPACT_ABOVE,
    });
  }

  /** What a start has read counts as written, and nothing else. */
  #settle(memory: Memory, records: readonly JournalRecord[]): void {
    const found = new Set(records.filter(isOurs).map(stampOf));
    memory.written = memory.written.filter((record, index) => index < memory.safe || found.has(stampOf(record)));
    memory.safe = memory.written.length;
  }

  #photograph(where: string): void {
    const { id, written, safe, acked } = this.#memory;
    const seen = new Set<string>();
    for (const luck of [{ kind: 'none' }, { kind: 'all' }, this.#some(), this.#some(), this.#some()] as Luck[]) {
      const files = this.#media.afterCut(luck);
      const key = [...files].map(([name, content]) => `${name} ${content.toString('latin1')}`).join('\n');
      if (seen.has(key)) continue;
      seen.add(key);
      this.#images.push({ where, files, memory: { id, written: [...written], safe, acked } });
    }
  }

  /** What is wrong with what a start on this image finds; undefined: nothing. */
  async #look({ files, memory }: Image): Promise<string | undefined> {
    mount({ folder: FOLDER, media: new Media(files), before: () => undefined });
    try {
      const { journal, records } = await this.#open();
      const wrong = judge(memory, journal, records);
      if (wrong !== undefined || this.#random() > 0.1) return wrong;
      // It can be worked with, too.
      const next = journal.append({ type: 'permit', run: 'next', revision: 1, task: 1 });
      await journal.close();
      const again = await this.#open();
      const last = again.records.at(-1);
      if (!isDeepStrictEqual(last, next)) return `the next record is not there: ${JSON.stringify(last)}`;
      return judge(memory, again.journal, again.records.slice(0, -1));
    } catch (thrown) {
      return `it does not open: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    }
  }

  #luck(): Luck {
    const kind = this.#random();
    return kind < 0.2 ? { kind: 'none' } : kind < 0.4 ? { kind: 'all' } : this.#some();
  }

  #some(): Luck {
    return { kind: 'some', share: 0.1 + 0.85 * this.#random(), random: this.#random };
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #upTo(count: number): number {
    return Math.floor(this.#random() * count);
  }
}

/** Records of the story; the journal adds some of its own. */
function isOurs(record: JournalRecord): boolean {
  return ['blocked', 'permit', 'forget', 'push'].includes(record.type);
}

/** Tells one record of the story from all others. */
function stampOf(record: JournalRecord): string {
  return JSON.stringify(record);
}

function judge(memory: Memory, journal: Journal, records: readonly JournalRecord[]): string | undefined {
  const { written, safe, id, acked } = memory;
  if (id !== '' && safe > 0 && journal.id !== id) return `it is another journal: ${journal.id} instead of ${id}`;
  const found = records.filter(isOurs).map(stampOf);
  const places = new Map(written.map((record, index) => [stampOf(record), index]));
  let before = -1;
  for (const one of found) {
    const place = places.get(one);
    if (place === undefined) return `a record that was never written: ${one}`;
    if (place <= before) return `out of order: ${one}`;
    before = place;
  }
  const there = new Set(found);
  const needed = Math.max(safe, before + 1);
  for (const [index, record] of written.slice(0, needed).entries()) {
    if (!there.has(stampOf(record)) && !mayBeGone(record, index, written, acked, there))
      return `record ${index} of ${safe} synced ones is not there: ${stampOf(record)}`;
  }
  const highest = Math.max(0, ...written.slice(0, safe).map((record) => (isSent(record) ? record.sequence : 0)));
  if (journal.lastSequence < highest) return `sequences go back from ${highest} to ${journal.lastSequence}`;
  const waiting = journal.outgoing().map((out) => out.sequence);
  const first = waiting[0] ?? journal.lastSequence + 1;
  if (first > acked + 1 && first > 1) return `message ${acked + 1} is neither acknowledged nor waiting`;
  if (waiting.some((sequence, index) => sequence !== first + index)) return `a gap among those that wait: ${waiting}`;
  if (waiting.length > 0 && waiting.at(-1) !== journal.lastSequence) return `the last one does not wait: ${waiting}`;
  return undefined;
}

/**
 * A rewritten journal does without what came of a run before it was forgotten, or since then without a new push; but not
 * without messages that wait, nor the word that forgot it (the last one, of so few runs as here).
 */
function mayBeGone(
  record: JournalRecord,
  index: number,
  written: readonly JournalRecord[],
  acked: number,
  there: ReadonlySet<string>,
): boolean {
  if (!('run' in record) || (isSent(record) && record.sequence > acked)) return false;
  const ofRun = written.flatMap((one, at) => ('run' in one && one.run === record.run ? [{ one, at }] : []));
  return ofRun.some(({ one: forget, at: forgotten }) => {
    if (forget.type !== 'forget' || !there.has(stampOf(forget))) return false;
    if (forgotten > index) return true;
    const isPushed = ofRun.some(({ one, at }) => one.type === 'push' && at > forgotten && at <= index);
    return record.type !== 'forget' && !isPushed;
  });
}

export type Resting = 'new' | 'in batches' | 'rewritten';

const OPTIONS = {
  path: PATH,
  newId: () => 'id',
  pause: () => Promise.resolve(),
  onTrouble: () => {},
  onFatal: (error: Error) => {
    throw error;
  },
};

/** The bytes of a journal that nobody writes to, after such a life. */
export async function restingJournal({ Journal, disk }: Parts, history: Resting): Promise<Buffer> {
  const media = new Media();
  mount({ folder: FOLDER, media, before: () => undefined });
  const open = () => Journal.open({ ...OPTIONS, disk, ...(history === 'rewritten' ? { compactAbove: 300 } : {}) });
  const { journal } = await open();
  for (let batch = 0; batch < (history === 'new' ? 0 : 5); batch += 1) {
    for (const run of ['held', 'other']) {
      const cause = `batch ${batch}`;
      journal.append({ type: 'blocked', run, revision: 1, tasks: [batch], cause, cancelled: false, atMs: 1 });
    }
    await journal.synced();
    if (batch === 3) journal.acknowledge(5);
    if (batch === 3) journal.append({ type: 'forget', run: 'other' });
  }
  await journal.close();
  if (history === 'rewritten') await (await open()).journal.close();
  return Buffer.from(media.file(PATH)?.now ?? '');
}

/** All that a start makes of these bytes, or the code of its refusal, which leaves the bytes alone. */
export async function stateOf({ Journal, disk }: Parts, bytes: Buffer): Promise<string> {
  const media = new Media(new Map([['journal', bytes]]));
  mount({ folder: FOLDER, media, before: () => undefined });
  try {
    const { journal, records } = await Journal.open({ ...OPTIONS, disk });
    const waiting = journal.outgoing().map((out) => out.sequence);
    return JSON.stringify([journal.id, journal.lastSequence, waiting, records]);
  } catch (thrown) {
    if (!media.file(PATH)?.now.equals(bytes)) return 'the file was changed';
    return (thrown as { code?: string }).code ?? String(thrown);
  }
}
