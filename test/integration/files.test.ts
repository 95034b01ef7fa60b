/** Files from a plan to its nodes: a real controller and real agents over loopback TLS. */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import { runCli } from '../../controller/cli/program.ts';
import { fetchedFiles } from '../../controller/store/fetched.ts';
import { deskParts } from '../support/cli-desk.ts';
import { knocker } from '../support/knock.ts';
import { planOf, startLine } from '../support/line.ts';
import { Pipe } from '../support/screen.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

t.test('what nobody goes on bringing is not kept for ever', async (t) => {
  const folder = t.testdir({ arriving: {} });
  const arriving = join(folder, 'arriving');
  const bytes = Buffer.from('half');
  const piece = { path: join(folder, 'it'), sha256: sha256(Buffer.from('half and half')), size: 13, offset: 0, bytes };
  const now = Date.now();
  t.match(await (await fetchedFiles(arriving, () => now)).take(piece), { next: 4, done: false });
  const soon = await fetchedFiles(arriving, () => now + 3_600_000);
  t.match(
    await soon.take({ ...piece, bytes: Buffer.alloc(0) }),
    { next: 4, done: false },
    'of a controller started anew',
  );
  await fetchedFiles(arriving, () => now + 2 * 24 * 3_600_000);
  t.same(await readdir(arriving), []);
});

t.test('files of a plan', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of ['n1', 'n2']) await line.agent(name);
  const at = (...path: string[]): string => join(line.folder, ...path);
  const large = randomBytes(3_000_000);
  await mkdir(at('roles/web/files/conf.d/deep'), { recursive: true });
  await mkdir(at('dist'));
  await writeFile(at('roles/web/files/logo.bin'), large);
  await writeFile(at('roles/web/files/conf.d/a.conf'), 'a = 1\n');
  await writeFile(at('roles/web/files/conf.d/deep/run.sh'), '#!/bin/sh\n');
  await chmod(at('roles/web/files/conf.d/deep/run.sh'), 0o755);
  await writeFile(
    at('roles/web/tasks.yaml'),
    `
- copy: {src: logo.bin, dest: "${line.folder}/out-{{ node_name }}/logo.bin", mode: "0600"}
- copy: {src: conf.d, dest: "${line.folder}/out-{{ node_name }}/conf.d"}
- copy: {src: ./dist/only.txt, dest: "${line.folder}/out-{{ node_name }}/"}
  when: node_name == 'n1'
`,
  );
  await writeFile(at('dist/only.txt'), 'beside the plan\n');
  for (const node of ['n1', 'n2']) await mkdir(at(`out-${node}`));
  const plan = planOf(['n1', 'n2'], '        - {name: web, hosts: all, roles: [web]}\n');

  await t.test('a dry run tells what would come, and brings nothing', async (t) => {
    const { view } = await line.apply(plan, { check: true });
    t.match(view, { status: 'done', nodes: [{ changed: 3 }, { changed: 2 }] });
    t.same(await readdir(at('out-n1')), []);
    t.match(JSON.stringify(view.changes), /\+a = 1/, 'small texts of the role as they differ');
  });

  await t.test('what a plan names comes to its nodes, with modes, and once', async (t) => {
    const { view } = await line.apply(plan);
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    for (const node of ['n1', 'n2']) {
      t.equal(sha256(await readFile(at(`out-${node}/logo.bin`))), sha256(large));
      t.equal((await stat(at(`out-${node}/logo.bin`))).mode & 0o777, 0o600);
      t.equal((await stat(at(`out-${node}/conf.d/deep/run.sh`))).mode & 0o777, 0o755);
      t.equal((await stat(at(`out-${node}/conf.d/a.conf`))).mode & 0o777, 0o644);
    }
    t.equal(await readFile(at('out-n1/only.txt'), 'utf8'), 'beside the plan\n');
    const again = await line.apply(plan);
    t.match(again.view.nodes, [{ changed: 0 }, { changed: 0 }], 'applied again, nothing changes');
    t.same(
      (await readdir(at('n2/files'))).filter((name) => name.endsWith('.part')),
      [],
    );
    await rm(at('out-n2/logo.bin'));
    await rm(at('controller/blobs', sha256(large)));
    await line.apply(plan);
    t.equal(sha256(await readFile(at('out-n2/logo.bin'))), sha256(large), 'from the cache of the node');
  });

  await t.test('a rollback takes away what was made, and brings back what was there', async (t) => {
    await writeFile(at('out-n1/only.txt'), 'by hand\n');
    await writeFile(at('roles/web/files/conf.d/new.conf'), 'new\n');
    await mkdir(at('roles/web/files/conf.d/void/deeper'), { recursive: true });
    const { view } = await line.apply(plan);
    t.same(await readdir(at('out-n2/conf.d/void')), ['deeper'], 'directories without a file come, too');
    t.match((await line.apply(plan, { check: true })).view.nodes, [{ changed: 0 }, { changed: 0 }]);
    t.equal(await readFile(at('out-n1/only.txt'), 'utf8'), 'beside the plan\n');
    const back = await line.client.rollback(view.id, { start: true });
    t.match((await line.follow(back.run ?? '')).view, { status: 'done' });
    t.equal(await readFile(at('out-n1/only.txt'), 'utf8'), 'by hand\n');
    for (const node of ['n1', 'n2']) t.same(await readdir(at(`out-${node}/conf.d`)), ['a.conf', 'deep']);
  });

  await t.test('a rollback that needs a file which is gone is refused before it begins', async (t) => {
    await writeFile(at('dist/back.txt'), 'back\n');
    const done = `        - {name: r, hosts: n1, tasks: [{command: "true", rollback: [{copy: {src: ./dist/back.txt, dest: ${line.folder}/back}}]}]}\n`;
    const { view } = await line.apply(planOf(['n1'], done));
    await rm(at('controller/blobs', sha256(Buffer.from('back\n'))));
    await t.rejects(line.client.rollback(view.id, { start: true }), {
      code: 'BLOBS_MISSING',
      report: { remedy: /apply --check/ },
    });
    await line.apply(planOf(['n1'], done), { check: true });
    const back = await line.client.rollback(view.id, { start: true });
    t.match((await line.follow(back.run ?? '')).view, { status: 'done' });
    t.equal(await readFile(at('back'), 'utf8'), 'back\n');
  });

  await t.test('a node gets what its own shares name, and in parts', async (t) => {
    await line.join('other');
    await writeFile(at('dist/only.txt'), 'of n1 alone\n');
    const hold = `        - {name: hold, hosts: n1, tasks: [{copy: {src: ./dist/only.txt, dest: ${line.folder}/held}}, {command: sleep 60}]}\n`;
    const run = await line.start(planOf(['n1', 'n2'], hold));
    const digest = sha256(Buffer.from('of n1 alone\n'));
    const port = Number(new URL(line.endpoint).port);
    const askAs = async (name: string, headers: Record<string, string> = {}) => {
      const identity = await new IdentityStore(at(name, 'identity')).load();
      const door = knocker(port, { key: identity?.keyPem ?? '', cert: identity?.certificatePem ?? '' });
      const answer = await door.ask('GET', `/blob/${digest}`, '', headers);
      door.close();
      return answer;
    };
    t.match(await askAs('n1'), { status: 200, body: 'of n1 alone\n' });
    t.match(await askAs('n1', { range: 'bytes=3-' }), { status: 206, body: 'n1 alone\n' });
    t.match(await askAs('n1', { range: 'bytes=3-4' }), { status: 206, body: 'n1' });
    t.match(await askAs('n1', { range: 'bytes=12-' }), { status: 416 });
    t.match(await askAs('n2'), { status: 403, code: 'BLOB_NOT_NAMED' }, 'a node of the run that has no such task');
    t.match(await askAs('other'), { status: 403, code: 'BLOB_NOT_NAMED' });
    await line.client.cancel(run, { by: 'test' });
    await line.follow(run);
    t.match(await askAs('n1'), { status: 403, code: 'BLOB_NOT_NAMED' }, 'the run has ended');
  });

  await t.test('files of nodes come to the controller, within what the task allows', async (t) => {
    for (const node of ['n1', 'n2']) {
      await mkdir(at(`logs-${node}/deep`), { recursive: true });
      await writeFile(at(`logs-${node}/a.log`), `of ${node}\n`);
      await writeFile(at(`logs-${node}/deep/large.log`), large);
    }
    const logs = `${line.folder}/logs-{{ node_name }}`;
    const tasks = [
      `{fetch: {path: "${logs}/*.log", dest: ${line.folder}/fetched}, register: got}`,
      `{fetch: {path: "${logs}/", dest: ${line.folder}/all, layout: node}}`,
      '{assert: {that: ["got.count == 1", "got.brought in [0, 1]"]}}',
    ];
    const fetching = planOf(['n1', 'n2'], `        - {name: f, hosts: all, tasks: [${tasks.join(', ')}]}\n`);
    const { view } = await line.apply(fetching);
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    for (const node of ['n1', 'n2']) {
      t.equal(await readFile(at(`fetched/${node}${line.folder}/logs-${node}/a.log`), 'utf8'), `of ${node}\n`);
      t.equal(sha256(await readFile(at(`all/${node}/deep/large.log`))), sha256(large));
    }
    await line.apply(fetching);
    t.same(await readdir(at('controller/arriving')), [], 'nothing half is left');
    const bad = (input: string) =>
      line.apply(planOf(['n1'], `        - {name: f, hosts: all, tasks: [{fetch: ${input}}]}\n`));
    const failed = async (input: string) => (await bad(input)).view.failures[0]?.error?.code;
    t.equal(await failed(`{path: "${logs}/none*", dest: x}`), 'FETCH_MISSING');
    t.equal(await failed(`{path: "${logs}/", dest: x, max_bytes: 10}`), 'FETCH_TOO_LARGE');
    t.equal(await failed(`{path: "${logs}/a.log", dest: ${line.folder}/plan.yaml/x}`), 'FETCH_NOT_WRITABLE');
    await t.rejects(bad('{path: /x, dest: "{{ node_name }}"}'), { message: /cannot be a template/ });

    const port = Number(new URL(line.endpoint).port);
    const identity = await new IdentityStore(at('n1', 'identity')).load();
    const door = knocker(port, { key: identity?.keyPem ?? '', cert: identity?.certificatePem ?? '' });
    const hold = `        - {name: hold, hosts: n1, tasks: [{command: sleep 60}, {fetch: {path: /etc/hostname, dest: in, layout: flat}}]}\n`;
    const run = await line.start(planOf(['n1', 'n2'], hold));
    const put = async (wish: Record<string, string | number>, body: string) => {
      const about = {
        run,
        task: 1,
        path: '/etc/hostname',
        name: 'hostname',
        sha256: sha256(Buffer.from(body)),
        size: body.length,
        offset: 0,
      };
      const query = new URLSearchParams(
        Object.entries({ ...about, ...wish }).map(([k, v]): [string, string] => [k, String(v)]),
      );
      return door.ask('PUT', `/fetched?${query}`, body, { 'content-type': 'application/octet-stream' });
    };
    t.match(await put({ task: 0 }, 'x'), { status: 403, code: 'FETCH_NOT_ASKED' }, 'a task that fetches nothing');
    t.match(await put({ run: 'other' }, 'x'), { status: 403, code: 'FETCH_NOT_ASKED' });
    t.match(await put({ path: '/../../x', name: '../../x' }, 'x'), { status: 409, code: 'FETCH_PATH' });
    t.match(await put({ size: 2 ** 40 }, 'x'), { status: 409, code: 'FETCH_TOO_LARGE' });
    t.match(await put({ sha256: 'f'.repeat(64) }, 'x'), { status: 409, code: 'FETCH_CHANGED' });
    t.match(await put({}, 'mine'), { status: 200, body: /"done":true,"had":false/ });
    t.equal(await readFile(at('controller/fetched/in/hostname'), 'utf8'), 'mine');
    t.match(await put({ path: '/etc/other', name: 'other', size: 1024 ** 3 }, 'x'), {
      status: 409,
      code: 'FETCH_TOO_LARGE',
    });
    const twice = randomBytes(200_000).toString('hex');
    const both = await Promise.all([
      put({ name: 'twice', path: '/twice' }, twice),
      put({ name: 'twice', path: '/twice' }, twice),
    ]);
    t.same(
      both.map(({ status }) => status),
      [200, 200],
      'the same at once',
    );
    t.equal(await readFile(at('controller/fetched/in/twice'), 'utf8'), twice);
    door.close();
    await line.client.cancel(run, { by: 'test' });
    await line.follow(run);
  });

  await t.test('cp, both ways', async (t) => {
    const cp = async (...args: string[]) => {
      const [out, err] = [new Pipe(), new Pipe()];
      const code = await runCli(['cp', ...args], deskParts(at('controller'), out, err));
      return { code, out: out.text, err: err.text };
    };
    const conf = at('roles/web/files/conf.d');
    t.match(await cp(conf, at('dist/only.txt'), `n1,n2:${line.folder}/out-n1/cp/`), {
      code: 0,
      out: /n1 {2}4 files, \d+ bytes\nn2 {2}4 files/,
      err: /2 nodes, .*\/s together/,
    });
    t.same(await readdir(at('out-n1/cp')), ['conf.d', 'only.txt']);
    t.equal(await readFile(at('out-n1/cp/only.txt'), 'utf8'), 'of n1 alone\n');
    t.match(await cp(`n1:${line.folder}/out-n1/cp/conf.d/*.conf`, at('one')), { code: 0, out: /n1 {2}2 files/ });
    t.same((await readdir(at('one'))).sort(), ['a.conf', 'new.conf'], 'of one node: as they are called');
    await cp(`n1,n2:${line.folder}/out-n1/cp`, at('two'));
    t.same(await readdir(at('two/n2/cp')), ['conf.d', 'only.txt'], 'of several: a folder each');
    t.match(await cp(`n1:${line.folder}/nothing`, at('one')), { code: 3, out: /n1 {2}FETCH_MISSING/ });
    await mkdir(at('hollow'));
    t.match(await cp(at('hollow'), `n1:${line.folder}/out-n1/hollow`), { code: 0, out: /n1 {2}0 files/ });
    t.same(await readdir(at('out-n1/hollow')), []);
    t.match(await cp('a', 'b'), { code: 1, err: /USAGE/ });
    t.match(await cp('./nothing', 'n1:/x'), { code: 1, err: /SRC_MISSING/ });
    t.match(await cp(conf, 'n9:/x'), { code: 1, err: /SELECTOR_UNKNOWN/ });
  });

  await t.test('what is not there is told before anything runs', async (t) => {
    const missing = planOf(['n1'], '        - {name: x, hosts: all, tasks: [{copy: {src: ./nothing, dest: /x}}]}\n');
    await t.rejects(line.start(missing), { message: /"\.\/nothing" is not there/ });
  });
});
