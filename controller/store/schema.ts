/**
 * The store's tables. One migration per entry, applied in order; the number of entries is the version of the state folder,
 * and a folder of a higher version is refused (STATE_NEWER).
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

  CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    by_whom TEXT NOT NULL,
    graph TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX runs_by_time ON runs (created_ms);

  -- A run's whole truth, in order.
  CREATE TABLE events (run TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run, seq)) WITHOUT ROWID;

  -- What pki says of a node's identity, as JSON (controller/pki/ports.ts NodeIdentity).
  CREATE TABLE identities (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;

  -- What is known of a node besides: last Hello, last seen (JSON), and how far its journal is stored.
  CREATE TABLE nodes (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    journal TEXT NOT NULL DEFAULT '',
    journal_sequence INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;

  -- Join tokens: only the hash of the secret (controller/pki/tokens.ts EnrolmentToken).
  CREATE TABLE tokens (id TEXT PRIMARY KEY, body TEXT NOT NULL, uses_left INTEGER NOT NULL, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
  `,
  `
  -- A run's graph by the revision that began with it; a revision without a row goes on with the graph before.
  CREATE TABLE graphs (run TEXT NOT NULL, revision INTEGER NOT NULL, graph TEXT NOT NULL, PRIMARY KEY (run, revision)) WITHOUT ROWID;
  INSERT INTO graphs (run, revision, graph) SELECT id, 1, graph FROM runs;
  ALTER TABLE runs DROP COLUMN graph;
  ALTER TABLE runs ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

  -- The plan run that was started last on a node: it is kept there until the next one.
  CREATE TABLE last_plans (node TEXT PRIMARY KEY, run TEXT NOT NULL) WITHOUT ROWID;
  `,
  `
  -- Plan runs at work when version 1 was left: their nodes have them, too.
  INSERT OR IGNORE INTO last_plans (node, run)
    SELECT node.value, runs.id FROM runs
      JOIN graphs ON graphs.run = runs.id
      JOIN json_each(graphs.graph, '$.sets') AS node_set
      JOIN json_each(node_set.value) AS member
      JOIN json_each(graphs.graph, '$.nodes') AS node ON node.key = member.value
    WHERE runs.kind = 'plan' AND runs.status IN ('running', 'paused');
  `,
  `
  -- What a node told of itself last (shared/facts.ts, as JSON), and when.
  CREATE TABLE facts (node TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
  `,
  `
  -- Joins that wait for a person (controller/pki/approval.ts PendingJoin).
  CREATE TABLE pendings (name TEXT PRIMARY KEY, body TEXT NOT NULL, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
  `,
  `
  -- Secrets of plans. \`run\`: the one that it is for, empty where it is kept for the plan. \`sealed\`: controller/pki/sealing.ts, base64.
  CREATE TABLE secrets (
    plan TEXT NOT NULL,
    name TEXT NOT NULL,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    sealed TEXT NOT NULL,
    made_run TEXT NOT NULL,
    made_task TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    PRIMARY KEY (plan, name, run)
  ) WITHOUT ROWID;

  -- Certificates issued by the CAs of clusters (controller/pki/ports.ts IssuedCertificate, as JSON).
  CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,
    plan TEXT NOT NULL,
    ca TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX certificates_by_key ON certificates (plan, ca, key_hash);
  `,
];
