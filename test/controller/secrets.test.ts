/** Secrets and certificates of plans on the controller: who may ask for what, what is kept, and what a CA signs. */
import { randomBytes, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { makeKey, requestOf } from '../../agent/identity/keys.ts';
import { issuing } from '../../controller/operations/issue-certificate.ts';
import { makeSecret } from '../../controller/operations/make-secret.ts';
import { nodeSecrets } from '../../controller/operations/node-secrets.ts';
import { openAuthority } from '../../controller/pki/authority.ts';
import { ClusterCas } from '../../controller/pki/cluster-cas.ts';
import { openSealing } from '../../controller/pki/sealing.ts';
import type { ActiveRun } from '../../controller/run/active-run.ts';
import { newRunState, stepIndex } from '../../controller/run/state.ts';
import { restoreBackup, writeBackup } from '../../controller/store/backup.ts';
import { certificateStore } from '../../controller/store/certificates.ts';
import { openDatabase } from '../../controller/store/database.ts';
import { secretStore } from '../../controller/store/secrets.ts';
import { isSignedBy } from '../../shared/certificates.ts';
import { STEP_STATES } from '../../shared/lifecycle.ts';
import { hiddenPartsOf } from '../../shared/secrets.ts';
import type { Json } from '../../shared/share.ts';
import {
  graphFrom,
  type PlanSketch,
  problemsFrom,
  type TaskSketch,
  taskFrom,
  waitsIn,
} from '../support/plan-builder.ts';

const DAY = 24 * 3_600_000;
const START = Date.UTC(2030, 0, 1);

const make = (name: string): TaskSketch => ({
  id: `make-${name}`,
  action: 'secret.make',
  inputs: { name, kind: 'password' },
  runOnce: true,
});
const sketch = (tasks: TaskSketch[], more: Partial<PlanSketch> = {}): PlanSketch => ({
  nodes: ['cp1', 'w1'],
  roles: { r: tasks },
  plays: [{ name: 'p', nodes: ['cp1', 'w1'], roles: ['r'] }],
  ...more,
});

t.test('whoever reads a secret waits for its maker, is sensitive, and nobody else is told of it', async (t) => {
  const graph = graphFrom(
    sketch(
      [
        make('token'),
        make('other'),
        { id: 'plain', needs: [] },
        { id: 'input', needs: [], inputs: { shell: 'x', stdin: "{{ secret('token') }}" } },
        {
          id: 'by-var',
          needs: [],
          inputs: { shell: 'x', stdin: '{{ outer }}' },
          vars: { outer: '{{ inner }}', inner: "{{ secret('token') }}" },
        },
        { id: 'var-unused', needs: [], vars: { inner: "{{ secret('token') }}" } },
        { id: 'template', needs: [], action: 'file', inputs: { path: '/x', template: 't.j2', mode: '0600' } },
        {
          id: 'recovers',
          needs: [],
          recover: [taskFrom({ id: 'again', inputs: { argv: ['x'], stdin: "{{ secret('other') }}" } })],
        },
      ],
      { files: { 'r/templates/t.j2': "{% if x is defined %}{{ secret('token') }}{% endif %}{{ secret('other') }}" } },
    ),
  );
  const specs = Object.fromEntries(graph.common.tasks.map((spec) => [spec.name, spec]));
  t.same(
    ['plain', 'input', 'by-var', 'var-unused', 'template', 'recovers'].map((name) => specs[name]?.secrets ?? []),
    [[], ['token'], ['token'], [], ['other', 'token'], ['other']],
  );
  t.same(
    ['plain', 'input', 'template'].map((name) => specs[name]?.sensitive),
    [false, true, true],
  );
  t.match(waitsIn(graph), {
    'r/plain': [],
    'r/input': ['all r/make-token'],
    'r/template': ['all r/make-other', 'all r/make-token'],
  });
  t.same(
    graphFrom(sketch([make('token'), { id: 'x', inputs: { argv: ['x'], stdin: "{{ secret('token') }}" } }])).common
      .tasks[1]?.needs,
    [{ gate: 'all/0' }],
  );
});

t.test('what cannot be right is told with its place', async (t) => {
  const problems = (...tasks: TaskSketch[]) =>
    problemsFrom(sketch(tasks)).map(({ code, message, remedy }) => `${code} ${message} ${remedy}`);
  const read = (id: string, more: object = {}): TaskSketch => ({
    id,
    inputs: { argv: ['x'], stdin: "{{ secret('tokem') }}" },
    ...more,
  });
  t.match(problems(make('token'), read('x')), [/SECRET_UNKNOWN secret\('tokem'\) of task "x".*Made are: token/]);
  t.match(problems(read('x'), make('tokem')), [/SECRET_UNKNOWN/], 'it is made too late');
  t.match(problems({ ...(make('x') as object), id: 'm', inputs: { name: '{{ n }}', kind: 'password' } }), [
    /SECRET_NAME/,
  ]);
  t.match(
    problems(make('tokem'), read('x', { rollback: [] }), {
      ...(make('y') as object),
      id: 'y',
      inputs: { name: 'y', kind: "{{ secret('tokem') }}" },
    }),
    [/SECRET_PLACE/],
  );
  const file = (inputs: { [key: string]: Json }, action = 'file') =>
    problems(make('token'), { id: 'f', action, inputs: { path: '/x', content: "{{ secret('token') }}", ...inputs } });
  t.match(file({}), [/SECRET_READABLE .*it states no mode/]);
  t.match(file({ mode: '0644' }), [/SECRET_READABLE .*its mode is 0644/]);
  t.match(file({}, 'systemd'), [/SECRET_READABLE What systemd writes can be read by everybody/]);
  t.same(file({ mode: '0640' }), []);
  const run = (inputs: { [key: string]: Json }, action = 'command') =>
    problems(make('token'), { id: 'c', action, inputs, vars: { v: "{{ secret('token') }}" } });
  for (const inputs of [{ shell: 'x {{ v }}' }, { argv: ['x', '{{ v }}'] }, { argv: ['x'], env: { A: '{{ v }}' } }])
    t.match(run(inputs), [/SECRET_EXPOSED Task "c" gives the secret "token"/], JSON.stringify(inputs));
  t.same(run({ argv: ['x'], stdin: '{{ v }}' }), []);
  t.same(run({ content: 'echo {{ v }}' }, 'script'), []);
  t.match(run({ source: 'a', args: ['{{ v }}'] }, 'script'), [/SECRET_EXPOSED/]);
  t.same(file({ mode: '{{ m }}' }), [], 'the node judges it');
});

async function stateFolder(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'kk-secrets-'));
  const pki = join(folder, 'pki');
  await openAuthority(pki, { clock: () => START });
  const database = await openDatabase(folder);
  t.teardown(async () => {
    await database.close();
    await rm(folder, { recursive: true, force: true });
  });
  const clock = { now: START };
  const nowMs = () => clock.now;
  const secrets = secretStore(database, await openSealing(pki, randomBytes), nowMs);
  const certificates = certificateStore(database);
  const parts = { cas: new ClusterCas(pki, { random: randomBytes, nowMs }), certificates, random: randomBytes, nowMs };
  return { folder, pki, database, clock, secrets, certificates, parts };
}

const signal = new AbortController().signal;
const step = { run: 'r1', plan: 'lab', node: 'n1', task: 'p/r/t', signal };

t.test(
  'secret.make: of the form that is wanted, once for a plan or for each run, sealed, deleted by a rollback',
  async (t) => {
    const { folder, pki, database, secrets } = await stateFolder(t);
    const { act, check, undo } = makeSecret({ secrets, random: randomBytes, readFile });
    const made = async (inputs: object, run = 'r1', plan = 'lab') =>
      act({ ...step, run, plan, inputs: inputs as Json });
    const value = async (name: string, run = 'r1', plan = 'lab') => (await secrets.find(plan, name, run))?.value;

    t.same(await made({ name: 'token', kind: 'bootstrap_token' }), { changed: true, output: { name: 'token' } });
    const token = (await value('token')) ?? '';
    t.match(token, /^[a-z0-9]{6}\.[a-z0-9]{16}$/);
    t.same(await made({ name: 'token', kind: 'bootstrap_token' }, 'r2'), { changed: false, output: { name: 'token' } });
    t.equal(await value('token', 'r2'), token, 'kept for the plan');
    await t.rejects(made({ name: 'token', kind: 'password' }), { code: 'SECRET_KIND' });
    await made({ name: 'token', kind: 'bootstrap_token' }, 'r1', 'other');
    t.not(await value('token', 'r1', 'other'), token, 'another plan has its own');

    await made({ name: 'key', kind: 'certificate_key', keep: 'run' });
    const key = await value('key');
    t.match(key, /^[0-9a-f]{64}$/);
    t.match(await made({ name: 'key', kind: 'certificate_key', keep: 'run' }), { changed: false }, 'done again');
    t.equal(await value('key'), key);
    t.equal(await value('key', 'r2'), undefined, 'for that run alone');
    await made({ name: 'key', kind: 'certificate_key', keep: 'run' }, 'r2');
    t.not(await value('key', 'r2'), key);
    t.equal(await value('key'), key, 'another run may go on');
    await database.transact([
      {
        sql: `INSERT INTO runs (id, name, kind, status, created_ms, by_whom) VALUES ('r1', 'lab', 'plan', 'done', 0, 'me')`,
        values: [],
      },
    ]);
    await made({ name: 'key', kind: 'certificate_key', keep: 'run' }, 'r3');
    t.equal(await value('key'), undefined, 'the older one is not needed any more');
    await made({ name: 'word', kind: 'password' });
    t.match(await value('word'), /^[A-Za-z0-9]{32}$/);

    const lines = { name: 'logins', kind: 'files', keep: 'run', files: { reg: join(folder, 'reg') } };
    await t.rejects(made(lines), { code: 'SECRET_FILE', message: /reg, which has the secret of reg, is not there/ });
    await t.rejects(async () => check?.({ ...step, inputs: lines }), { code: 'SECRET_FILE' }, 'a dry run says so, too');
    await writeFile(join(folder, 'reg'), 'two\nlines\n');
    await t.rejects(made(lines), { code: 'SECRET_FILE', message: /one line/ });
    await writeFile(join(folder, 'reg'), 'pass word\n');
    await made(lines, 'r5');
    t.equal(await value('logins', 'r5'), '{"reg":"pass word"}');
    t.match(await made(lines, 'r5'), { changed: false }, 'the same again');
    await writeFile(join(folder, 'reg'), 'new word\n');
    await t.rejects(made(lines, 'r5'), { code: 'SECRET_FILE', message: /other secrets/, remedy: /without --resume/ });
    await made(lines, 'r6');
    t.equal(await value('logins', 'r6'), '{"reg":"new word"}');
    t.same(hiddenPartsOf('{"reg":"pass word","b":"x"}'), ['{"reg":"pass word","b":"x"}', 'pass word']);
    const quoted = JSON.stringify({ reg: 'pass"wo\\rd' });
    t.same(hiddenPartsOf(quoted), [quoted, 'pass"wo\\rd', 'pass\\"wo\\\\rd'], 'also as files of JSON and TOML have it');

    for (const file of await readdir(folder))
      if (file.startsWith('controller.db')) t.notMatch(await readFile(join(folder, file), 'latin1'), token, file);
    t.equal((await stat(join(pki, 'secrets.key'))).mode & 0o777, 0o600);
    await database.transact([{ sql: "UPDATE secrets SET name = 'moved' WHERE name = 'word'", values: [] }]);
    await t.rejects(value('moved'), { code: 'SECRET_UNREADABLE' }, 'it opens only as what it is');

    t.same(await undo?.({ ...step, run: 'r2' }), { restored: ['the secret key is deleted'], left: [] });
    t.equal(await value('token'), token, 'what another run made stays');
    t.match(await undo?.(step), { restored: [/moved/, /token/] });
    t.equal(await value('token'), undefined);
  },
);

t.test('a node gets the secrets of its own tasks, while they are to be done, and once they are made', async (t) => {
  const { database, secrets } = await stateFolder(t);
  const graph = graphFrom(
    sketch([
      make('token'),
      { ...(make('key') as object), id: 'make-key', inputs: { name: 'key', kind: 'password', keep: 'run' } },
      { id: 'x', on: ['w1'], inputs: { argv: ['x'], stdin: "{{ secret('token') }} {{ secret('key') }}" } },
      { id: 'y' },
    ]),
  );
  const state = newRunState(graph);
  const run = {
    graph,
    state,
    indexes: new Map(graph.nodes.map((name, index) => [name, index])),
  } as unknown as ActiveRun;
  const active = new Map([['r1', run]]);
  const ask = nodeSecrets({ active } as never, secrets);
  const add = (name: string, run: string) =>
    secrets.add({ plan: 'test', name, run, kind: 'password', madeBy: { run: 'r0', task: 't' } }, `${name} of ${run}`);
  const notMade = { status: 404, refused: { code: 'SECRET_NOT_MADE' } };
  t.match(await ask('w1', 'r1', 'token'), notMade);
  await add('token', '');
  t.same(await ask('w1', 'r1', 'token'), { value: 'token of ' }, 'its maker cannot change it any more');
  await add('key', '');
  t.match(await ask('w1', 'r1', 'key'), notMade, 'the run is to have its own');
  await add('key', 'r1');
  t.same(await ask('w1', 'r1', 'key'), { value: 'key of r1' }, 'a later revision has its maker to do again');
  const end = (task: number, node: string): void => {
    state.steps[stepIndex(state, task, graph.nodes.indexOf(node))] = STEP_STATES.indexOf('ok');
  };
  const another = "(SELECT sealed FROM secrets WHERE name = 'token')";
  await database.transact([{ sql: `UPDATE secrets SET sealed = ${another} WHERE name = 'key'`, values: [] }]);
  t.match(await ask('w1', 'r1', 'key'), { status: 500, refused: { code: 'SECRET_UNREADABLE' } });
  await database.transact([{ sql: "DELETE FROM secrets WHERE name = 'key'", values: [] }]);
  t.match(await ask('w1', 'r1', 'key'), notMade);
  end(1, 'cp1');
  t.match(
    await ask('w1', 'r1', 'key'),
    { status: 404, refused: { code: 'SECRET_NEVER' } },
    'nobody is left to make it',
  );
  end(0, 'cp1');
  t.same(await ask('w1', 'r1', 'token'), { value: 'token of ' });
  for (const [node, id, name] of [
    ['cp1', 'r1', 'token'],
    ['w2', 'r1', 'token'],
    ['w1', 'r2', 'token'],
    ['w1', 'r1', 'other'],
  ] as const)
    t.match(await ask(node, id, name), { status: 403, refused: { code: 'SECRET_NOT_NAMED' } }, `${node} ${id} ${name}`);
  end(2, 'w1');
  t.match(await ask('w1', 'r1', 'token'), { status: 403 }, 'it has no use for it any more');
});

t.test('pki.issue: a CA for each name of a plan; names are the task’s; the same again while it is fresh', async (t) => {
  const { folder, pki, clock, certificates, parts } = await stateFolder(t);
  const { act, undo } = issuing(parts);
  const key = makeKey();
  const subject = { CN: 'n1', O: 'members' };
  const sans = ['DNS:n1', 'IP:10.0.0.1', 'IP:fd00::1'];
  const issued = async (more: object = {}, at: object = {}) => {
    const csr = await requestOf(key, subject, sans);
    const inputs = { ca: 'etcd', csr, subject, sans, usages: ['server', 'client'], days: 365, ...more };
    const { changed, output } = await act({ ...step, inputs, ...at });
    const { certificate, ca } = output as { certificate: string; ca: string };
    return { changed, pem: certificate, certificate: new X509Certificate(certificate), ca: new X509Certificate(ca) };
  };
  const [one, beside] = await Promise.all([issued(), issued({ usages: ['client'] })]);
  t.ok(isSignedBy(one.certificate, one.ca) && one.ca.ca && !one.certificate.ca);
  t.ok(one.ca.raw.equals(beside.ca.raw), 'two at once have one CA');
  t.equal(one.certificate.subject, 'O=members\nCN=n1');
  t.equal(one.certificate.subjectAltName, 'DNS:n1, IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:0:1');
  t.same(one.certificate.keyUsage?.sort(), ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  t.same(beside.certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
  t.equal(one.certificate.validToDate.getTime(), START + 365 * DAY);
  t.equal(one.ca.validToDate.getTime(), START + 3650 * DAY);
  t.equal((await stat(join(pki, 'clusters/lab/etcd.key'))).mode & 0o777, 0o600);
  t.equal((await stat(join(pki, 'clusters/lab'))).mode & 0o777, 0o700);
  t.notOk((await issued({}, { plan: 'other' })).ca.raw.equals(one.ca.raw), 'another plan has its own');

  clock.now += 200 * DAY;
  const again = await issued({ sans: [...sans].reverse() });
  t.match([again.changed, again.pem === one.pem], [false, true], 'a second apply changes nothing');
  t.equal((await issued({ days: 30 })).changed, true, 'asked for something else');
  const renewed = await issued({ renew: true }, { run: 'r2' });
  t.equal(renewed.changed, true);
  t.match(await issued({ renew: true }, { run: 'r2' }), { changed: false, pem: renewed.pem }, 'once for each step');
  t.match((await certificates.revoke({ ...step, run: 'r2' }, 1)).length, 1);
  clock.now += 45 * DAY;
  t.equal((await issued()).changed, true, 'less than a third of its life is left');
  t.match(await certificates.list('lab'), [{ names: /"n1".*server/ }, {}, {}, {}, {}]);

  const refused = async (more: object, code: string, evidence?: RegExp) => {
    const found = await issued(more).catch((thrown) => thrown.report);
    t.match(found, { code, ...(evidence ? { evidence } : {}) });
  };
  await refused({ subject: { CN: 'n2', O: 'members' } }, 'CSR_NAMES', /stated: CN=n2.*\nasked: CN=n1/);
  await refused({ sans: ['DNS:n1'] }, 'CSR_NAMES');
  await refused({ subject: { CN: 'n1' } }, 'CSR_NAMES');
  await refused({ csr: 'none' }, 'CSR_INVALID');

  const before = (await certificates.list('lab')).filter(({ revokedMs }) => revokedMs === undefined).length;
  const undone = await undo?.(step);
  t.match(undone, { restored: Array.from({ length: before }, () => /is revoked/), left: [/can use the certificate/] });
  t.equal((await issued()).changed, true, 'a revoked one is not given again');
  t.match(await undo?.({ ...step, node: 'n2' }), { restored: [] });

  const file = join(folder, 'backup.tar.gz');
  await writeBackup(folder, file, { version: '1', created: 'now', logs: false });
  const restored = join(folder, 'restored');
  await restoreBackup(file, restored, () => START);
  for (const name of ['secrets.key', 'clusters/lab/etcd.key', 'clusters/lab/etcd.crt'])
    t.same(await readFile(join(restored, 'pki', name)), await readFile(join(pki, name)), name);

  await writeFile(join(pki, 'clusters/lab/etcd.key'), 'broken');
  await refused({}, 'CLUSTER_CA_DAMAGED');
  await rm(join(pki, 'clusters/lab/etcd.key'));
  await refused({}, 'CLUSTER_CA_DAMAGED');
});
