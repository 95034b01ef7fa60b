/** Files from a plan to its nodes: a real controller and real agents over loopback TLS. */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import { knocker } from '../support/knock.ts';
import { planOf, startLine } from '../support/line.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

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
    const { view } = await line.apply(plan);
    t.equal(await readFile(at('out-n1/only.txt'), 'utf8'), 'beside the plan\n');
    const back = await line.client.rollback(view.id, { start: true });
    t.match((await line.follow(back.run ?? '')).view, { status: 'done' });
    t.equal(await readFile(at('out-n1/only.txt'), 'utf8'), 'by hand\n');
    t.same(await readdir(at('out-n1/conf.d')), ['a.conf', 'deep']);
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

  await t.test('what is not there is told before anything runs', async (t) => {
    const missing = planOf(['n1'], '        - {name: x, hosts: all, tasks: [{copy: {src: ./nothing, dest: /x}}]}\n');
    await t.rejects(line.start(missing), { message: /"\.\/nothing" is not there/ });
  });
});
