/** Tasks on the controller itself, between tasks of real agents. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { StreamLine } from '../../controller/views/types.ts';
import { type Line, planOf, startLine } from '../support/line.ts';
import { Site } from '../support/processes.ts';

const NODES = ['n1', 'n2'];
const SECRET = 'client-key-data: hunter2';

/** Follows a run until it asks a person; the question. */
async function untilAsked(line: Pick<Line, 'client'>, run: string): Promise<string> {
  const enough = new AbortController();
  try {
    for await (const item of line.client.follow(run, { logs: false }, enough.signal))
      if (item.type === 'begun' && item.asks !== undefined) return item.asks;
  } finally {
    enough.abort();
  }
  throw new Error('the run ended without a question');
}

function endsOf(lines: readonly StreamLine[], name: string) {
  return lines.flatMap((item) => (item.type === 'ended' && item.name === name ? [item] : []));
}

/** Every file below a folder that holds the text. */
async function holding(folder: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && (await readFile(path)).includes(text)) found.push(path);
  }
  return found.sort();
}

t.test('a node is asked, the controller does its part for each, the node goes on with it', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of NODES) await line.agent(name);
  const out = join(line.folder, 'out');
  await mkdir(out);
  for (const name of NODES) await writeFile(join(out, `${name}.conf`), `of: ${name}\n${SECRET}\n`);
  const plan = planOf(
    NODES,
    `        - name: clusters
          hosts: all
          tasks:
            - {name: look, command: [cat, "${out}/{{ node_name }}.conf"], register: conf, sensitive: true}
            - {name: keep, on: controller, per: all, kubeconfig.keep: {name: "c-{{ node_name }}", content: "{{ conf.stdout }}"}, register: kept}
            - {name: use, command: {shell: "echo {{ kept.name }} {{ kept.changed }} > ${out}/{{ node_name }}.kept"}}
            - {name: sure, on: controller, confirm: "Delete {{ groups.all | length }} nodes?", register: answer, needs: [{task: use, of: all}]}
            - {name: end, command: {shell: "echo end > ${out}/{{ node_name }}.end"}}
            - {name: who, run_once: true, debug: "{{ answer.by }}"}
`,
  );

  const would = await line.apply(plan, { check: true });
  t.equal(would.view.status, 'done');
  t.same(await line.client.clusters(), [], 'a dry run keeps nothing');
  const notKnown = would.view.unknown.filter(({ task }) => task.endsWith('/keep'));
  t.equal(notKnown.length, NODES.length, 'what it would keep nobody knows before');

  const run = await line.start(plan);
  t.equal(await untilAsked(line, run), 'Delete 2 nodes?');
  t.equal(await readFile(join(out, 'n2.kept'), 'utf8'), 'c-n2 true\n');
  t.same(await line.client.clusters(), ['c-n1', 'c-n2']);
  t.equal(await line.client.kubeconfig('c-n1'), `of: n1\n${SECRET}`);
  const folder = join(line.folder, 'controller');
  t.same(
    await holding(line.folder, SECRET),
    [
      join(folder, 'kubeconfigs/c-n1.yaml'),
      join(folder, 'kubeconfigs/c-n2.yaml'),
      join(out, 'n1.conf'),
      join(out, 'n2.conf'),
    ].sort(),
    'the secret lies where it came from and where it was put, and nowhere between',
  );
  t.equal((await stat(join(folder, 'kubeconfigs/c-n1.yaml'))).mode & 0o777, 0o600);

  await line.stopController();
  await line.startController();
  t.same(
    (await line.client.run(run)).asks.map(({ message }) => message),
    ['Delete 2 nodes?'],
    'the question has survived',
  );
  await untilAsked(line, run);
  await line.client.confirm(run, { yes: true, by: 'ada' });
  const { view, lines } = await line.follow(run);
  t.equal(view.status, 'done', JSON.stringify(view.failures));
  t.same(view.asks, []);
  t.equal(await readFile(join(out, 'n1.end'), 'utf8'), 'end\n');
  t.match(endsOf(lines, 'who'), [{ output: { message: 'ada' } }]);

  const again = await line.start(plan);
  await untilAsked(line, again);
  await line.client.confirm(again, { yes: false, by: 'ada' });
  const refused = await line.follow(again);
  t.equal(refused.view.status, 'failed');
  t.match(refused.view.failures, [{ error: { code: 'CONFIRM_REFUSED', message: 'ada said no.' } }]);
  t.equal(await readFile(join(out, 'n2.kept'), 'utf8'), 'c-n2 false\n', 'it was there already');

  await line.client.retry(again, { by: 'ada' });
  await untilAsked(line, again);
  await line.client.cancel(again, { by: 'ada' });
  t.equal((await line.follow(again)).view.status, 'cancelled', 'a cancel ends the waiting');

  const { run: undoing } = await line.client.rollback(run, { start: true, by: 'ada' });
  const undone = await line.follow(undoing ?? '');
  t.equal(undone.view.status, 'done', JSON.stringify(undone.view.failures));
  t.same(await line.client.clusters(), [], 'what the run kept is gone');
});

t.test('killed between its part and that of the nodes, the controller goes on where it was', async (t) => {
  const site = new Site(await mkdtemp(join(tmpdir(), 'kk-local-')));
  t.teardown(async () => {
    await site.close();
    await rm(site.home, { recursive: true, force: true });
  });
  await site.serve();
  for (const name of NODES) {
    await site.join(name);
    await site.agent(name).told(/connected to the controller/);
    await writeFile(join(site.home, `${name}.conf`), `of: ${name}\n`);
  }
  const path = join(site.home, 'plan.yaml');
  await writeFile(
    path,
    planOf(
      NODES,
      `        - name: clusters
          hosts: all
          tasks:
            - {name: look, command: [cat, "${site.home}/{{ node_name }}.conf"], register: conf, sensitive: true, changed_when: false}
            - {name: keep, on: controller, per: all, kubeconfig.keep: {name: "{{ node_name }}", content: "{{ conf.stdout }}"}, register: kept}
            - {name: sure, on: controller, confirm: "Use {{ kept.name }} and the others?"}
            - {name: use, command: {shell: "echo {{ kept.name }} >> ${site.home}/used"}}
`,
    ),
  );
  const kk = (...args: string[]) => site.run('controller', ['--state', site.state, ...args]);
  const apply = kk('apply', path);
  t.equal(await apply.ended, 1, apply.out);
  t.match(apply.err, /CONFIRM_NEEDED[\s\S]*runs confirm/, 'nobody is there to ask');
  const [{ id: run = '' } = {}] = await site.client.runs(1);
  await site.controller?.kill();
  await site.serve();
  await untilAsked(site, run);
  t.equal(await kk('runs', 'confirm', 'last').ended, 0);
  const logs = kk('logs', 'last', '-f');
  t.equal(await logs.ended, 0, logs.err);
  t.equal((await site.client.run(run)).status, 'done');
  t.same((await readFile(join(site.home, 'used'), 'utf8')).trim().split('\n').sort(), NODES);

  const printed = kk('kubeconfig', '--cluster', 'n2');
  t.equal(await printed.ended, 0, printed.err);
  t.equal(printed.out, 'of: n2');
  const which = kk('kubeconfig');
  t.equal(await which.ended, 1);
  t.match(which.err, /There are 2 clusters: n1, n2/);
  t.equal(await kk('kubeconfig', '--cluster', 'n1', '-o', join(site.home, 'config')).ended, 0);
  t.equal((await stat(join(site.home, 'config'))).mode & 0o777, 0o600);
  const again = kk('apply', path, '--yes');
  t.equal(await again.ended, 0, again.err);
  t.match(again.out, /Use n1 and the others\? Confirmed: --yes/);
});
