import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { create, extract } from 'tar';
import type { PendingJoin } from '../../controller/pki/approval.ts';
import { openAuthority } from '../../controller/pki/authority.ts';
import type { NodeIdentity } from '../../controller/pki/ports.ts';
import type { EnrolmentToken } from '../../controller/pki/tokens.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import type { RunRecord } from '../../controller/run/ports.ts';
import { restoreBackup, writeBackup } from '../../controller/store/backup.ts';
import { openDatabase } from '../../controller/store/database.ts';
import { eventLog } from '../../controller/store/event-log.ts';
import { openIdentities } from '../../controller/store/identities.ts';
import { raiseGeneration } from '../../controller/store/meta.ts';
import { nodeStore } from '../../controller/store/nodes.ts';
import { pendingStore } from '../../controller/store/pendings.ts';
import { MIGRATIONS } from '../../controller/store/schema.ts';
import { takeStateFolder } from '../../controller/store/state-folder.ts';
import { tokenStore } from '../../controller/store/tokens.ts';

const record = (id: string, createdMs = 1): RunRecord => ({
  ...{ id, name: 'plan', kind: 'plan', status: 'queued', revision: 1, createdMs, endedMs: undefined, by: 'me' },
});
const begun = (task: number): RunEvent => ({ kind: 'begun', at: 1, node: 0, task, attempt: 1, items: 0 });

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kk-store-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

t.test('the log', async (t) => {
  const folder = await folderFor(t);
  let database = await openDatabase(folder);
  let log = eventLog(database);
  await log.createRun(record('r1'), '{"graph":1}');
  await log.createRun(record('r2', 2), '{}');
  const cursor = { node: 'n1', journal: 'j', sequence: 7 };
  await log.append({ runs: [{ run: 'r1', firstSequence: 1, events: [begun(0), begun(1)] }], cursors: [cursor] });

  const files = (await readdir(folder)).filter((name) => name.startsWith('controller.db'));
  t.strictSame(files.sort(), ['controller.db', 'controller.db-shm', 'controller.db-wal']);
  for (const name of files) t.equal((await stat(join(folder, name))).mode & 0o077, 0, `${name} is its owner's alone`);

  const good = { run: 'r2', firstSequence: 1, events: [begun(5)] };
  for (const firstSequence of [1, 2, 4]) {
    const wrong = { run: 'r1', firstSequence, events: [begun(2)] };
    const batch = { runs: [good, wrong], cursors: [{ ...cursor, sequence: 9 }] };
    await t.rejects(log.append(batch), { code: 'STATE_CONFLICT' }, `${firstSequence} is not the next one`);
  }
  t.strictSame(await log.events('r2'), [], 'a refused batch leaves nothing behind');
  t.equal((await nodeStore(database).get('n1')).cursor.sequence, 7, 'nor a cursor');

  const appends = Array.from({ length: 20 }, (_, i) =>
    log.append({ runs: [{ run: 'r1', firstSequence: 3 + i, events: [begun(i)] }], cursors: [] }),
  );
  const conflict = log.append({ runs: [{ run: 'r1', firstSequence: 3, events: [begun(99)] }], cursors: [] });
  await Promise.all([...appends, t.rejects(conflict, { code: 'STATE_CONFLICT' }, 'among others that are stored')]);

  await log.append({
    runs: [{ run: 'r2', firstSequence: 1, events: [{ kind: 'finished', at: 9, status: 'done' }] }],
    cursors: [],
  });
  await database.close();
  await t.rejects(log.events('r1'), { code: 'STORE_FAILED' }, 'closed is closed');

  database = await openDatabase(folder);
  t.teardown(() => database.close());
  log = eventLog(database);
  t.equal((await log.events('r1')).length, 22, 'kept');
  t.match(await log.activeRuns(), [{ record: { id: 'r1', status: 'queued' }, graphJson: '{"graph":1}' }]);
  t.match(await log.find('r2'), { record: { status: 'done', endedMs: 9 } });
  t.strictSame(
    (await log.list(9)).map(({ id }) => id),
    ['r2', 'r1'],
    'newest first',
  );
  t.strictSame(await log.idsLike('r_'), [], 'a prefix is no pattern');
  t.strictSame(await log.idsLike('r'), ['r2', 'r1']);
  await log.createRun(record('20300101-7f3a', 3), '{}');
  t.strictSame(await log.idsLike('7f'), ['20300101-7f3a'], 'the last part tells runs of one day apart');
});

t.test('nodes', async (t) => {
  const database = await openDatabase(await folderFor(t));
  t.teardown(() => database.close());
  const nodes = nodeStore(database);
  const known = {
    joinedMs: 1,
    lastSeenMs: 2,
    certificateEndsMs: 3,
    machineId: 'm',
    boots: ['a'],
    version: '1',
    arch: 'x64',
  };
  await nodes.put('n1', known);
  await eventLog(database).append({ runs: [], cursors: [{ node: 'n2', journal: 'j', sequence: 1 }] });
  await Promise.all([nodes.put('n1', { ...known, boots: ['a', 'b'] }), nodes.seen('n1', 9), nodes.seen('n2', 9)]);
  t.strictSame(
    (await nodes.get('n1')).record,
    { ...known, boots: ['a', 'b'], lastSeenMs: 9 },
    'neither undoes the other',
  );
  t.strictSame(await nodes.get('n2'), { record: undefined, cursor: { journal: 'j', sequence: 1 } });
  t.strictSame(await nodes.get('n3'), { record: undefined, cursor: { journal: '', sequence: 0 } });
  await database.transact([{ sql: `INSERT INTO facts (node, at_ms, body) VALUES ('n1', 1, '{}')`, values: [] }]);
  await nodes.remove('n1');
  t.strictSame(await database.select('SELECT node FROM facts'), [], 'what was found out about it goes with it');
});

t.test('joins that wait: a use of the token for each, room for those not rejected', async (t) => {
  const database = await openDatabase(await folderFor(t));
  t.teardown(() => database.close());
  const tokens = tokenStore(database);
  const pendings = pendingStore(database);
  await tokens.add({ id: 'abc', usesLeft: 5, expiresAt: 1000, createdAt: 1 } as unknown as EnrolmentToken);
  const left = async (): Promise<number | undefined> => (await tokens.find('abc'))?.usesLeft;
  const join = (name: string, expiresAt: number, keyHash = name): PendingJoin => {
    return { name, keyHash, tokenId: 'abc', askedAt: 1, expiresAt, address: '10.0.0.1' };
  };
  const limits = { now: 10, most: 2 };
  const names = async (): Promise<string[]> => (await pendings.all(10)).map(({ name }) => name);
  t.equal(await pendings.keep(join('a', 100), limits), true);
  t.equal(await pendings.keep(join('a', 101, 'other'), limits), false, 'nobody is pushed aside');
  t.equal(await pendings.keep(join('b', 102), limits), true);
  t.equal(await pendings.keep(join('c', 103), limits), false, 'no room');
  t.equal(await left(), 3, 'who is refused takes no use');

  const rejected = { what: 'rejected', by: 'ada' } as const;
  t.equal(await pendings.decide({ name: 'a', keyHash: 'other' }, rejected, 10), false, 'another key than was shown');
  t.equal(await pendings.decide({ name: 'a', keyHash: 'a' }, rejected, 10), true);
  t.equal(await pendings.keep(join('c', 103), limits), true, 'a rejected one gives its room');
  t.strictSame(await names(), ['b', 'c']);
  await pendings.decide({ name: 'b', keyHash: 'b' }, rejected, 10);
  t.equal(await pendings.keep(join('b', 104, 'new'), limits), true, 'and its name');
  t.equal(await left(), 1);
  await pendings.remove({ name: 'b', keyHash: 'new' });
  await tokens.take('abc', 10);
  t.equal(await pendings.keep(join('d', 105), limits), false, 'a token without a use');
  t.strictSame(await names(), ['c']);
});

t.test('tokens and identities change once, whoever asks at the same time', async (t) => {
  const folder = await folderFor(t);
  const database = await openDatabase(folder);
  const tokens = tokenStore(database);
  const token = { id: 'abc', usesLeft: 3, expiresAt: 100, createdAt: 1 } as unknown as EnrolmentToken;
  await tokens.add(token);
  const taken = await Promise.all(Array.from({ length: 10 }, () => tokens.take('abc', 50)));
  t.equal(taken.filter(Boolean).length, 3);
  t.equal((await tokens.find('abc'))?.usesLeft, 0);
  await tokens.add({ ...token, id: 'old' });
  t.equal(await tokens.take('old', 100), false, 'expired');
  t.strictSame([await tokens.remove('old'), await tokens.remove('old')], [true, false]);

  const ledger = await openIdentities(database);
  const first = { name: 'n1', current: '01', revoked: false } as unknown as NodeIdentity;
  const other = { ...first, current: '02' };
  const made = await Promise.all([ledger.replace(undefined, first), ledger.replace(undefined, other)]);
  t.strictSame(made, [true, false], 'one of two joins under one name');
  const changed = await Promise.all([ledger.replace(first, other), ledger.replace(first, { ...first, revoked: true })]);
  t.strictSame(changed, [true, false]);
  t.equal(await ledger.replace(first, other), false, 'what was seen is no more');

  t.equal(await raiseGeneration(database), 1);
  t.equal(await raiseGeneration(database, 7), 8);
  await database.close();
  const again = await openDatabase(folder);
  t.teardown(() => again.close());
  t.strictSame((await openIdentities(again)).all(), [other]);
  t.equal(await raiseGeneration(again), 9);
});

t.test('a folder of a newer version, a damaged one', async (t) => {
  const folder = await folderFor(t);
  await (await openDatabase(folder)).close();
  const raw = new DatabaseSync(join(folder, 'controller.db'));
  raw.exec('PRAGMA user_version = 99');
  raw.close();
  await t.rejects(openDatabase(folder), { code: 'STATE_NEWER', remedy: /--state/ });

  const damaged = await folderFor(t);
  await writeFile(join(damaged, 'controller.db'), 'this is no database, whatever its name says'.repeat(100));
  await t.rejects(openDatabase(damaged), { code: 'STATE_DAMAGED' });
});

t.test('a folder of version 1 is migrated: its runs have their graph', async (t) => {
  const folder = await folderFor(t);
  const old = new DatabaseSync(join(folder, 'controller.db'));
  old.exec(`BEGIN; ${MIGRATIONS[0]}; PRAGMA user_version = 1;
    INSERT INTO runs VALUES ('r1', 'plan', 'plan', 'running', 1, NULL, 'me', '{"graph":1}');
    INSERT INTO runs VALUES ('r2', 'plan', 'plan', 'running', 2, NULL, 'me', '{"nodes":["a","b","c"],"sets":[[],[1],[1,2]]}');
    INSERT INTO events VALUES ('r1', 1, '{"kind":"started","at":1}'); COMMIT;`);
  old.close();
  const database = await openDatabase(folder);
  t.teardown(() => database.close());
  const log = eventLog(database);
  const [first, second] = await log.activeRuns();
  t.match(first, { record: { id: 'r1', revision: 1, status: 'running' }, graphJson: '{"graph":1}' });
  t.strictSame(
    await log.lastPlans(),
    ['b', 'c'].map((node) => ({ node, run: second?.record.id, status: 'running' })),
    'what is at work is kept on its nodes',
  );
  const revised: RunEvent = {
    kind: 'revised',
    at: 2,
    revision: 2,
    by: '',
    how: 'retry',
    rerun: [],
    skip: [],
    permits: [],
  };
  const events: RunEvent[] = [{ kind: 'finished', at: 2, status: 'failed' }, revised];
  await log.append({ runs: [{ run: 'r1', firstSequence: 2, events }], cursors: [] });
  t.match(await log.find('r1'), {
    record: { revision: 2, status: 'queued', endedMs: undefined },
    graphJson: '{"graph":1}',
  });
  const next = {
    events: [
      { ...revised, revision: 3 },
      { kind: 'started' as const, at: 3 },
      { kind: 'paused' as const, at: 4, by: '' },
    ],
  };
  const graphs = [{ revision: 3, graphJson: '{"graph":3}' }];
  await log.append({ runs: [{ run: 'r1', firstSequence: 4, ...next, graphs, takes: ['n1'] }], cursors: [] });
  t.match(await log.find('r1'), { record: { revision: 3, status: 'paused' }, graphJson: '{"graph":3}' });
  t.strictSame(
    (await log.graphs('r1')).map(({ revision }) => revision),
    [1, 3],
  );
  t.match((await log.lastPlans()).at(-1), { node: 'n1', run: 'r1', status: 'paused' });
});

t.test('backup and restore', async (t) => {
  const folder = await folderFor(t);
  const state = join(folder, 'state');
  await mkdir(join(state, 'runs', 'r1'), { recursive: true });
  await openAuthority(join(state, 'pki'), { clock: Date.now });
  await writeFile(join(state, 'runs', 'r1', 'n1.ndjson'), '{"text":"hi"}\n');
  const database = await openDatabase(state);
  const log = eventLog(database);
  await log.createRun(record('r1'), '{}');
  const file = join(folder, 'backup.tar.gz');
  const about = { version: '1', created: 'now', logs: true };
  // A controller writes meanwhile.
  let writing = true;
  const writes = (async () => {
    for (let seq = 1; writing; seq++)
      await log.append({ runs: [{ run: 'r1', firstSequence: seq, events: [begun(seq)] }], cursors: [] });
  })();
  const manifest = await writeBackup(state, file, about);
  writing = false;
  await writes;
  await database.close();
  t.equal((await stat(file)).mode & 0o777, 0o600, "the CA's keys are in it");
  await t.rejects(writeBackup(state, file, about), { code: 'BACKUP_EXISTS' });
  t.strictSame((await readdir(folder)).sort(), ['backup.tar.gz', 'state'], 'no draft is left');
  t.notOk((await readdir(state)).some((name) => name.startsWith('backup-')));

  const again = join(folder, 'again');
  t.match(await restoreBackup(file, again, Date.now), { fleetId: manifest.fleetId });
  t.strictSame((await readdir(again)).sort(), ['controller.db', 'pki', 'runs']);
  for (const path of ['controller.db', 'pki/issuing.key', '.'])
    t.equal((await stat(join(again, path))).mode & 0o077, 0, `${path} is its owner's alone`);
  t.equal((await openAuthority(join(again, 'pki'), { clock: Date.now })).fleetId, manifest.fleetId);
  t.match(await readFile(join(again, 'runs/r1/n1.ndjson'), 'utf8'), /hi/);
  const restored = await openDatabase(again);
  const events = await eventLog(restored).events('r1');
  t.strictSame(
    events,
    Array.from({ length: events.length }, (_, i) => begun(i + 1)),
    'as it was at one moment',
  );
  await restored.close();
  await t.rejects(restoreBackup(file, again, Date.now), { code: 'STATE_NOT_EMPTY' });

  await t.test('what is not a whole backup of ours is refused, and leaves nothing behind', async (t) => {
    const [bad, to] = [join(folder, 'bad.tar.gz'), join(folder, 'to')];
    const refused = async (what: string, code = 'BACKUP_DAMAGED'): Promise<void> => {
      await t.rejects(restoreBackup(bad, to, Date.now), { code }, what);
      t.notOk(existsSync(to), what);
    };
    const bytes = await readFile(file);
    await writeFile(bad, bytes.subarray(0, bytes.length / 2));
    await refused('cut short');
    await writeFile(bad, 'no archive');
    await refused('no archive');
    const made = join(folder, 'made');
    const repacked = async (change: () => Promise<unknown>, entries: string[], options = {}): Promise<void> => {
      await rm(made, { recursive: true, force: true });
      await mkdir(made);
      await extract({ file, cwd: made });
      await change();
      await create({ file: bad, cwd: made, gzip: true, ...options }, entries);
    };
    const all = ['manifest.json', 'controller.db', 'pki'];
    await writeFile(join(folder, 'stolen'), 'x');
    await repacked(async () => {}, [...all, join(made, '../stolen')], { preservePaths: true });
    await refused('a path that leads elsewhere');
    await repacked(() => symlink('/etc', join(made, 'runs/link')), [...all, 'runs/link']);
    await refused('a link');
    await repacked(() => writeFile(join(made, 'extra'), 'x'), [...all, 'extra']);
    await refused('a file that no backup has');
    await repacked(() => rm(join(made, 'pki/generation.key')), all);
    await refused('without a key');
    await repacked(() => writeFile(join(made, 'pki/issuing.key'), 'x'), all);
    await refused('with a broken one', 'CA_DAMAGED');
    await repacked(() => writeFile(join(made, 'controller.db'), 'x'.repeat(5000)), all);
    await refused('with a broken database');
    const newer = (): Promise<void> => {
      const raw = new DatabaseSync(join(made, 'controller.db'));
      raw.exec('PRAGMA user_version = 99');
      raw.close();
      return Promise.resolve();
    };
    await repacked(newer, all);
    await refused('of a newer version', 'STATE_NEWER');
    t.notOk(
      (await readdir(folder)).some((name) => name.endsWith('.tmp')),
      'no draft is left',
    );
  });
});

t.test('one controller for a folder', async (t) => {
  const folder = join(await folderFor(t), 'state');
  const mine = await takeStateFolder(folder, process.pid);
  await t.rejects(takeStateFolder(folder, process.ppid), {
    code: 'CONTROLLER_RUNNING',
    message: new RegExp(`${process.pid}`),
  });
  await mine.release();
  const lock = join(folder, 'controller.lock');
  t.notOk(existsSync(lock));

  for (const dead of ['4194999 12345\n', `${process.pid} 1\n`, '']) {
    await writeFile(lock, dead);
    const taken = await takeStateFolder(folder, process.pid);
    t.match(
      await readFile(lock, 'utf8'),
      new RegExp(`^${process.pid} \\d+`),
      `taken over from ${JSON.stringify(dead)}`,
    );
    await taken.release();
  }
  await writeFile(lock, '4194999 12345\n');
  const both = await Promise.allSettled([takeStateFolder(folder, process.pid), takeStateFolder(folder, process.ppid)]);
  t.strictSame(
    both.map(({ status }) => status).sort(),
    ['fulfilled', 'rejected'],
    'two that find a dead lock: one of them',
  );

  const file = join(await folderFor(t), 'file');
  await writeFile(file, '');
  await t.rejects(takeStateFolder(file, process.pid), { code: 'STATE_NOT_WRITABLE', message: new RegExp(file) });
});

const isRoot = process.getuid?.() === 0 && process.platform === 'linux';
t.test('a full disk', { skip: isRoot ? false : 'needs root to mount a small disk' }, async (t) => {
  const folder = join(await folderFor(t), 'small');
  await mkdir(folder);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
  t.teardown(() => execFileSync('umount', ['-l', folder]));
  const database = await openDatabase(folder);
  const log = eventLog(database);
  await log.createRun(record('r1'), '{}');
  const blocked = (sequence: number) => ({
    runs: [
      {
        ...{ run: 'r1', firstSequence: sequence },
        events: [
          { kind: 'blocked', at: 1, node: 0, tasks: [], cause: 'x'.repeat(20_000), cancelled: false } as RunEvent,
        ],
      },
    ],
    cursors: [{ node: 'n1', journal: 'j', sequence }],
  });
  await writeFile(join(folder, 'ballast'), Buffer.alloc(300_000));
  let stored = 0;
  const full = await (async () => {
    for (;;) {
      try {
        await log.append(blocked(stored + 1));
        stored += 1;
      } catch (thrown) {
        return thrown;
      }
    }
  })();
  t.match(full, { code: 'DISK_FULL', remedy: /room/ });
  t.ok(stored > 0);
  const together = await Promise.allSettled([log.append(blocked(stored + 1)), log.append(blocked(stored + 1))]);
  t.strictSame(
    together.map((result) => result.status),
    ['rejected', 'rejected'],
    'also those that share a transaction',
  );
  t.equal((await log.events('r1')).length, stored, 'what was stored can be read');

  await rm(join(folder, 'ballast'));
  await log.append(blocked(stored + 1));
  await database.close();
  const again = await openDatabase(folder);
  t.equal((await eventLog(again).events('r1')).length, stored + 1, 'with room again it goes on; nothing was lost');
  t.equal((await nodeStore(again).get('n1')).cursor.sequence, stored + 1);
  await again.close();
});
