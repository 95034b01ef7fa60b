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

/** Does every join wait for a person? Undefined: nobody has said. */
export async function lastApprove(database: Database): Promise<boolean | undefined> {
  const [row] = await database.select("SELECT value FROM meta WHERE key = 'approve'");
  return row && row['value'] === 'yes';
}

export async function rememberApprove(database: Database, approve: boolean): Promise<void> {
  const sql =
    "INSERT INTO meta (key, value) VALUES ('approve', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
  await database.transact([{ sql, values: [approve ? 'yes' : 'no'] }]);
}

/** All runs but the adopted ones are held: agents have met a newer generation (ENGINE 3.6). */
export interface GenerationHold {
  reason: string;
  adopted: string[];
}

export async function generationHold(database: Database): Promise<GenerationHold | undefined> {
  const [row] = await database.select("SELECT value FROM meta WHERE key = 'generation_hold'");
  return row && (JSON.parse(String(row['value'])) as GenerationHold);
}

/** Undefined: a person has adopted everything. */
export async function rememberGenerationHold(database: Database, hold: GenerationHold | undefined): Promise<void> {
  const put =
    "INSERT INTO meta (key, value) VALUES ('generation_hold', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
  const statement = hold
    ? { sql: put, values: [JSON.stringify(hold)] }
    : { sql: "DELETE FROM meta WHERE key = 'generation_hold'", values: [] };
  await database.transact([statement]);
}

/** Runs that are to be rolled back when they fail, with who asked for it. */
export interface AutoRollbacks {
  add(run: string, by: string): Promise<void>;
  remove(run: string): Promise<void>;
  all(): Promise<{ run: string; by: string }[]>;
}

const AUTO_ROLLBACK = 'auto-rollback/';

export function autoRollbacks(database: Database): AutoRollbacks {
  return {
    async add(run, by) {
      const sql = 'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value';
      await database.transact([{ sql, values: [`${AUTO_ROLLBACK}${run}`, by] }]);
    },
    async remove(run) {
      await database.transact([{ sql: 'DELETE FROM meta WHERE key = ?', values: [`${AUTO_ROLLBACK}${run}`] }]);
    },
    async all() {
      const rows = await database.select("SELECT key, value FROM meta WHERE key LIKE 'auto-rollback/%' ORDER BY key");
      return rows.map((row) => ({
        run: String(row['key']).slice(AUTO_ROLLBACK.length),
        by: String(row['value']),
      }));
    },
  };
}
