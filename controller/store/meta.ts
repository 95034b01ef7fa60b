import type { Database } from './database.ts';

/** Raises the generation durably and returns it: once per start of a controller (ENGINE 3.6). */
export async function raiseGeneration(database: Database, atLeast = 0): Promise<number> {
  const [row] = await database.select("SELECT value FROM meta WHERE key = 'generation'");
  const next = Math.max(Number(row?.['value'] ?? 0), atLeast) + 1;
  const sql =
    "INSERT INTO meta (key, value) VALUES ('generation', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
  await database.transact([{ sql, values: [String(next)] }]);
  return next;
}

/** How the controller of this state folder was reached: agents know the address, so the next start keeps it. */
export interface Serving {
  listen: { host: string; port: number };
  advertise: string[];
}

/** What was last served by; undefined: never. */
export async function lastServing(database: Database): Promise<Serving | undefined> {
  const [row] = await database.select("SELECT value FROM meta WHERE key = 'serving'");
  return row && (JSON.parse(String(row['value'])) as Serving);
}

export async function rememberServing(database: Database, serving: Serving): Promise<void> {
  const sql =
    "INSERT INTO meta (key, value) VALUES ('serving', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
  await database.transact([{ sql, values: [JSON.stringify(serving)] }]);
}
