/**
 * Work for the store, the same for the same number, and what the database must hold after so much of it. As a program
 * (`node store-work.ts FOLDER FROM TO close|kill`) it does the work on the real store and tells on stdout, one write each,
 * what it is about to ask for (`ask <n>`) and what was acknowledged (`ack <n>`).
 */
import { writeSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import type { RunEvent } from '../../controller/run/events.ts';
import { openDatabase } from '../../controller/store/database.ts';
import { eventLog } from '../../controller/store/event-log.ts';
import { openIdentities } from '../../controller/store/identities.ts';
import { tokenStore } from '../../controller/store/tokens.ts';

/** Everything in the store that the work touches. */
export interface StoreState {
  runs: string[];
  events: [run: string, seq: number, body: string][];
  cursors: Record<string, number>;
  /** Uses left. */
  tokens: Record<string, number>;
  /** Name to serial. */
  identities: Record<string, string>;
}

export const nothing = (): StoreState => ({ runs: [], events: [], cursors: {}, tokens: {}, identities: {} });

type Deed =
  | { kind: 'run'; id: string }
  | { kind: 'events'; run: string; first: number; events: RunEvent[]; node: string; sequence: number }
  | { kind: 'token'; id: string }
  | { kind: 'take'; id: string }
  | { kind: 'identity'; name: string; before: string | undefined; serial: string };

/** The n-th deed, from 0. Each is one transaction. */
export function deedOf(n: number): Deed {
  const round = Math.floor(n / 10);
  const place = n % 10;
  const run = `run-${round}`;
  if (place === 0) return { kind: 'run', id: run };
  if (place === 7) return { kind: 'token', id: `token-${round}` };
  if (place === 8) return { kind: 'take', id: `token-${round}` };
  if (place === 9) {
    const before = round === 0 ? undefined : `serial-${round - 1}`;
    return { kind: 'identity', name: 'node', before, serial: `serial-${round}` };
  }
  const events = [0, 1].map(
    (index): RunEvent => ({ kind: 'given_up', at: n, node: index, cause: filler(n, index) }) as never,
  );
  return { kind: 'events', run, first: 1 + 2 * (place - 1), events, node: `n${n % 3}`, sequence: n };
}

/** Some records fill pages, most do not. */
function filler(n: number, index: number): string {
  return `${n}/${index} ${'lorem ipsum '.repeat((n * 7 + index * 3) % 11 === 0 ? 400 : (n * 5) % 40)}`;
}

export function apply(state: StoreState, deed: Deed): void {
  if (deed.kind === 'run') state.runs.push(deed.id);
  else if (deed.kind === 'token') state.tokens[deed.id] = 2;
  else if (deed.kind === 'take') state.tokens[deed.id] = (state.tokens[deed.id] ?? 0) - 1;
  else if (deed.kind === 'identity') state.identities[deed.name] = deed.serial;
  else {
    for (const [index, event] of deed.events.entries())
      state.events.push([deed.run, deed.first + index, JSON.stringify(event)]);
    state.cursors[deed.node] = deed.sequence;
  }
}

/** What is in a database file. Throws when it is not sound. */
export function stateIn(database: DatabaseSync): StoreState {
  const rows = (sql: string) => database.prepare(sql).all() as Record<string, string | number>[];
  const sound = rows('PRAGMA integrity_check')[0]?.['integrity_check'];
  if (sound !== 'ok') throw new Error(`integrity_check: ${sound}`);
  const state = nothing();
  if (rows("SELECT name FROM sqlite_master WHERE name = 'last_plans'").length === 0) return state;
  state.runs = rows('SELECT id FROM runs ORDER BY created_ms').map((row) => String(row['id']));
  state.events = rows('SELECT run, seq, body FROM events').map((row) => [
    String(row['run']),
    Number(row['seq']),
    String(row['body']),
  ]);
  for (const row of rows('SELECT * FROM nodes')) state.cursors[String(row['name'])] = Number(row['journal_sequence']);
  for (const row of rows('SELECT * FROM tokens')) state.tokens[String(row['id'])] = Number(row['uses_left']);
  for (const row of rows('SELECT * FROM identities'))
    state.identities[String(row['name'])] = (JSON.parse(String(row['body'])) as { current: string }).current;
  return state;
}

/** The same text for the same content, in whatever order it came. */
export function digest(state: StoreState): string {
  const sorted = (table: Record<string, unknown>) => Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1));
  const events = [...state.events].sort(([a, i], [b, j]) => (a === b ? i - j : a < b ? -1 : 1));
  return JSON.stringify([state.runs, events, sorted(state.cursors), sorted(state.tokens), sorted(state.identities)]);
}

async function work(folder: string, from: number, to: number): Promise<() => Promise<void>> {
  const database = await openDatabase(folder);
  const [log, tokens, identities] = [eventLog(database), tokenStore(database), await openIdentities(database)];
  const identity = (name: string, current: string) => ({ name, current, keyHash: 'k', tokenId: 't', revoked: false });
  const done = async (deed: Deed): Promise<unknown> => {
    if (deed.kind === 'token')
      return tokens.add({
        id: deed.id,
        secretHash: 's',
        createdAt: 1,
        expiresAt: 1e15,
        usesLeft: 2,
        groups: [],
        ssh: false,
      });
    if (deed.kind === 'take') return tokens.take(deed.id, 1);
    if (deed.kind === 'identity')
      return identities.replace(
        deed.before === undefined ? undefined : identity(deed.name, deed.before),
        identity(deed.name, deed.serial),
      );
    if (deed.kind === 'run')
      return log.createRun(
        {
          id: deed.id,
          name: 'n',
          kind: 'plan',
          status: 'queued',
          revision: 1,
          createdMs: Number(deed.id.slice(4)),
          endedMs: undefined,
          by: 'me',
        },
        '{"nodes":[]}',
      );
    return log.append({
      runs: [{ run: deed.run, firstSequence: deed.first, events: deed.events }],
      cursors: [{ node: deed.node, journal: 'j', sequence: deed.sequence }],
    });
  };
  // Some wait alone for the disk, some together.
  for (let n = from; n < to; ) {
    const group = Array.from({ length: Math.min(1 + (n % 3), to - n) }, (_, index) => n + index);
    await Promise.all(
      group.map(async (one) => {
        writeSync(1, `ask ${one}\n`);
        const answer = await done(deedOf(one));
        if (answer === false) throw new Error(`deed ${one} was refused`);
        writeSync(1, `ack ${one}\n`);
      }),
    );
    n += group.length;
  }
  return () => database.close();
}

if (import.meta.main) {
  const [, , folder = '', from = '', to = '', end = ''] = process.argv;
  const close = await work(folder, Number(from), Number(to));
  if (end === 'kill') process.kill(process.pid, 'SIGKILL');
  await close();
}
