import { Facts } from '../../shared/facts.ts';
import type { NodeFacts } from '../run/ports.ts';
import type { Database } from './database.ts';
import type { Statement } from './worker.ts';

/** What each node told of itself last, in whichever run. */
export interface FactsStore {
  /** In order of the nodes' names. */
  all(): Promise<NodeFacts[]>;
  /** Undefined: the node has told nothing yet, or in another shape. */
  of(node: string): Promise<Facts | undefined>;
}

/** Goes with the event that brings them (store/event-log). */
export function factsStatement({ node, atMs, facts }: NodeFacts): Statement {
  const sql = `INSERT INTO facts (node, at_ms, body) VALUES (?, ?, ?)
    ON CONFLICT (node) DO UPDATE SET at_ms = excluded.at_ms, body = excluded.body`;
  return { sql, values: [node, atMs, JSON.stringify(facts)] };
}

export function factsStore(database: Database): FactsStore {
  return {
    async of(node) {
      const [row] = await database.select('SELECT body FROM facts WHERE node = ?', node);
      return row && Facts.safeParse(JSON.parse(String(row['body']))).data;
    },
    async all() {
      const rows = await database.select('SELECT node, at_ms, body FROM facts ORDER BY node');
      return rows.flatMap((row) => {
        // Facts of an agent of another version may have another shape: as good as none, until the node tells them anew.
        const facts = Facts.safeParse(JSON.parse(String(row['body'])));
        return facts.success ? [{ node: String(row['node']), atMs: Number(row['at_ms']), facts: facts.data }] : [];
      });
    },
  };
}
