import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { crash } from '../../shared/crash.ts';
import type { Write } from '../durable/points.ts';
import { MIGRATIONS } from './schema.ts';

/**
 * The thread that owns the database. Requests that arrive while one transaction syncs share the next one: many writers,
 * one fsync (ENGINE 3.2).
 */

/** A statement; `expectChanges`: the request fails (and writes nothing) unless that many rows changed. */
export interface Statement {
  sql: string;
  values: SQLInputValue[];
  expectChanges?: number;
}

/** All statements of a request take effect, or none. */
export interface Request {
  id: number;
  statements: Statement[];
}

export type Row = Record<string, string | number | null>;

export type Reply =
  | { id: number; ok: true; rows: Row[][]; changes: number[] }
  | { id: number; ok: false; code: 'CONFLICT' | 'DISK_FULL' | 'FAILED'; message: string };

/** First message of the worker: the database is open, or why not. */
export type Opened = { opened: true } | { opened: false; code: string; message: string };

const POINT: Write<'transaction'> = 'controller.store';

const port = parentPort;
if (!port) throw new Error('store/worker.ts runs as a worker thread');

function open(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 2000;',
  );
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
  if (version > MIGRATIONS.length)
    throw Object.assign(new Error(`version ${version}, this kk knows up to ${MIGRATIONS.length}`), {
      code: 'STATE_NEWER',
    });
  for (let next = version; next < MIGRATIONS.length; next++) {
    database.exec(`BEGIN; ${MIGRATIONS[next]}; PRAGMA user_version = ${next + 1}; COMMIT;`);
  }
  return database;
}

class Conflict extends Error {}

function serve(database: DatabaseSync): void {
  const prepared = new Map<string, StatementSync>();
  let waiting: Request[] = [];

  const statementOf = (sql: string): StatementSync => {
    const known = prepared.get(sql) ?? database.prepare(sql);
    prepared.set(sql, known);
    return known;
  };

  const runOne = (request: Request): Reply => {
    database.exec('SAVEPOINT request');
    try {
      const rows: Row[][] = [];
      const changes: number[] = [];
      for (const { sql, values, expectChanges } of request.statements) {
        const statement = statementOf(sql);
        if (/^\s*(SELECT|PRAGMA)/i.test(sql)) {
          rows.push(statement.all(...values) as Row[]);
          changes.push(0);
          continue;
        }
        const changed = Number(statement.run(...values).changes);
        if (expectChanges !== undefined && changed !== expectChanges)
          throw new Conflict(`${changed} rows changed instead of ${expectChanges}`);
        rows.push([]);
        changes.push(changed);
      }
      database.exec('RELEASE request');
      return { id: request.id, ok: true, rows, changes };
    } catch (thrown) {
      // A full disk ends the whole transaction: then all that share it fail with this reason.
      if (!database.isTransaction) throw thrown;
      database.exec('ROLLBACK TO request; RELEASE request');
      return { id: request.id, ...failureOf(thrown) };
    }
  };

  const drain = (): void => {
    const batch = waiting;
    waiting = [];
    if (batch.length === 0) return; // closed meanwhile
    let replies: Reply[];
    try {
      crash.at(`${POINT}.before`);
      database.exec('BEGIN');
      replies = batch.map(runOne);
      crash.at(`${POINT}.written`);
      database.exec('COMMIT');
      crash.at(`${POINT}.after`);
    } catch (thrown) {
      if (database.isTransaction) database.exec('ROLLBACK');
      replies = batch.map((request) => ({ id: request.id, ...failureOf(thrown) }));
    }
    port?.postMessage(replies);
  };

  port?.on('message', (message: Request | 'close') => {
    if (message === 'close') {
      if (waiting.length > 0) drain();
      database.close();
      port?.close();
      return;
    }
    if (waiting.push(message) === 1) setImmediate(drain);
  });
}

function failureOf(thrown: unknown): { ok: false; code: 'CONFLICT' | 'DISK_FULL' | 'FAILED'; message: string } {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const full = /disk is full|disk I\/O error/i.test(message);
  return { ok: false, code: thrown instanceof Conflict ? 'CONFLICT' : full ? 'DISK_FULL' : 'FAILED', message };
}

try {
  serve(open((workerData as { path: string }).path));
  port.postMessage({ opened: true } satisfies Opened);
} catch (thrown) {
  const error = thrown as Error & { code?: string };
  port.postMessage({ opened: false, code: error.code ?? 'FAILED', message: error.message } satisfies Opened);
  port.close();
}
