/**
 * Named points at which a test may end the process, or cut the power of a simulated machine: before and after every durable
 * write, and wherever a crash in between would be told apart. In production nobody arms them and they do nothing.
 * The names are listed in agent/durable/points.ts and controller/durable/points.ts.
 */
let hook: ((point: string) => void) | undefined;

export const crash = {
  /** Execution passes this point. Names are `side.what.when`, such as `agent.journal.written`. */
  at(point: string): void {
    hook?.(point);
  },
  /** Tests only: from now on each point is told; undefined: no more. */
  arm(then: ((point: string) => void) | undefined): void {
    hook = then;
  },
};

/** The moments of each kind of durable write, in order: the points of a write are `<its name>.<moment>`. */
export const MOMENTS = {
  /** A file's content changes at once: temporary file, fsync, rename, fsync of the folder. */
  replace: ['before', 'written', 'synced', 'renamed', 'after'],
  /** A name appears with its whole content, or it is somebody else's already. Survives the process, not a power cut. */
  claim: ['before', 'written', 'after'],
  /** A name is given to something else at once, and the folder synced. */
  rename: ['before', 'renamed', 'after'],
  /** A name goes away, and the folder is synced. */
  remove: ['before', 'removed', 'after'],
  /** A file or folder that was written elsewhere is synced. */
  sync: ['before', 'after'],
  /** A file that grows: bytes are appended and synced, or cut off its end. */
  log: ['opened', 'before', 'written', 'after', 'cutting', 'cut'],
  /** A transaction of the database. */
  transaction: ['before', 'written', 'after'],
} as const;

export type WriteKind = keyof typeof MOMENTS;

/** Every point of a table of writes (name -> kind) and of single points. */
export function pointsOf(writes: Readonly<Record<string, WriteKind>>, single: readonly string[]): string[] {
  return [...Object.entries(writes).flatMap(([name, kind]) => MOMENTS[kind].map((at) => `${name}.${at}`)), ...single];
}

/** The names in a table of writes that are of one kind. */
export type WriteOf<Table, Kind extends WriteKind> = {
  [Name in keyof Table]: Table[Name] extends Kind ? Name : never;
}[keyof Table] &
  string;
