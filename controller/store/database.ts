import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { KkError } from '../../shared/errors.ts';
import type { Opened, Reply, Request, Row, Statement } from './worker.ts';

/** The database of a state folder, in a thread of its own. */
export interface Database {
  /** All statements or none; durable when it resolves. Throws KkError STATE_CONFLICT, DISK_FULL, STORE_FAILED. */
  transact(statements: Statement[]): Promise<{ rows: Row[][]; changes: number[] }>;
  select(sql: string, ...values: Statement['values']): Promise<Row[]>;
  close(): Promise<void>;
}

/** Opens (or makes) `controller.db` in the folder. Throws KkError STATE_NEWER, STATE_DAMAGED. */
export async function openDatabase(folder: string): Promise<Database> {
  const path = join(folder, 'controller.db');
  // SQLite would make it readable for all; its -wal and -shm take the mode of the file.
  await open(path, 'a', 0o600).then((file) => file.close());
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: { path } });
  const [opened] = (await once(worker, 'message')) as [Opened];
  if (!opened.opened) throw openError(path, opened.code, opened.message);

  let nextId = 1;
  let closed = false;
  const waiting = new Map<number, { resolve: (reply: Reply & { ok: true }) => void; reject: (error: Error) => void }>();
  const failAll = (error: Error): void => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on('message', (replies: Reply[]) => {
    for (const reply of replies) {
      const waiter = waiting.get(reply.id);
      waiting.delete(reply.id);
      if (reply.ok) waiter?.resolve(reply);
      else waiter?.reject(requestError(path, reply.code, reply.message));
    }
  });
  worker.on('error', (cause) => failAll(requestError(path, 'FAILED', String(cause))));
  worker.on('exit', () => failAll(requestError(path, 'FAILED', 'the database was closed')));

  const transact: Database['transact'] = (statements) =>
    new Promise((resolve, reject) => {
      if (closed) return reject(requestError(path, 'FAILED', 'the database was closed'));
      const id = nextId++;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, statements } satisfies Request);
    });
  return {
    transact,
    select: async (sql, ...values) => (await transact([{ sql, values }])).rows[0] ?? [],
    async close() {
      closed = true;
      const ended = once(worker, 'exit');
      worker.postMessage('close');
      await ended;
    },
  };
}

function openError(path: string, code: string, message: string): KkError {
  if (code === 'STATE_NEWER') {
    return new KkError({
      code,
      message: `${path} was written by a newer kk-controller (${message}).`,
      remedy: 'Use that version again, or give another state folder with --state.',
    });
  }
  return new KkError({
    code: 'STATE_DAMAGED',
    message: `${path} cannot be opened: ${message}.`,
    remedy:
      'Check that the disk has room and that the folder is writable; otherwise restore the state folder from a backup.',
  });
}

function requestError(path: string, code: 'CONFLICT' | 'DISK_FULL' | 'FAILED', message: string): KkError {
  const told = {
    CONFLICT: {
      code: 'STATE_CONFLICT',
      remedy: 'Something else changed the same record at the same moment: try again.',
    },
    DISK_FULL: {
      code: 'DISK_FULL',
      remedy: `Make room on the disk of ${path}; nothing that was acknowledged is lost.`,
    },
    FAILED: {
      code: 'STORE_FAILED',
      remedy: `Look at the disk of ${path} and start the controller again; runs go on where they were.`,
    },
  }[code];
  return new KkError({ ...told, message: `The state could not be written: ${message}.`, evidence: path });
}
