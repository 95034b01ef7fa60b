import { runHasEnded } from '../../shared/lifecycle.ts';
import type { RunEvent } from '../run/events.ts';
import type { AppendBatch, EventLog, LoggedRun, RunRecord } from '../run/ports.ts';
import type { Database } from './database.ts';
import { factsStatement } from './facts.ts';
import type { Row, Statement } from './worker.ts';

/** Runs that have ended, besides what the runner asks for. */
export interface RunArchive extends EventLog {
  /** Newest first. */
  list(limit: number): Promise<RunRecord[]>;
  /** Ids of the runs of this name, oldest first. */
  named(name: string): Promise<string[]>;
  /** The graphs of a run, each with the revision that began with it, in order. */
  graphs(run: string): Promise<{ revision: number; graphJson: string }[]>;
  /** Ids that begin with `prefix`, newest first. */
  idsLike(prefix: string): Promise<string[]>;
}

/** A run of a large fleet has millions. */
const EVENTS_AT_ONCE = 10_000;

/** The runs and their events, in order, in the database. */
export function eventLog(database: Database): RunArchive {
  const select = async (sql: string, ...values: Statement['values']): Promise<Row[]> => database.select(sql, ...values);
  return {
    async createRun(record, graphJson) {
      const { id, name, kind, status, createdMs, by } = record;
      const sql = 'INSERT INTO runs (id, name, kind, status, created_ms, by_whom) VALUES (?, ?, ?, ?, ?, ?)';
      await database.transact([
        { sql, values: [id, name, kind, status, createdMs, by] },
        graphStatement(id, { revision: 1, graphJson }),
      ]);
    },
    async append(batch) {
      const statements = [...batch.runs.flatMap(eventStatements), ...batch.cursors.map(cursorStatement)];
      if (statements.length > 0) await database.transact(statements);
    },
    async activeRuns() {
      return (await select(`${LOGGED} WHERE status IN ('queued', 'running', 'paused') ORDER BY created_ms, id`)).map(
        loggedOf,
      );
    },
    async events(run) {
      const events: RunEvent[] = [];
      // Events are only ever added, so what is read in parts is whole; agents are heard in between.
      for (let rows: Row[] | undefined; rows === undefined || rows.length === EVENTS_AT_ONCE; ) {
        const sql = 'SELECT body FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?';
        rows = await select(sql, run, events.length, EVENTS_AT_ONCE);
        for (const row of rows) events.push(JSON.parse(String(row['body'])) as RunEvent);
      }
      return events;
    },
    async list(limit) {
      return (await select('SELECT * FROM runs ORDER BY created_ms DESC, id DESC LIMIT ?', limit)).map(recordOf);
    },
    async find(id) {
      const [row] = await select(`${LOGGED} WHERE id = ?`, id);
      return row && loggedOf(row);
    },
    async named(name) {
      return (await select('SELECT id FROM runs WHERE name = ? ORDER BY created_ms, id', name)).map((row) =>
        String(row['id']),
      );
    },
    async graphs(run) {
      const rows = await select('SELECT revision, graph FROM graphs WHERE run = ? ORDER BY revision', run);
      return rows.map((row) => ({ revision: Number(row['revision']), graphJson: String(row['graph']) }));
    },
    async lastPlans() {
      const rows = await select('SELECT node, run, status FROM last_plans JOIN runs ON runs.id = run');
      return rows.map((row) => ({
        node: String(row['node']),
        run: String(row['run']),
        status: row['status'] as RunRecord['status'],
      }));
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

/** Runs with the graph of their present revision. */
const LOGGED = `SELECT *, (SELECT graph FROM graphs WHERE run = id ORDER BY graphs.revision DESC LIMIT 1) AS graph FROM runs`;

function loggedOf(row: Row): LoggedRun {
  return { record: recordOf(row), graphJson: String(row['graph']) };
}

function graphStatement(run: string, { revision, graphJson }: { revision: number; graphJson: string }): Statement {
  const sql = 'INSERT INTO graphs (run, revision, graph) VALUES (?, ?, ?)';
  return { sql, values: [run, revision, graphJson] };
}

/** The first insert is refused (STATE_CONFLICT) unless it continues where the log ends, and the others with it. */
const APPEND = `INSERT INTO events (run, seq, body) SELECT ?1, ?2, ?3
  WHERE ?2 = 1 + (SELECT COALESCE(MAX(seq), 0) FROM events WHERE run = ?1)`;

function eventStatements({
  run,
  firstSequence,
  events,
  graphs = [],
  takes = [],
  facts = [],
}: AppendBatch['runs'][number]): Statement[] {
  const statements: Statement[] = events.map((event, i) => ({
    sql: APPEND,
    values: [run, firstSequence + i, JSON.stringify(event)],
    expectChanges: 1,
  }));
  statements.push(...graphs.map((graph) => graphStatement(run, graph)));
  for (const node of takes) {
    const sql = 'INSERT INTO last_plans (node, run) VALUES (?, ?) ON CONFLICT (node) DO UPDATE SET run = excluded.run';
    statements.push({ sql, values: [node, run] });
  }
  statements.push(...facts.map(factsStatement));
  for (const event of events) {
    const status = STATUS_BY_EVENT[event.kind];
    if (status !== undefined)
      statements.push({ sql: 'UPDATE runs SET status = ? WHERE id = ?', values: [status, run] });
    if (event.kind === 'revised') {
      const sql = "UPDATE runs SET status = 'queued', ended_ms = NULL, revision = ? WHERE id = ?";
      statements.push({ sql, values: [event.revision, run] });
    }
    if (event.kind === 'finished' && runHasEnded(event.status)) {
      statements.push({
        sql: 'UPDATE runs SET status = ?, ended_ms = ? WHERE id = ?',
        values: [event.status, event.at, run],
      });
    }
  }
  return statements;
}

const STATUS_BY_EVENT: { readonly [K in RunEvent['kind']]?: RunRecord['status'] } = {
  started: 'running',
  paused: 'paused',
  unpaused: 'running',
};

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
    revision: Number(row['revision']),
    createdMs: Number(row['created_ms']),
    endedMs: row['ended_ms'] === null || row['ended_ms'] === undefined ? undefined : Number(row['ended_ms']),
    by: String(row['by_whom']),
  };
}
