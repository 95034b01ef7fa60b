import type { Database } from './database.ts';

/** What is known of a node besides its identity. Times: milliseconds since 1970. */
export interface NodeRecord {
  joinedMs: number;
  lastSeenMs: number | undefined;
  /** End of the certificate it last came with. */
  certificateEndsMs: number;
  machineId: string;
  /** Newest last; a boot that returns after a newer one betrays a clone (ENGINE 4.4). */
  boots: string[];
  /** Of its journal, by id, as it last told them (kk.proto, Life). */
  lives?: string[];
  version: string;
  arch: string;
}

/** How far a node's journal is stored. */
export interface Cursor {
  journal: string;
  sequence: number;
}

export interface Nodes {
  get(name: string): Promise<{ record: NodeRecord | undefined; cursor: Cursor }>;
  put(name: string, record: NodeRecord): Promise<void>;
  /** Notes when a node was last there, and nothing else of it. */
  seen(name: string, atMs: number): Promise<void>;
  all(): Promise<{ name: string; record: NodeRecord | undefined }[]>;
  /** Nothing is known of it any more, its journal included. */
  remove(name: string): Promise<void>;
}

export function nodeStore(database: Database): Nodes {
  const recordOf = (body: unknown): NodeRecord | undefined => {
    const parsed = JSON.parse(String(body)) as NodeRecord;
    return parsed.joinedMs === undefined ? undefined : parsed;
  };
  return {
    async get(name) {
      const [row] = await database.select('SELECT * FROM nodes WHERE name = ?', name);
      if (!row) return { record: undefined, cursor: { journal: '', sequence: 0 } };
      return {
        record: recordOf(row['body']),
        cursor: { journal: String(row['journal']), sequence: Number(row['journal_sequence']) },
      };
    },
    async put(name, record) {
      const sql = 'INSERT INTO nodes (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body';
      await database.transact([{ sql, values: [name, JSON.stringify(record)] }]);
    },
    async seen(name, atMs) {
      const sql = `UPDATE nodes SET body = json_set(body, '$.lastSeenMs', ?) WHERE name = ? AND body <> '{}'`;
      await database.transact([{ sql, values: [atMs, name] }]);
    },
    async remove(name) {
      await database.transact([
        { sql: 'DELETE FROM nodes WHERE name = ?', values: [name] },
        { sql: 'DELETE FROM facts WHERE node = ?', values: [name] },
      ]);
    },
    async all() {
      return (await database.select('SELECT name, body FROM nodes ORDER BY name')).map((row) => ({
        name: String(row['name']),
        record: recordOf(row['body']),
      }));
    },
  };
}
