import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadSources } from '../../controller/plan/index.ts';
import { crash } from '../../shared/crash.ts';
import { planOf, startLine } from '../support/line.ts';

const NODES = ['n1', 'n2', 'n3'];
const isRoot = process.getuid?.() === 0;

/** What a node's folder holds before kk comes; the three agents are on one machine, so each has a folder by its name. */
function furnish(root: string): void {
  for (const node of NODES) {
    const at = join(root, node);
    mkdirSync(join(at, 'tree/deep'), { recursive: true });
    writeFileSync(join(at, 'content'), `old of ${node}\n`);
    writeFileSync(join(at, 'mode'), Buffer.from([0, 1, 255]));
    writeFileSync(join(at, 'owner'), 'o');
    writeFileSync(join(at, 'removed'), `gone of ${node}`);
    writeFileSync(join(at, 'tree/deep/leaf'), 'leaf');
    symlinkSync('leaf', join(at, 'tree/deep/link'));
    chmodSync(join(at, 'content'), 0o640);
    chmodSync(join(at, 'tree/deep'), 0o750);
    if (isRoot) chownSync(join(at, 'owner'), 65534, 65534);
  }
}

/** Kind, mode, owner and content of everything below. */
function picture(root: string): string {
  const list = execFileSync('find', [root, '-mindepth', '1', '-printf', '%P %y %m %U %G %l\n'], { encoding: 'utf8' });
  const sums = 'find . -type f -exec sha256sum {} + | sort -k2';
  return `${list.split('\n').sort().join('\n')}\n${execFileSync('sh', ['-c', sums], { cwd: root, encoding: 'utf8' })}`;
}

const owner = isRoot ? ', owner: 0, group: 0' : '';

const tasks = (root: string, last = ''): string => `
        - name: all
          hosts: all
          tasks:
            - {name: content, file: {path: "${root}/{{ node_name }}/content", content: "new\\n"}}
            - {name: mode, file: {path: "${root}/{{ node_name }}/mode", mode: "0600"}}
            - {name: owner, file: {path: "${root}/{{ node_name }}/owner", mode: "0644"${owner}}}
            - {name: removed, file: {path: "${root}/{{ node_name }}/removed", state: absent}}
            - {name: folder, directory: {path: "${root}/{{ node_name }}/made/below", mode: "0700"}}
            - {name: each, file: {path: "${root}/{{ node_name }}/made/below/{{ item }}", content: "{{ item }}"}, loop: [a, b]}
            - {name: no tree, directory: {path: "${root}/{{ node_name }}/tree", state: absent, recursive: true}}
            - {name: together, file: {path: "${root}/{{ node_name }}/content", content: "newer"}, needs: [{task: no tree, of: all}]}
${last}`;

t.test('rolled back, the nodes are as before, byte by byte', async (t) => {
  const root = t.testdir();
  furnish(root);
  const before = picture(root);
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of NODES) await line.agent(name);
  const start = { start: true, by: 'test' };

  const { view: applied } = await line.apply(planOf(NODES, tasks(root)));
  t.equal(applied.status, 'done');
  t.not(picture(root), before);

  // What would be done is told before; of one task alone it is refused, since others lean on it.
  const told = await line.client.rollback('last', {});
  t.equal(told.run, undefined);
  t.match(told.undoes[0], { task: 'all/all/together', nodes: NODES });
  t.same(told.cannot, []);
  await t.rejects(line.client.rollback('last', { tasks: ['no-tree'], ...start }), {
    code: 'ROLLBACK_DEPENDENTS',
    message: /all\/all\/together on n1, n2, n3/,
  });

  // Changed by hand in between: named, and what leans on nothing else stays, too.
  writeFileSync(join(root, 'n2/content'), 'by hand');
  const asked = await Promise.allSettled([1, 2].map(() => line.client.rollback(applied.id, start)));
  t.match(
    asked.flatMap((one) => (one.status === 'rejected' ? [one.reason] : [])),
    [{ code: 'ROLLBACK_AT_WORK' }],
    'asked for twice at once it begins once',
  );
  const [begun] = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const conflict = await line.follow(begun?.run ?? '');
  t.equal(conflict.view.status, 'failed');
  t.match(conflict.view.failures, [
    {
      node: 'n2',
      task: 'all/all/together',
      error: { code: 'UNDO_CONFLICT', message: /n2\/content/, remedy: /by hand/ },
    },
  ]);
  t.equal(readFileSync(join(root, 'n2/content'), 'utf8'), 'by hand');
  t.equal(readFileSync(join(root, 'n1/content'), 'utf8'), 'new\n', 'undone where nobody was in the way');
  t.notOk(existsSync(join(root, 'n1/tree')), 'what the conflict leans on stays everywhere');

  // Brought to what it was, the rest follows; what was undone is not undone twice.
  writeFileSync(join(root, 'n2/content'), 'new\n');
  const rest = await line.client.rollback(applied.id, start);
  t.same(rest.undoes[0], { task: 'all/all/together', nodes: ['n2'], why: rest.undoes[0]?.why ?? '' });
  const { view } = await line.follow(rest.run ?? '');
  t.equal(view.status, 'done', JSON.stringify(view.failures));
  t.equal(picture(root), before);
  t.match(
    view.changes.find(({ node, task }) => node === 'n1' && task === 'all/all/content')?.diffs[0]?.unified,
    /\+\[10 bytes, not shown/,
  );
  t.same((await line.client.rollback(applied.id, start)).undoes, [], 'nothing is left');
  await t.rejects(line.client.rollback(view.id, start), { code: 'ROLLBACK_OF_ROLLBACK' });
});

t.test('a run that failed in the middle is rolled back by itself; commands by their rollback tasks', async (t) => {
  const root = t.testdir();
  furnish(root);
  const before = picture(root);
  const line = await startLine();
  t.teardown(() => line.close());
  const said = join(line.folder, 'said');
  mkdirSync(said);
  const last = `
            - name: join
              command: {shell: "echo token-of-$KK", env: {KK: "{{ node_name }}"}}
              register: {name: token, type: string}
              rollback:
                - {name: leave, command: {shell: "echo {{ token }} {{ node('n1').token | quote }} >> ${said}/{{ node_name }}"}}
            - {name: breaks, command: "test {{ node_name }} != n2"}`;
  for (const name of NODES) await line.agent(name);
  const path = join(line.folder, 'plan.yaml');
  writeFileSync(path, planOf(NODES, tasks(root, last)));
  const sources = await loadSources(path);
  const { run } = await line.client.apply({ sources, options: { autoRollback: true, by: 'ada' } });
  t.equal((await line.follow(run)).view.status, 'failed');
  await line.heard(({ message }) => message === 'the run failed and is rolled back');
  const [rollback] = await line.client.runs(1);
  t.match(rollback, { name: `rollback of ${run}`, by: 'ada' });
  const { view } = await line.follow(rollback?.id ?? '');
  t.equal(view.status, 'done', JSON.stringify(view.failures));
  t.equal(picture(root), before);
  for (const node of NODES) t.equal(readFileSync(join(said, node), 'utf8'), `token-of-${node} token-of-n1\n`);
});

t.test('a controller or an agent that ends in the middle: the undoing goes on where it was', async (t) => {
  const root = t.testdir();
  furnish(root);
  const before = picture(root);
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of NODES) await line.agent(name);
  const held = join(line.folder, 'held');
  const last = `            - {name: breaks, command: "while [ -e ${held} ]; do sleep 0.02; done; false"}`;
  writeFileSync(held, '');
  const path = join(line.folder, 'plan.yaml');
  writeFileSync(path, planOf(NODES, tasks(root, last)));
  const { run } = await line.client.apply({
    sources: await loadSources(path),
    options: { autoRollback: true, by: 'ada' },
  });
  const begun = new Set<string>();
  for await (const item of line.client.follow(run, { logs: false }, new AbortController().signal)) {
    if (item.type === 'begun' && item.name === 'breaks') begun.add(item.node);
    if (begun.size === NODES.length) break;
  }
  await line.stopController();
  rmSync(held);
  // In the middle of the second undoing the agents die: what they restored is not noted anywhere.
  const died = new Promise<void>((resolve) => {
    let undone = 0;
    crash.arm((point) => {
      if (point !== 'agent.undo.resource.before' && point !== 'agent.undo.forget.before') return;
      undone += 1;
      if (undone < 2) return;
      // Their journals are closed at once, so nothing of what follows is remembered.
      for (const agent of line.agents.values()) void agent.stop();
      resolve();
      throw new Error('the power went');
    });
  });
  t.teardown(() => crash.arm(undefined));
  await line.startController();
  await died;
  crash.arm(undefined);
  for (const name of NODES) {
    await line.agents.get(name)?.stop();
    await line.agent(name);
  }
  await line.follow(run);
  const rolled = async (): Promise<string> => {
    for (;;) {
      const found = (await line.client.runs(10)).filter(({ name }) => name.startsWith('rollback'));
      const [last] = found;
      if (last?.ended) return last.id;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const { view } = await line.follow(await rolled());
  t.equal(view.status, 'done', JSON.stringify(view.failures));
  t.equal(picture(root), before);
});
