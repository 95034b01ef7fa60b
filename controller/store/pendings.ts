import type { PendingJoin } from '../pki/approval.ts';
import type { PendingStore } from '../pki/ports.ts';
import type { Database } from './database.ts';

export interface Pendings extends PendingStore {
  /** Those that have not expired at `now`. */
  all(now: number): Promise<PendingJoin[]>;
  /** False: nobody waits under that name. */
  decide(name: string, decision: Required<PendingJoin>['decision'], now: number): Promise<boolean>;
}

/** Joins that wait for approval, by the name that was asked for. */
export function pendingStore(database: Database): Pendings {
  const pendingOf = (body: unknown): PendingJoin => JSON.parse(String(body)) as PendingJoin;
  return {
    async find(name) {
      const [row] = await database.select('SELECT body FROM pendings WHERE name = ?', name);
      return row && pendingOf(row['body']);
    },
    async keep(pending, { now, most }) {
      // One request, so that neither two under one name nor more than `most` get in together.
      const { changes } = await database.transact([
        { sql: 'DELETE FROM pendings WHERE expires_ms <= ?', values: [now] },
        {
          sql: `INSERT INTO pendings (name, body, expires_ms) SELECT ?, ?, ? WHERE (SELECT count(*) FROM pendings) < ?
            ON CONFLICT (name) DO UPDATE SET body = excluded.body, expires_ms = excluded.expires_ms
            WHERE json_extract(pendings.body, '$.decision.what') = 'rejected'`,
          values: [pending.name, JSON.stringify(pending), pending.expiresAt, most],
        },
      ]);
      return changes[1] === 1;
    },
    async remove({ name, keyHash }) {
      const sql = `DELETE FROM pendings WHERE name = ? AND json_extract(body, '$.keyHash') = ?`;
      await database.transact([{ sql, values: [name, keyHash] }]);
    },
    async all(now) {
      const rows = await database.select('SELECT body FROM pendings WHERE expires_ms > ? ORDER BY name', now);
      return rows.map((row) => pendingOf(row['body']));
    },
    async decide(name, decision, now) {
      const sql = `UPDATE pendings SET body = json_set(body, '$.decision', json(?)) WHERE name = ? AND expires_ms > ?`;
      const { changes } = await database.transact([{ sql, values: [JSON.stringify(decision), name, now] }]);
      return changes[0] === 1;
    },
  };
}
