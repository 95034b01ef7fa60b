import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { loadSources } from '../../controller/plan/index.ts';
import type { RunView, StreamLine } from '../../controller/views/types.ts';
import { type Line, planOf, startLine } from '../support/line.ts';

const NODES = ['n1', 'n2', 'n3'];
const by = 'ada';

const ended = (lines: readonly StreamLine[]) => lines.filter((line) => line.type === 'ended');
const begunIn = (lines: readonly StreamLine[]): string[] =>
  lines.flatMap((line) => (line.type === 'begun' ? [`${line.node} ${line.name}`] : [])).sort();

/** Where each node of the test writes, and how often it did. */
async function linesIn(folder: string, name: string): Promise<string[]> {
  const text = await readFile(join(folder, name), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

async function resumed(line: Line, plan: string, more: object = {}) {
  const path = join(line.folder, 'plan.yaml');
  await writeFile(path, plan);
  return line.client.resume({ sources: await loadSources(path), options: { by, ...more } });
}

async function part(line: Line, run: string, revision: number): Promise<{ view: RunView; lines: StreamLine[] }> {
  const lines: StreamLine[] = [];
  for await (const item of line.client.follow(run, { logs: true, revision }, new AbortController().signal))
    lines.push(item);
  const last = lines.at(-1);
  if (last?.type !== 'finished') throw new Error(`the stream ended with ${JSON.stringify(last)}`);
  return { view: last.run, lines };
}

t.test('a run that failed goes on', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of NODES) await line.agent(name);
  const out = join(line.folder, 'out');
  await mkdir(out);
  // Appending is no command that may be repeated: each line is one run of it.
  const plan = (second: string): string =>
    planOf(
      NODES,
      `        - name: site
          hosts: all
          tasks:
            - {id: first, name: first, command: {shell: "echo {{ node_name }} >> ${out}/first"}}
            - {id: second, name: second, command: {shell: "${second}"}, on: n1}
            - {id: third, name: third, command: {shell: "echo {{ node_name }} >> ${out}/third"}, needs: [{task: second, of: all}]}
`,
    );
  const failed = await line.apply(plan('exit 3'));
  t.equal(failed.view.status, 'failed');
  t.equal(failed.view.failures.length, 1);
  t.match(
    failed.view.failures[0],
    { node: 'n1', task: 'site/site/second', blocks: 3 },
    'told once, with what it blocked',
  );
  const blocked = failed.lines.filter((item) => item.type === 'blocked' && item.node === 'n3');
  t.match(blocked, [{ cause: /^needs site\/site\/second on n1, failed: COMMAND_FAILED: / }], 'its root named');
  const run = failed.view.id;

  await t.test('retry of what fails still', async (t) => {
    const again = await line.client.retry(run, { by });
    t.match(again, { run, revision: 2 });
    t.same(
      again.again.map(({ task, nodes, why }) => [task.split('/')[2], nodes, why]),
      [
        ['second', ['n1'], 'not done'],
        ['third', NODES, 'not done'],
      ],
    );
    const { view, lines } = await part(line, run, 2);
    t.equal(view.status, 'failed');
    t.same(begunIn(lines), ['n1 second'], 'the rest is kept, or waits for it');
    t.match(lines[0], { type: 'run', run: { revision: 2, revised: { how: 'retry', by } } });
  });

  await t.test('apply --resume with a mended plan does only what is left', async (t) => {
    const again = await resumed(line, plan(`echo n1 >> ${out}/second`));
    t.match(again, { run, revision: 3 }, 'the last failed run of the plan');
    const { view, lines } = await part(line, run, 3);
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    t.match(
      view.nodes,
      [
        { ok: 3, kept: 1, changed: 2 },
        { ok: 2, kept: 1, changed: 1 },
        { ok: 2, kept: 1, changed: 1 },
      ],
      'kept is not changed',
    );
    t.same(begunIn(lines), ['n1 second', 'n1 third', 'n2 third', 'n3 third']);
    t.same((await linesIn(out, 'first')).sort(), NODES, 'once on each');
    t.same((await linesIn(out, 'third')).sort(), NODES);
    t.same(await linesIn(out, 'second'), ['n1']);
    const all = await line.follow(run);
    t.equal(all.lines.filter((item) => item.type === 'run').length, 3, 'the history stays readable');
    t.same(
      all.lines.filter((item) => item.type === 'ended' && item.outcome === 'failed').length,
      2,
      'also what failed before',
    );
  });

  await t.test('what cannot be taken up is refused by name', async (t) => {
    await t.rejects(resumed(line, plan('true')), { code: 'RUN_NOTHING_FAILED' });
    await t.rejects(line.client.retry(run, { by }), { code: 'RUN_NOT_RESUMABLE' });
    const other = await line.apply(plan('exit 4'));
    await t.rejects(line.client.retry(other.view.id, { by, tasks: ['secnd'] }), {
      code: 'TASK_UNKNOWN',
      report: { remedy: /site\/site\/second/ },
    });
    await t.rejects(line.client.skip(other.view.id, { by, task: 'second', reason: 'x', nodes: ['n9'] }), {
      code: 'NODE_NOT_IN_RUN',
    });
    await line.apply(plan('true'));
    await t.rejects(line.client.retry(other.view.id, { by }), { code: 'RUN_SUPERSEDED' });
  });

  await t.test('skip takes a task out, and the run goes on, also over a restart of the controller', async (t) => {
    await rm(out, { recursive: true });
    await mkdir(out);
    const { view } = await line.apply(plan('exit 5'));
    await line.stopController();
    await line.startController();
    for (const name of NODES)
      await line.heard(({ details, message }) => message === 'agent connected' && details['node'] === name);
    await line.client.skip(view.id, { by, task: 'site/second', reason: 'done by hand' });
    const skipped = await part(line, view.id, 2);
    t.equal(skipped.view.status, 'done', JSON.stringify(skipped.view.failures));
    t.match(
      ended(skipped.lines).find((item) => item.name === 'second'),
      { outcome: 'skipped', reason: 'done by hand' },
    );
    t.same((await linesIn(out, 'first')).sort(), NODES);
    t.same((await linesIn(out, 'third')).sort(), NODES);
  });

  await t.test('a node that was rescued goes on when what blocked it is skipped', async (t) => {
    const { view } = await line.apply(
      planOf(
        NODES,
        `        - name: site
          hosts: all
          tasks:
            - id: safely
              name: safely
              block: [{id: risky, name: risky, command: {shell: "test {{ node_name }} != n2"}}]
              rescue: [{id: mend, name: mend, command: {shell: "true"}}]
            - {id: gate, name: gate, command: {shell: exit 6}, on: n1}
            - {id: behind, name: behind, command: {shell: "true"}, needs: [{task: gate, of: all}]}
`,
      ),
    );
    t.match(view.nodes, [{ failed: 1 }, { rescued: 1, blocked: 1 }, { blocked: 1 }]);
    await line.client.skip(view.id, { by, task: 'gate', reason: 'done by hand' });
    const { view: skipped } = await part(line, view.id, 2);
    t.equal(skipped.status, 'done', JSON.stringify(skipped.nodes));
    t.match(skipped.nodes, [{ blocked: 0 }, { rescued: 1, blocked: 0 }, { blocked: 0 }]);
  });

  await t.test('a paused run starts nothing, and goes on', async (t) => {
    const go = join(line.folder, 'go');
    const id = await line.start(
      planOf(
        NODES,
        `        - name: slow
          hosts: n1
          tasks:
            - {id: wait, name: wait, wait_for: {path: "${go}", timeout_seconds: 60}}
            - {id: after, name: after, command: {shell: "echo after >> ${out}/after"}}
`,
      ),
    );
    for await (const item of line.client.follow(id, { logs: false }, new AbortController().signal))
      if (item.type === 'begun') break;
    await line.client.pause(id, { by });
    t.equal((await line.client.run(id)).status, 'paused');
    await t.rejects(resumed(line, planOf(NODES, '        - {name: p, hosts: n1, tasks: [{debug: x}]}\n')), {
      code: 'RUN_NOT_ENDED',
    });
    await writeFile(go, '');
    for await (const item of line.client.follow(id, { logs: false }, new AbortController().signal))
      if (item.type === 'ended' && item.name === 'wait') break;
    // Its agent has no other reason to wait.
    await line.stopController();
    await line.startController();
    t.equal((await line.client.run(id)).status, 'paused', 'also after a restart');
    t.same(await linesIn(out, 'after'), []);
    await line.client.unpause(id, { by });
    const { view, lines } = await line.follow(id);
    t.equal(view.status, 'done');
    t.same(
      lines.flatMap((item) => (item.type === 'asked' ? [`${item.by} ${item.what}`] : [])),
      ['ada pause', 'ada resume'],
    );
    await t.rejects(line.client.unpause(id, { by }), { code: 'RUN_NOT_PAUSED' });
  });

  await t.test('a dry run tells what would change, and changes nothing', async (t) => {
    const before = await readdir(out);
    const text = planOf(
      NODES,
      `        - name: dry
          hosts: all
          tasks:
            - {id: file, name: file, file: {path: "${out}/{{ node_name }}", content: "a\\n"}}
            - {id: list, name: list, command: {shell: "ls ${out}"}, register: listed}
            - {id: use, name: use, file: {path: "${out}/list", content: "{{ listed.stdout }}"}}
`,
    );
    const path = join(line.folder, 'plan.yaml');
    await writeFile(path, text);
    const { run: id } = await line.client.apply({ sources: await loadSources(path), options: { check: true, by } });
    const { view } = await line.follow(id);
    t.match([view.kind, view.status], ['check', 'done'], JSON.stringify(view.failures));
    t.same(await readdir(out), before);
    t.same(
      view.changes
        .filter(({ task }) => task === 'dry/dry/file')
        .map(({ node }) => node)
        .sort(),
      NODES,
    );
    t.match(view.changes.find(({ task }) => task === 'dry/dry/file')?.diffs[0]?.unified, /\+a/);
    t.ok(
      view.unknown.some(({ task }) => task === 'dry/dry/use'),
      JSON.stringify(view.unknown),
    );
    const away = text.replace('n3: {', 'n4: {');
    await writeFile(path, away);
    await t.rejects(line.client.apply({ sources: await loadSources(path), options: { check: true, by } }), {
      code: 'NODE_NOT_JOINED',
    });
  });
});
