import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { StreamLine } from '../../controller/views/types.ts';
import { type Line, planOf, startLine } from '../support/line.ts';

const NODES = ['n1', 'n2', 'n3'];

const ended = (lines: readonly StreamLine[]) => lines.filter((line) => line.type === 'ended');
const outcomes = (lines: readonly StreamLine[], task: string) =>
  Object.fromEntries(
    ended(lines)
      .filter((line) => line.task.endsWith(`/${task}`))
      .map((line) => [line.node, line.outcome]),
  );

/** The frames that a run cost, besides the talk of every connection. */
async function framesOf(line: Line, work: () => Promise<void>): Promise<Record<string, number>> {
  const before = { ...line.frames };
  await work();
  const cost: Record<string, number> = {};
  for (const kind of ['push', 'open_gate', 'close_gate', 'permit', 'blob_part', 'cancel']) {
    const count = (line.frames[kind] ?? 0) - (before[kind] ?? 0);
    if (count > 0) cost[kind] = count;
  }
  return cost;
}

t.test('a plan becomes work on three agents and comes back as a report', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of NODES) await line.agent(name);
  for (const name of NODES) await mkdir(join(line.folder, 'out', name), { recursive: true });
  const out = `${line.folder}/out/{{ node_name }}`;

  await t.test('ten tasks with when, loop and template on three nodes cost three frames', async (t) => {
    const plan = planOf(
      NODES,
      `        - name: ten
          hosts: all
          tasks:
            - {name: t1, command: {argv: [echo, "{{ node_name }}"]}, register: who}
            - {name: t2, debug: "{{ who.stdout }}", when: "who.stdout == 'n2'"}
            - {name: t3, directory: {path: "${out}/d"}}
            - name: t4
              file: {path: "${out}/d/{{ item }}", content: "{{ item }} of {{ node_name }} {{ facts.os.id }}\\n"}
              loop: [a, b, c]
            - {name: t5, set_fact: {twice: "{{ who.stdout }}{{ who.stdout }}"}}
            - {name: t6, file: {path: "${out}/twice", content: "{{ twice }}"}}
            - {name: t7, assert: {that: ["twice == node_name ~ node_name"]}}
            - {name: t8, wait_for: {path: "${out}/d/c", timeout_seconds: 5}}
            - {name: t9, command: {shell: "cat ${out}/twice"}, register: read, changed_when: "false"}
            - {name: t10, debug: "{{ read.stdout }}"}
`,
    );
    let lines: StreamLine[] = [];
    const cost = await framesOf(line, async () => {
      const run = await line.apply(plan);
      lines = run.lines;
      t.equal(run.view.status, 'done', JSON.stringify(run.view.failures));
    });
    t.same(cost, { push: 3 });
    t.same(outcomes(lines, 't2'), { n1: 'skipped', n2: 'ok', n3: 'skipped' });
    t.equal(await readFile(join(line.folder, 'out/n3/d/b'), 'utf8'), 'b of n3 debian\n');
    t.equal(await readFile(join(line.folder, 'out/n2/twice'), 'utf8'), 'n2n2');

    const again = await line.apply(plan);
    const changed = ended(again.lines).filter((l) => l.changed && !l.task.endsWith('/t1'));
    t.same(changed, [], 'a second apply changes nothing');
    await appendFile(join(line.folder, 'out/n1/twice'), ' by hand');
    const third = await line.apply(plan);
    const mended = ended(third.lines).filter((l) => l.changed && !l.task.endsWith('/t1'));
    t.same(
      mended.map((l) => [l.node, l.name]),
      [['n1', 't6']],
    );
    t.match(mended[0]?.diffs?.[0]?.unified, /-n1n1 by hand/);
  });

  await t.test('two cross-node gates cost their OpenGates and nothing else', async (t) => {
    const plan = planOf(
      NODES,
      `        - name: gates
          hosts: all
          tasks:
            - {id: secret, name: make a token, command: {argv: [echo, "token-{{ node_name }}"]}, register: {name: token, type: map}, when: "node_name == 'n1'"}
            - {id: everywhere, name: after all, command: {argv: ["true"]}, needs: [{task: secret, of: all}]}
            - {id: join, name: read it, debug: "{{ node('n1').token.stdout }}"}
`,
    );
    let lines: StreamLine[] = [];
    const cost = await framesOf(line, async () => {
      const run = await line.apply(plan);
      lines = run.lines;
      t.equal(run.view.status, 'done', JSON.stringify(run.view.failures));
    });
    t.same(cost, { push: 3, open_gate: 6 });
    const shown = ended(lines).filter((l) => l.name === 'read it');
    t.same(new Set(shown.map((l) => JSON.stringify(l.output))), new Set(['{"message":"token-n1"}']));
  });

  await t.test('hooks run before and after their play, and one that fails stops its node', async (t) => {
    const said = join(line.folder, 'hooks-said');
    const script = (name: string, text: string): Promise<void> => writeFile(join(line.folder, name), text);
    await script('all.sh', `#!/bin/sh\necho "$STAGE all $NODE $1" >> ${said}.$NODE; echo printed by a hook\n`);
    await script('group.sh', `echo group >> ${said}.$NODE\n`);
    await script('host.sh', `echo host >> ${said}.$NODE; [ "$STAGE" != broken ]\n`);
    const plan = (stage: string): string =>
      `${planOf(
        NODES,
        `        - name: work
          hosts: [n1, n2]
          tasks: [{name: work, command: "echo work >> ${said}.{{ node_name }}"}]
`,
        '    groups: {some: [n2, n3]}\n',
      )}  hooks:
    - after: work
      scripts: {all: all.sh}
      env: {STAGE: after, NODE: "{{ node_name }}"}
    - before: work
      scripts: {hosts: {n2: host.sh}, groups: {some: group.sh}, all: [all.sh]}
      args: [with words]
      env: {STAGE: ${stage}, NODE: "{{ node_name }}"}
      timeout: 1m
`;
    const { view, lines } = await line.apply(plan('before'));
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    const texts = await Promise.all(NODES.map((node) => readFile(`${said}.${node}`, 'utf8').catch(() => 'nothing')));
    t.same(texts, [
      'before all n1 with words\nwork\nafter all n1 \n',
      'before all n2 with words\ngroup\nhost\nwork\nafter all n2 \n',
      'nothing',
    ]);
    t.ok(lines.some((entry) => entry.type === 'log' && /printed by a hook/.test(entry.text)));
    const broken = await line.apply(plan('broken'));
    t.equal(broken.view.status, 'failed');
    t.match(broken.view.failures, [{ node: 'n2', error: { code: 'COMMAND_FAILED' } }]);
    t.same(outcomes(broken.lines, 'work').n2, undefined, 'the play does not begin there');
  });

  await t.test('a failure stops its node, closes its gates and is told once, with its cause', async (t) => {
    const { view, lines } = await line.apply(
      planOf(
        NODES,
        `        - name: fail
          hosts: all
          tasks:
            - {id: break, name: break, command: {shell: "echo why >&2; exit 3"}, when: "node_name == 'n2'"}
            - {id: local, name: local, debug: here}
            - {id: late, name: late, debug: all, needs: [{task: break, of: all}]}
`,
      ),
    );
    t.equal(view.status, 'failed');
    t.same(outcomes(lines, 'local'), { n1: 'ok', n3: 'ok' });
    t.equal(view.failures.length, 1, JSON.stringify(view.failures));
    t.match(view.failures[0], { node: 'n2', error: { code: 'COMMAND_FAILED', evidence: /why/ } });
    const blocked = lines.filter((l) => l.type === 'blocked');
    t.match(blocked.find((l) => l.node === 'n1')?.cause, /break on n2, failed: COMMAND_FAILED/);
  });

  await t.test('serial batches go one after the other; a spent budget stops the rest', async (t) => {
    const log = join(line.folder, 'order');
    await writeFile(log, '');
    const { view } = await line.apply(
      planOf(
        NODES,
        `        - name: rolling
          hosts: all
          serial: 1
          max_fail_percentage: 0
          tasks:
            - {name: note, command: {shell: "echo {{ node_name }} >> ${log}"}}
            - {name: fail, command: {shell: "exit 1"}, when: "node_name == 'n2'"}
`,
      ),
    );
    t.equal(await readFile(log, 'utf8'), 'n1\nn2\n');
    t.equal(view.status, 'failed');
    t.equal(view.nodes.find((n) => n.node === 'n3')?.blocked, 2);
  });

  await t.test('a permit lets one node at a time through', async (t) => {
    const log = join(line.folder, 'permits');
    await writeFile(log, '');
    const { view } = await line.apply(
      planOf(
        NODES,
        `        - name: drain
          hosts: all
          tasks:
            - name: one at a time
              command: {shell: "echo in >> ${log}; sleep 0.1; echo out >> ${log}"}
              permit: {name: drain, count: 1}
`,
      ),
    );
    t.equal(view.status, 'done');
    t.equal(await readFile(log, 'utf8'), 'in\nout\n'.repeat(3));
  });

  await t.test('exec: by what nodes have told, so many at a time; who fails holds nobody up', async (t) => {
    const by = 'test';
    const { run: gather, withoutFacts } = await line.client.gatherFacts({ selector: ['all:!n3'], by });
    t.same(withoutFacts, []);
    const gathered = ended((await line.follow(gather)).lines);
    t.match(new Map(gathered.map((l) => [l.node, l.output])).get('n2'), { facts: { hostname: /./, os: { id: /./ } } });

    await line.stopController();
    await line.startController();
    const known = await line.client.knownFacts(['all']);
    t.match(known, [{ node: 'n1', at: /Z$/, facts: { os: { id: /./ } } }, { node: 'n2' }, { node: 'n3' }]);

    const log = join(line.folder, 'forks');
    await writeFile(log, '');
    const shell = `echo in >> ${log}; sleep 0.1; echo out >> ${log}; exit 1`;
    const { run, nodes } = await line.client.exec({ selector: ['all'], argv: [shell], forks: 1, by });
    t.equal(nodes, 3);
    t.equal((await line.follow(run)).view.status, 'failed');
    t.equal(await readFile(log, 'utf8'), 'in\nout\n'.repeat(3), 'one after the other, each though the last one failed');

    const port = Number(new URL(line.endpoint).port);
    const scan = await line.client.scan({ network: '127.0.0.1/30', ports: [port], by });
    const seen = ended((await line.follow(scan.run)).lines).map(({ output }) => output);
    t.match(seen, [{ open: [{ address: '127.0.0.1', port }] }], 'and as it listens there only, nowhere else');
    t.equal((seen[0] as { open: unknown[] }).open.length, 1);

    const told = known.filter(({ facts }) => facts).map(({ node }) => node);
    const selector = [`@facts.os.id == "${known[0]?.facts?.os.id}"`];
    const chosen = await line.client.exec({ selector, argv: ['true'], by });
    t.same(
      chosen.withoutFacts,
      NODES.filter((node) => !told.includes(node)),
    );
    t.same(
      (await line.follow(chosen.run)).view.nodes.map(({ node }) => node),
      told,
    );
    await t.rejects(line.client.exec({ selector: ['@facts.os.id =='], argv: ['true'], by }), {
      code: 'SELECTOR_EXPRESSION',
    });
  });

  await t.test('a controller that comes back goes on where the run is', async (t) => {
    const log = join(line.folder, 'once');
    const run = await line.start(
      planOf(
        NODES,
        `        - name: long
          hosts: all
          tasks:
            - {id: work, name: work, command: {shell: "echo {{ node_name }} >> ${log}; sleep 1.5"}}
            - {id: after, name: after, debug: done, needs: [{task: work, of: all}]}
`,
      ),
    );
    for await (const item of line.client.follow(run, { logs: false }, new AbortController().signal)) {
      if (item.type === 'begun' && item.node === 'n3') break;
    }
    await line.stopController();
    await line.startController();
    const { view } = await line.follow(run);
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    t.same((await readFile(log, 'utf8')).trim().split('\n').sort(), NODES);
  });

  await t.test('an agent that comes back attaches to its command', async (t) => {
    const log = join(line.folder, 'attach');
    const run = await line.start(
      planOf(
        ['n1'],
        `        - {name: long, hosts: all, tasks: [{name: work, command: {shell: "echo x >> ${log}; sleep 1.5; echo end"}}]}\n`,
      ),
    );
    for await (const item of line.client.follow(run, { logs: false }, new AbortController().signal)) {
      if (item.type === 'begun') break;
    }
    await line.agents.get('n1')?.stop();
    await line.agent('n1');
    const { view } = await line.follow(run);
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    t.equal(await readFile(log, 'utf8'), 'x\n');
  });

  await t.test('cancel ends the command and what comes after', async (t) => {
    const run = await line.start(
      planOf(
        NODES,
        `        - {name: long, hosts: all, tasks: [{name: sleep, command: sleep 60}, {name: never, debug: x}]}\n`,
      ),
    );
    for await (const item of line.client.follow(run, { logs: false }, new AbortController().signal)) {
      if (item.type === 'begun') break;
    }
    await line.client.cancel(run, { by: 'test' });
    const { view } = await line.follow(run);
    t.equal(view.status, 'cancelled');
  });
});
