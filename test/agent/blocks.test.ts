import t from 'tap';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { shareOf } from '../../controller/compile/share-of.ts';
import { Bench } from '../support/agent-bench.ts';
import { roleGraph, taskOf } from '../support/role-graph.ts';

/** A bench with a role of one node pushed to it. `failing`: commands that exit with 1. */
async function benchWith(tasks: string, failing: string[] = []): Promise<{ bench: Bench; graph: TaskGraph }> {
  const graph = roleGraph(tasks, { nodes: ['n1'] });
  const bench = await Bench.open();
  bench.lease();
  for (const name of failing) bench.commands.answers.set(name, { code: 1 });
  pushTo(bench, graph);
  return { bench, graph };
}

function pushTo(bench: Bench, graph: TaskGraph, revision = 1): void {
  const revised = revision === 1 ? undefined : { retryFailed: true, rerun: [], skip: [] };
  const share = shareOf(graph, 0, revised);
  bench.push([...graph.common.tasks], { revision, share, common: graph.common });
}

/** What became of each task, by its id. */
function story(bench: Bench, graph: TaskGraph): Record<string, string> {
  const ids = graph.tasks.map(({ key }) => key.split('/').at(-1) ?? '');
  const ended = Object.entries(bench.outcomes()).map(([task, outcome]) => [ids[Number(task)], outcome]);
  const blocked = bench
    .blocked()
    .flatMap(({ tasks, cancelled }) => tasks.map((task) => [ids[task], cancelled ? 'cancelled' : 'blocked']));
  return Object.fromEntries([...ended, ...blocked]);
}

const result = (bench: Bench, graph: TaskGraph, id: string) => bench.ended().get(taskOf(graph, id))?.result;

const STORY = `- id: upgrade
  block:
    - {id: one, command: one}
    - {id: two, command: two}
    - {id: three, command: three}
  rescue:
    - {id: back, command: back}
  always:
    - {id: tidy, command: tidy}
- {id: next, command: next}
`;

t.test('a block that goes well needs no rescue', async (t) => {
  const { bench, graph } = await benchWith(STORY);
  await bench.settle();
  t.same(bench.commands.calls, ['one', 'two', 'three', 'tidy', 'next', 'after']);
  t.match(story(bench, graph), { upgrade: 'ok', back: 'skipped', tidy: 'ok', next: 'ok' });
  t.equal(result(bench, graph, 'back')?.reason, 'nothing to rescue: the block "block" went well');
  const begun = bench.messages().flatMap((message) => (message.kind === 'begun' ? [message.value.task] : []));
  t.equal(begun[0], 0, 'the block is begun before its tasks');
});

t.test('a failure is rescued: what follows goes on', async (t) => {
  const { bench, graph } = await benchWith(STORY, ['two']);
  await bench.settle();
  t.same(bench.commands.calls, ['one', 'two', 'back', 'tidy', 'next', 'after']);
  t.match(story(bench, graph), { two: 'failed', three: 'blocked', back: 'ok', upgrade: 'ok', next: 'ok' });
  t.match(result(bench, graph, 'upgrade'), { reason: /^rescued: "command" failed: COMMAND_FAILED The command exited/ });
});

t.test('what is not rescued fails the block, once its always has run', async (t) => {
  const { bench, graph } = await benchWith(STORY, ['two', 'back']);
  await bench.settle();
  t.same(bench.commands.calls, ['one', 'two', 'back', 'tidy']);
  t.match(story(bench, graph), { back: 'failed', tidy: 'ok', upgrade: 'failed', next: 'blocked', after: 'blocked' });
  t.match(result(bench, graph, 'upgrade')?.error, {
    code: 'BLOCK_FAILED',
    message: /"command" failed: COMMAND_FAILED .*; and its rescue: "command" failed/,
    node: 'n1',
    task: 'p/r/upgrade',
  });
  t.match(
    bench.blocked().at(-1)?.cause,
    /^after \S*two on \S+, failed: COMMAND_FAILED: /,
    'the task is named, not the block',
  );
});

t.test('parallel work: a caught failure stops nobody outside, an uncaught one everybody but always', async (t) => {
  const tasks = (rescue: string) => `- id: b
  block:
    - {id: bad, command: bad}
${rescue}  always:
    - {id: tidy, command: tidy}
- {id: other, command: other, needs: []}
- {id: late, command: late, needs: [other]}
`;
  for (const rescued of [true, false]) {
    const graph = roleGraph(tasks(rescued ? '  rescue:\n    - {id: back, command: back}\n' : ''), { nodes: ['n1'] });
    const bench = await Bench.open();
    bench.lease();
    bench.commands.answers.set('bad', { code: 1 });
    bench.commands.hold('other', 'tidy', 'back');
    pushTo(bench, graph);
    await bench.settle();
    t.same(bench.commands.working, rescued ? ['back', 'other'] : ['other', 'tidy']);
    bench.commands.release('other');
    await bench.settle();
    t.equal(bench.commands.calls.includes('late'), rescued);
    t.equal(story(bench, graph)['late'], rescued ? 'ok' : 'blocked');
    if (rescued) bench.commands.release('back');
    await bench.settle();
    bench.commands.release('tidy');
    await bench.settle();
    t.match(story(bench, graph), { b: rescued ? 'ok' : 'failed', tidy: 'ok' });
  }
});

t.test('blocks within blocks', async (t) => {
  const { bench, graph } = await benchWith(
    `- id: outer
  block:
    - id: inner
      block: [{id: bad, command: bad}]
      rescue: [{id: worse, command: worse}]
      always: [{id: tidy, command: tidy}]
    - {id: unreached, command: unreached}
  rescue:
    - id: again
      block: [{id: weak, command: weak}]
      rescue: [{id: strong, command: strong}]
- {id: next, command: next}
`,
    ['bad', 'worse', 'weak'],
  );
  await bench.settle();
  t.same(bench.commands.calls, ['bad', 'worse', 'tidy', 'weak', 'strong', 'next', 'after']);
  t.match(story(bench, graph), { inner: 'failed', unreached: 'blocked', again: 'ok', outer: 'ok', next: 'ok' });
});

t.test('when, ignore_errors, loops and registers in a block', async (t) => {
  const { bench, graph } = await benchWith(
    `- {id: see, command: see, register: seen, changed_when: false}
- id: not
  when: seen.rc == 7
  block: [{id: never, command: never, register: nothing}]
  always: [{id: nor, command: nor}]
- id: soft
  ignore_errors: true
  vars: {word: "{{ found.stdout }}"}
  block:
    - {id: find, command: "{{ item }}", loop: [a, b], register: list}
    - {id: found, command: find, register: found}
    - {id: use, command: "use {{ word }} {{ list.results | length }} {{ nothing.skipped }}"}
  rescue: [{id: unneeded, command: unneeded}]
- id: typo
  block: [{id: in, command: x}]
  when: facts.cpu.count + 'x'
`,
    ['b'],
  );
  bench.commands.answers.set('find', { stdout: 'gold\n' });
  await bench.settle();
  t.same(bench.commands.calls, ['see', 'a', 'b', 'find', 'use gold 2 true']);
  t.match(story(bench, graph), {
    not: 'skipped',
    never: 'skipped',
    nor: 'skipped',
    find: 'failed',
    unneeded: 'skipped',
    soft: 'ok',
    typo: 'failed',
    in: 'blocked',
  });
  t.equal(result(bench, graph, 'never')?.reason, 'when: seen.rc == 7', 'each of its tasks says why');
  t.match(result(bench, graph, 'typo')?.error, { position: { file: 'roles/r/tasks.yaml', line: 16 } });
});

t.test('a blocked task counts as failed: a closed gate is rescued', async (t) => {
  const tasks = `- {id: far, command: far, on: w1}
- id: b
  block:
    - {id: join, command: join, needs: [{task: far, of: all}]}
  rescue: [{id: back, command: back}]
  needs: []
`;
  const graph = roleGraph(tasks, { nodes: ['n1', 'w1'] });
  const bench = await Bench.open();
  bench.lease();
  pushTo(bench, graph);
  await bench.settle();
  t.same(bench.commands.calls, []);
  bench.closeGate('all/0', 'far failed');
  await bench.settle();
  t.same(bench.commands.calls, ['back', 'after']);
  t.match(story(bench, graph), { join: 'blocked', b: 'ok' });
  t.match(result(bench, graph, 'b'), { reason: 'rescued: "command" blocked: far failed' });
});

t.test(
  'permit of a block: asked before its first step; cancel lets what is at work finish, and always run',
  async (t) => {
    const tasks = `- id: b
  permit: drain
  block:
    - {id: one, command: one}
    - {id: two, command: two}
  rescue: [{id: back, command: back}]
  always: [{id: tidy, command: tidy}, {id: tidier, command: tidier}]
- id: beside
  needs: []
  block: [{id: slow, command: slow}]
  always: [{id: sweep, command: sweep}]
- id: unbegun
  needs: [b]
  block: [{id: not, command: not}]
  always: [{id: never, command: never}]
`;
    const { bench, graph } = await benchWith(tasks);
    bench.commands.hold('one', 'slow', 'sweep');
    await bench.settle();
    t.same(bench.commands.calls, ['slow']);
    t.match(bench.wishes, [{ value: { task: taskOf(graph, 'b') } }]);
    bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 0 } });
    await bench.settle();
    t.same(bench.commands.working, ['one', 'slow']);

    bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: false } });
    await bench.settle();
    t.same(bench.commands.working, ['one', 'sweep'], 'who holds a permit finishes; the always of the other runs');
    bench.commands.release('one');
    await bench.settle();
    t.same(bench.commands.calls.slice(-2), ['tidy', 'tidier']);
    bench.commands.found = { code: 0 };
    const again = await bench.restart();
    again.lease();
    await again.settle();
    t.match(story(again, graph), {
      one: 'ok',
      two: 'cancelled',
      back: 'cancelled',
      tidy: 'ok',
      tidier: 'ok',
      b: 'cancelled',
      slow: 'cancelled',
      sweep: 'ok',
      beside: 'cancelled',
      unbegun: 'cancelled',
      not: 'cancelled',
      never: 'cancelled',
    });
  },
);

t.test('a stopped play: always of a begun block runs, nothing else', async (t) => {
  const { bench, graph } = await benchWith(STORY);
  bench.commands.hold('one');
  await bench.settle();
  bench.closeGate('play/0', 'too many failures');
  await bench.settle();
  bench.commands.release('one');
  await bench.settle();
  t.same(bench.commands.calls, ['one', 'tidy']);
  t.match(story(bench, graph), { two: 'blocked', back: 'blocked', upgrade: 'failed', next: 'blocked' });
});

t.test('a restart in the middle of a block goes on where it was', async (t) => {
  const { bench, graph } = await benchWith(STORY, ['two']);
  bench.commands.hold('back');
  await bench.settle();
  bench.commands.found = { code: 0 };
  const again = await bench.restart();
  again.lease();
  await again.settle();
  t.same(again.commands.calls, ['one', 'two', 'back', 'tidy', 'next', 'after'], 'the rescue is followed, not repeated');
  t.match(story(again, graph), { back: 'ok', upgrade: 'ok', next: 'ok' });
});
