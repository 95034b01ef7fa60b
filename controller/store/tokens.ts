import type { TokenStore } from '../pki/ports.ts';
import type { EnrolmentToken } from '../pki/tokens.ts';
import type { Database } from './database.ts';
import type { Row } from './worker.ts';

export interface Tokens extends TokenStore {
  add(token: EnrolmentToken): Promise<void>;
  list(): Promise<EnrolmentToken[]>;
  /** False: there was none. */
  remove(id: string): Promise<boolean>;
}

/** Join tokens: the record as JSON, the uses left as a column so that taking one is a single atomic statement. */
export function tokenStore(database: Database): Tokens {
  const tokenOf = (row: Row): EnrolmentToken => ({
    ...(JSON.parse(String(row['body'])) as EnrolmentToken),
    usesLeft: Number(row['uses_left']),
  });
  return {
    async add(token) {
      const sql = 'INSERT INTO tokens (id, body, uses_left, expires_ms) VALUES (?, ?, ?, ?)';
      await database.transact([{ sql, values: [token.id, JSON.stringify(token), token.usesLeft, token.expiresAt] }]);
    },
    async find(id) {
      const [row] = await database.select('SELECT body, uses_left FROM tokens WHERE id = ?', id);
      return row && tokenOf(row);
    },
    async take(id, now) {
      const sql = 'UPDATE tokens SET uses_left = uses_left - 1 WHERE id = ? AND uses_left > 0 AND expires_ms > ?';
      const { changes } = await database.transact([{ sql, values: [id, now] }]);
      return changes[0] === 1;
    },
    async list() {
      return (await database.select('SELECT body, uses_left FROM tokens ORDER BY expires_ms')).map(tokenOf);
    },
    async remove(id) {
      const { changes } = await database.transact([{ sql: 'DELETE FROM tokens WHERE id = ?', values: [id] }]);
      return changes[0] === 1;
    },
  };
}
