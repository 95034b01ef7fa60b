import type { Sealing } from '../pki/sealing.ts';
import type { Database } from './database.ts';

/** What is kept of a secret beside its value. */
export interface SecretRecord {
  plan: string;
  name: string;
  /** The run that it is for; empty: every run of the plan. */
  run: string;
  kind: string;
  madeBy: { run: string; task: string };
}

/** The secrets of plans, sealed. */
export interface Secrets {
  /** The one of that run, else that of the plan; undefined: there is none. Throws KkError SECRET_UNREADABLE. */
  find(plan: string, name: string, run: string): Promise<{ kind: string; run: string; value: string } | undefined>;
  /** Durable when it resolves. False: there is one already, which stays. Those by that name go whose runs are done. */
  add(secret: SecretRecord, value: string): Promise<boolean>;
  /** Removes what a task of a run has made; their names. */
  removeMadeBy(plan: string, madeBy: SecretRecord['madeBy']): Promise<string[]>;
}

export function secretStore(database: Database, sealing: Sealing, nowMs: () => number): Secrets {
  return {
    async find(plan, name, run) {
      const sql = `SELECT run, kind, sealed FROM secrets WHERE plan = ? AND name = ? AND run IN (?, '') ORDER BY run DESC LIMIT 1`;
      const [row] = await database.select(sql, plan, name, run);
      if (row === undefined) return undefined;
      const [of, kind] = [String(row['run']), String(row['kind'])];
      const sealed = Buffer.from(String(row['sealed']), 'base64');
      return { kind, run: of, value: sealing.open(sealed, aboutOf({ plan, name, run: of })) };
    },
    async add({ plan, name, run, kind, madeBy }, value) {
      const sealed = sealing.seal(value, aboutOf({ plan, name, run })).toString('base64');
      const { changes } = await database.transact([
        // A run that did not end well may go on, and its nodes know the value that it had.
        {
          sql: `DELETE FROM secrets WHERE plan = ? AND name = ? AND run IN (SELECT id FROM runs WHERE status = 'done')`,
          values: [plan, name],
        },
        {
          sql: `INSERT INTO secrets (plan, name, run, kind, sealed, made_run, made_task, made_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          values: [plan, name, run, kind, sealed, madeBy.run, madeBy.task, nowMs()],
        },
      ]);
      return changes[1] === 1;
    },
    async removeMadeBy(plan, { run, task }) {
      const where = 'WHERE plan = ? AND made_run = ? AND made_task = ?';
      const { rows } = await database.transact([
        { sql: `SELECT name FROM secrets ${where} ORDER BY name`, values: [plan, run, task] },
        { sql: `DELETE FROM secrets ${where}`, values: [plan, run, task] },
      ]);
      return (rows[0] ?? []).map((row) => String(row['name']));
    },
  };
}

/** Moved to another row, a sealed value opens no more. */
function aboutOf({ plan, name, run }: Pick<SecretRecord, 'plan' | 'name' | 'run'>): string {
  return JSON.stringify(['secret', plan, name, run]);
}
