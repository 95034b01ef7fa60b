import { runHasEnded } from '../../shared/lifecycle.ts';
import type { RunEvent } from '../run/events.ts';
import type { AppendBatch, EventLog, RunRecord } from '../run/ports.ts';
import type { Database } from './database.ts';
import type { Row, Statement } from './worker.ts';

/** Runs that have ended, besides what the runner asks for. */
export interface RunArchive extends EventLog {
  /** Newest first. */
  list(limit: number): Promise<RunRecord[]>;
  find(id: string): Promise<{ record: RunRecord; graphJson: string } | undefined>;
  /** Ids that begin with `prefix`, newest first. */
  idsLike(prefix: string): Promise<string[]>;
}

/** The runs and their events, in order, in the database. */
export function eventLog(database: Database): RunArchive {
  const select = async (sql: string, ...values: Statement['values']): Promise<Row[]> => database.select(sql, ...values);
  return {
    async createRun(record, graphJson) {
      const sql = 'INSERT INTO runs (id, name, kind, status, created_ms, by_whom, graph) VALUES (?, ?, ?, ?, ?, ?, ?)';
      await database.transact([
        { sql, values: [record.id, record.name, record.kind, record.status, record.createdMs, record.by, graphJson] },
      ]);
    },
    async append(batch) {
      const statements = [...batch.runs.flatMap(eventStatements), ...batch.cursors.map(cursorStatement)];
      if (statements.length > 0) await database.transact(statements);
    },
    async activeRuns() {
      const rows = await select("SELECT * FROM runs WHERE status IN ('queued', 'running') ORDER BY created_ms, id");
      return rows.map((row) => ({ record: recordOf(row), graphJson: String(row['graph']) }));
    },
    async events(run) {
      const rows = await select('SELECT body FROM events WHERE run = ? ORDER BY seq', run);
      return rows.map((row) => JSON.parse(String(row['body'])) as RunEvent);
    },
    async list(limit) {
      return (
        await select(
          'SELECT id, name, kind, status, created_ms, ended_ms, by_whom FROM runs ORDER BY created_ms DESC, id DESC LIMIT ?',
          limit,
        )
      ).map(recordOf);
    },
    async find(id) {
      const [row] = await select('SELECT * FROM runs WHERE id = ?', id);
      return row && { record: recordOf(row), graphJson: String(row['graph']) };
    },
    async idsLike(prefix) {
      const rows = await select(
        "SELECT id FROM runs WHERE id LIKE ?1 ESCAPE '\\' OR id LIKE '%-' || ?1 ESCAPE '\\' ORDER BY created_ms DESC, id DESC LIMIT 20",
        `${prefix.replace(/[\\%_]/g, '\\$&')}%`,
      );
      return rows.map((row) => String(row['id']));
    },
  };
}

/** The first insert is refused (STATE_CONFLICT) unless it continues where the log ends, and the others with it. */
const APPEND = `INSERT INTO events (run, seq, body) SELECT ?1, ?2, ?3
  WHERE ?2 = 1 + (SELECT COALESCE(MAX(seq), 0) FROM events WHERE run = ?1)`;

function eventStatements({ run, firstSequence, events }: AppendBatch['runs'][number]): Statement[] {
  const statements: Statement[] = events.map((event, i) => ({
    sql: APPEND,
    values: [run, firstSequence + i, JSON.stringify(event)],
    expectChanges: 1,
  }));
  for (const event of events) {
    if (event.kind === 'started')
      statements.push({ sql: "UPDATE runs SET status = 'running' WHERE id = ?", values: [run] });
    if (event.kind === 'finished' && runHasEnded(event.status)) {
      statements.push({
        sql: 'UPDATE runs SET status = ?, ended_ms = ? WHERE id = ?',
        values: [event.status, event.at, run],
      });
    }
  }
  return statements;
}

function cursorStatement({ node, journal, sequence }: AppendBatch['cursors'][number]): Statement {
  return {
    sql: `INSERT INTO nodes (name, body, journal, journal_sequence) VALUES (?, '{}', ?, ?)
          ON CONFLICT (name) DO UPDATE SET journal = excluded.journal, journal_sequence = excluded.journal_sequence`,
    values: [node, journal, sequence],
  };
}

function recordOf(row: Row): RunRecord {
  return {
    id: String(row['id']),
    name: String(row['name']),
    kind: row['kind'] as RunRecord['kind'],
    status: row['status'] as RunRecord['status'],
    createdMs: Number(row['created_ms']),
    endedMs: row['ended_ms'] === null || row['ended_ms'] === undefined ? undefined : Number(row['ended_ms']),
    by: String(row['by_whom']),
  };
}
