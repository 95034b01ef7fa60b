import type { PendingJoin } from '../pki/approval.ts';
import type { PendingStore } from '../pki/ports.ts';
import type { Database } from './database.ts';

export interface Pendings extends PendingStore {
  /** Those that have not expired at `now`. */
  all(now: number): Promise<PendingJoin[]>;
  /** What is decided about is this key under this name. False: it does not wait. */
  decide(
    { name, keyHash }: Pick<PendingJoin, 'name' | 'keyHash'>,
    decision: Required<PendingJoin>['decision'],
    now: number,
  ): Promise<boolean>;
}

const REJECTED = `json_extract(pendings.body, '$.decision.what') = 'rejected'`;

/** Joins that wait for approval, by the name that was asked for. */
export function pendingStore(database: Database): Pendings {
  const pendingOf = (body: unknown): PendingJoin => JSON.parse(String(body)) as PendingJoin;
  return {
    async find(name) {
      const [row] = await database.select('SELECT body FROM pendings WHERE name = ?', name);
      return row && pendingOf(row['body']);
    },
    async keep(pending, { now, most }) {
      // One request, so that neither two under one name nor more than `most` get in together, and no use is taken for nothing.
      const { changes } = await database.transact([
        { sql: 'DELETE FROM pendings WHERE expires_ms <= ?', values: [now] },
        {
          sql: `DELETE FROM pendings WHERE name IN (SELECT name FROM pendings WHERE ${REJECTED} ORDER BY expires_ms
            LIMIT max(0, (SELECT count(*) FROM pendings) - ? + 1))`,
          values: [most],
        },
        {
          sql: `UPDATE tokens SET uses_left = uses_left - 1 WHERE id = ? AND uses_left > 0 AND expires_ms > ?
            AND (SELECT count(*) FROM pendings) < ?
            AND NOT EXISTS (SELECT 1 FROM pendings WHERE name = ? AND ${REJECTED} IS NOT TRUE)`,
          values: [pending.tokenId, now, most, pending.name],
        },
        {
          sql: `INSERT OR REPLACE INTO pendings (name, body, expires_ms) SELECT ?, ?, ? WHERE changes() = 1`,
          values: [pending.name, JSON.stringify(pending), pending.expiresAt],
        },
      ]);
      return changes[2] === 1;
    },
    async remove({ name, keyHash }) {
      const sql = `DELETE FROM pendings WHERE name = ? AND json_extract(body, '$.keyHash') = ?`;
      await database.transact([{ sql, values: [name, keyHash] }]);
    },
    async all(now) {
      const rows = await database.select('SELECT body FROM pendings WHERE expires_ms > ? ORDER BY name', now);
      return rows.map((row) => pendingOf(row['body']));
    },
    async decide({ name, keyHash }, decision, now) {
      const sql = `UPDATE pendings SET body = json_set(body, '$.decision', json(?))
        WHERE name = ? AND expires_ms > ? AND json_extract(body, '$.keyHash') = ?`;
      const { changes } = await database.transact([{ sql, values: [JSON.stringify(decision), name, now, keyHash] }]);
      return changes[0] === 1;
    },
  };
}
