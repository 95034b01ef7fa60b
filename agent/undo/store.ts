/**
 * The undo journal of the node (ENGINE 3.8): what each resource was before kk first touched it (its origin) and before each
 * step's change to it, on disk before the change is made. One document for each resource, replaced as a whole, so that a
 * crash leaves the old or the new one; bytes lie beside them by digest.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { KkError } from '../../shared/errors.ts';
import { makePrivateFolder, remove, replace } from '../durable/files.ts';
import type { Host } from '../host/host.ts';
import { Contents, digestOf } from './contents.ts';
import { Change, fits, Image, lost, Resource } from './image.ts';
import { isSame } from './judge.ts';
import type { Hands, ResourceKinds } from './resource.ts';

const FORMAT = 1;

const Entry = z.strictObject({
  format: z.literal(FORMAT),
  resource: Resource,
  /** As it was before kk ever touched it; kept until the state folder is deleted. */
  origin: Image,
  /** Oldest first. */
  changes: z.array(Change).max(10_000),
  /** Steps (`run task`) whose changes were dropped to keep the entry small. */
  dropped: z.array(z.string()).max(10_000),
});
type Entry = z.infer<typeof Entry>;

export interface Limits {
  /** Bytes of all contents. Above it the oldest changes lose theirs, origins never. */
  contents: number;
  /** Changes of one resource; the oldest is dropped. */
  changes: number;
}

export const LIMITS: Limits = { contents: 512 * 1024 * 1024, changes: 100 };
/** Names of steps whose changes were dropped; older ones are in nobody's interest any more. */
const DROPPED = 1000;

/** Bytes of what is there that are held to be shown; of more than that only the digest is. */
const SHOWN = 2 * 1024 * 1024;

/** Whose change it is. */
export interface StepOf {
  run: string;
  task: string;
}

/** What a step changed of one resource, oldest first. */
export interface Remembered {
  resource: Resource;
  changes: Change[];
}

export interface UndoStoreOptions {
  /** `undo` in the agent's state folder. */
  folder: string;
  kinds: ResourceKinds;
  host: Host;
  limits?: Limits;
}

/** Looking is short, and what has been looked at must be kept before anything else. */
const NEVER = new AbortController().signal;

interface Loaded {
  contents: Contents;
  entries: Map<string, Entry>;
  /** Files that are no entries, with why: nobody knows whose changes they hold. */
  damaged: string[];
  sequence: number;
}

export class UndoStore {
  readonly #options: UndoStoreOptions & { limits: Limits };
  #loaded: Promise<Loaded> | undefined;
  /** Changes are remembered one after another. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: UndoStoreOptions) {
    this.#options = { limits: LIMITS, ...options };
  }

  get kinds(): ResourceKinds {
    return this.#options.kinds;
  }

  /** Where bytes to be restored lie: a person is told, when kk may not restore them itself. */
  get contentsFolder(): string {
    return join(this.#options.folder, 'contents');
  }

  /**
   * Keeps how a resource is now; on disk once this resolves, and only then may it be changed. `after`: what is about to be
   * left. Answers why it cannot be undone, if so: its image is too large or not restorable, or the store is full.
   */
  remember(step: StepOf & { item: number }, resource: Resource, after: Image): Promise<string | undefined> {
    return this.#inTurn(async (loaded) => {
      const { kinds, host, limits } = this.#options;
      const kind = kinds[resource.kind];
      if (kind === undefined) throw new Error(`no kind of resource ${resource.kind}`);
      const kept: Buffer[] = [];
      const present = await kind.look(resource.id, {
        host,
        signal: NEVER,
        keeps: true,
        keep: async (bytes) => {
          kept.push(bytes);
          return digestOf(bytes);
        },
        content: (digest) => loaded.contents.read(digest),
      });
      const isKept = fits(present) && fits(after);
      const before = isKept
        ? await this.#keepContents(loaded, kept, present)
        : lost(`what is told of the ${resource.kind} is too large to be kept`);
      const key = keyOf(resource);
      // What is left of it may be all that a person has to mend by.
      if (loaded.damaged.includes(this.#pathOf(key))) return `its undo journal ${this.#pathOf(key)} is damaged`;
      const known = loaded.entries.get(key);
      const entry: Entry = known ?? { format: FORMAT, resource, origin: before, changes: [], dropped: [] };
      const { run, task, item } = step;
      const change = { run, task, item, sequence: loaded.sequence + 1, atMs: host.nowMs(), before };
      const changes = merged(entry.changes, { ...change, after: isKept ? after : { state: after.state } });
      const over = changes.slice(0, Math.max(0, changes.length - limits.changes)).map((old) => stepKey(old));
      const dropped = [...new Set([...entry.dropped, ...over])].slice(-DROPPED);
      await this.#write(loaded, { ...entry, changes: changes.slice(over.length), dropped });
      loaded.sequence += 1;
      return before.state === 'lost' ? String(before['why']) : undefined;
    });
  }

  /**
   * What a step changed, the latest resource first. Throws KkError UNDO_DAMAGED when part of the store cannot be read,
   * UNDO_NOT_KEPT when changes of the run had to be dropped.
   */
  changesOf({ run, task }: StepOf): Promise<Remembered[]> {
    return this.#inTurn(async ({ entries, damaged }) => {
      if (damaged.length > 0) throw damagedError(damaged);
      const found = [...entries.values()].flatMap(({ resource, changes, dropped }) => {
        if (dropped.includes(stepKey({ run, task }))) throw droppedError(resource, run);
        const own = changes.filter((change) => change.run === run && change.task === task);
        return own.length === 0 ? [] : [{ resource, changes: own }];
      });
      const last = ({ changes }: Remembered): number => changes.at(-1)?.sequence ?? 0;
      return found.sort((a, b) => last(b) - last(a));
    });
  }

  /**
   * What all steps changed that `isOwn` takes, in whatever runs; what was changed first comes last. Where its oldest images had to
   * be dropped, it is the origin that is to come back. Throws KkError UNDO_DAMAGED.
   */
  changesBy(isOwn: (step: StepOf) => boolean): Promise<Remembered[]> {
    return this.#inTurn(async ({ entries, damaged }) => {
      if (damaged.length > 0) throw damagedError(damaged);
      const found = [...entries.values()].flatMap((entry) => {
        const changes = sinceOrigin(entry, isOwn);
        return changes.length === 0 ? [] : [{ resource: entry.resource, changes }];
      });
      const first = ({ changes }: Remembered): number => changes[0]?.sequence ?? 0;
      return found.sort((a, b) => first(b) - first(a));
    });
  }

  /** The step's changes are undone: they are remembered no more, nor the origin of what is as it was then. */
  forget({ run, task }: StepOf): Promise<void> {
    return this.#inTurn(async (loaded) => {
      const isOwn = (step: StepOf): boolean => step.run === run && step.task === task;
      for (const entry of [...loaded.entries.values()]) await this.#forgetIn(loaded, entry, isOwn, entry.dropped);
      await loaded.contents.sweep(namedIn(loaded.entries));
    });
  }

  /** The same of all steps that `isOwn` takes, as far as these resources go. */
  forgetBy(isOwn: (step: StepOf) => boolean, resources: readonly Resource[]): Promise<void> {
    return this.#inTurn(async (loaded) => {
      for (const resource of resources) {
        const entry = loaded.entries.get(keyOf(resource));
        if (entry === undefined) continue;
        await this.#forgetIn(
          loaded,
          entry,
          isOwn,
          entry.dropped.filter((step) => !isOwn(stepOf(step))),
        );
      }
      await loaded.contents.sweep(namedIn(loaded.entries));
    });
  }

  /** Hands for looking at a resource now and for restoring it. `saw`: bytes of what is there, by digest, but large ones. */
  hands(signal: AbortSignal, saw: Map<string, Buffer>): Hands {
    return {
      host: this.#options.host,
      signal,
      keeps: false,
      keep: async (bytes) => {
        const digest = digestOf(bytes);
        if (bytes.length <= SHOWN) saw.set(digest, bytes);
        return digest;
      },
      content: async (digest) => (await this.#load()).contents.read(digest),
    };
  }

  #pathOf(key: string): string {
    return join(this.#options.folder, `${key}.json`);
  }

  #inTurn<T>(work: (loaded: Loaded) => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => work(await this.#load()));
    this.#last = turn.catch(() => {});
    return turn;
  }

  #load(): Promise<Loaded> {
    this.#loaded ??= load(this.#options.folder).catch((thrown: unknown) => {
      this.#loaded = undefined;
      throw thrown;
    });
    return this.#loaded;
  }

  /** The image with its bytes kept; `lost` when there is no room for them. */
  async #keepContents(loaded: Loaded, kept: readonly Buffer[], image: Image): Promise<Image> {
    const { contents } = loaded;
    const room = this.#options.limits.contents;
    const fresh = kept.filter((bytes) => !contents.has(digestOf(bytes)));
    const needed = fresh.reduce((sum, bytes) => sum + bytes.length, 0);
    if (contents.size + needed > room) await this.#makeRoom(loaded, room - needed);
    if (contents.size + needed > room)
      return lost(`the undo store is full: ${contents.size} of ${room} bytes are in use`);
    for (const bytes of fresh) await contents.keep(bytes);
    return image;
  }

  /** The oldest changes lose their bytes until no more than `room` are in use. */
  async #makeRoom(loaded: Loaded, room: number): Promise<void> {
    const { contents, entries } = loaded;
    const all = [...entries.values()].flatMap((entry) => entry.changes.map((change) => change.sequence));
    for (const sequence of all.sort((a, b) => a - b)) {
      if (contents.size <= room) return;
      const entry = [...entries.values()].find(({ changes }) => changes.some((change) => change.sequence === sequence));
      if (entry === undefined) continue;
      const changes = entry.changes.map((change) => {
        const isIt = change.sequence === sequence && bytesOf(change.before).length > 0;
        return isIt ? { ...change, before: lost('it was dropped to make room for newer ones') } : change;
      });
      await this.#write(loaded, { ...entry, changes });
      await contents.sweep(namedIn(entries));
    }
  }

  async #write(loaded: Loaded, entry: Entry): Promise<void> {
    const key = keyOf(entry.resource);
    await replace(this.#pathOf(key), JSON.stringify(entry), 'agent.undo.resource');
    loaded.entries.set(key, entry);
  }

  async #forgetIn(loaded: Loaded, entry: Entry, isOwn: (step: StepOf) => boolean, dropped: string[]): Promise<void> {
    const first = entry.changes.find(isOwn);
    if (first === undefined) return;
    const changes = entry.changes.filter((change) => !isOwn(change));
    const isOrigin = changes.length === 0 && first.before.state !== 'lost' && isSame(first.before, entry.origin);
    if (isOrigin && dropped.length === 0) await this.#remove(loaded, entry);
    else await this.#write(loaded, { ...entry, changes, dropped });
  }

  async #remove(loaded: Loaded, { resource }: Entry): Promise<void> {
    const key = keyOf(resource);
    await remove(this.#pathOf(key), 'agent.undo.forget');
    loaded.entries.delete(key);
  }
}

async function load(folder: string): Promise<Loaded> {
  await makePrivateFolder(folder);
  const loaded: Loaded = {
    contents: await Contents.open(join(folder, 'contents')),
    entries: new Map(),
    damaged: [],
    sequence: 0,
  };
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (name.endsWith('.new')) await rm(path, { force: true });
    if (!name.endsWith('.json')) continue;
    const entry = readEntry(await readFile(path, 'utf8'));
    if (entry === undefined || `${keyOf(entry.resource)}.json` !== name) loaded.damaged.push(path);
    else loaded.entries.set(keyOf(entry.resource), entry);
    for (const { sequence } of entry?.changes ?? []) loaded.sequence = Math.max(loaded.sequence, sequence);
  }
  // While an entry cannot be read, nobody knows which bytes it names.
  if (loaded.damaged.length === 0) await loaded.contents.sweep(namedIn(loaded.entries));
  return loaded;
}

function readEntry(text: string): Entry | undefined {
  try {
    return Entry.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function stepKey({ run, task }: StepOf): string {
  return `${run} ${task}`;
}

/** The step by its {@link stepKey}; the id of a run has no blank. */
function stepOf(key: string): StepOf {
  const blank = key.indexOf(' ');
  return { run: key.slice(0, blank), task: key.slice(blank + 1) };
}

/** The changes that `isOwn` takes, oldest first. */
function sinceOrigin({ changes, dropped, origin }: Entry, isOwn: (step: StepOf) => boolean): Change[] {
  const [first, ...others] = changes.filter(isOwn);
  if (first === undefined) return [];
  const isCut = dropped.some((step) => isOwn(stepOf(step)));
  if (!isCut && first.before.state !== 'lost') return [first, ...others];
  // The origin is what was before the first of all changes, which must have been of these steps.
  const isOldest = first === changes[0] && dropped.every((step) => isOwn(stepOf(step)));
  const before = isOldest ? origin : lost('it was changed too often since');
  return [{ ...first, before }, ...others];
}

function keyOf({ kind, id }: Resource): string {
  return digestOf(Buffer.from(`${kind}\0${id}`));
}

/** A change that continues the last one of the same item (another attempt, or one that a crash cut short) is one with it. */
function merged(changes: readonly Change[], change: Change): Change[] {
  const last = changes.at(-1);
  const isSameItem =
    last !== undefined && last.run === change.run && last.task === change.task && last.item === change.item;
  if (!isSameItem || last.before.state === 'lost') return [...changes, change];
  const continues = isSame(change.before, last.after) || isSame(change.before, last.before);
  return continues ? [...changes.slice(0, -1), { ...change, before: last.before }] : [...changes, change];
}

const DIGEST = /^[0-9a-f]{64}$/;

/** The digests that an image names. */
function bytesOf(image: Image): string[] {
  return Object.values(image).filter((value): value is string => typeof value === 'string' && DIGEST.test(value));
}

function namedIn(entries: ReadonlyMap<string, Entry>): Set<string> {
  const images = [...entries.values()].flatMap(({ origin, changes }) => [
    origin,
    ...changes.map(({ before }) => before),
  ]);
  return new Set(images.flatMap(bytesOf));
}

function damagedError(paths: readonly string[]): KkError {
  return new KkError({
    code: 'UNDO_DAMAGED',
    message: `The undo journal of this node has ${paths.length} damaged files: what they held cannot be undone.`,
    remedy: 'See the disk of the node; move the files away to undo what the others hold, and mend the rest by hand.',
    evidence: paths.slice(0, 20).join('\n'),
  });
}

function droppedError({ kind, id }: Resource, run: string): KkError {
  return new KkError({
    code: 'UNDO_NOT_KEPT',
    message: `How the ${kind} ${id} was before run ${run} is not kept any more: it was changed too often since.`,
    remedy: 'Bring it back by hand, and roll back the other tasks (--task).',
  });
}
