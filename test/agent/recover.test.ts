import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { shareOf } from '../../controller/compile/share-of.ts';
import { Bench } from '../support/agent-bench.ts';
import { roleGraph } from '../support/role-graph.ts';

/** A bench at work on a role of one node. `held`: commands that go on until they are released. */
async function benchWith(tasks: string, ...held: string[]): Promise<Bench> {
  const graph = roleGraph(tasks, { nodes: ['n1'] });
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold(...held);
  bench.push([...graph.common.tasks], { share: shareOf(graph, 0), common: graph.common });
  await bench.settle();
  return bench;
}

/** The agent comes back, after a reboot of the node unless said otherwise. */
async function back(bench: Bench, bootId: string): Promise<Bench> {
  const again = await bench.restart({ bootId });
  again.lease();
  await again.settle();
  return again;
}

const INIT = `- id: init
  command: init
  recover:
    - {name: Reset, command: {shell: reset, unless: looked}}
`;

t.test('an interrupted step restores a known state and runs again, in its own scope', async (t) => {
  const bench = await benchWith(
    `- id: init
  command: init {{ item }}
  loop: [a, b]
  vars: {tool: kubeadm}
  recover:
    - command: {shell: "{{ tool }} reset {{ item }}", unless: looked}
      register: {name: left, type: string}
    - command: {shell: "note {{ left }} {{ why }}", unless: looked}
      vars: {why: "{{ item }}!"}
    - {command: {shell: never, unless: looked}, when: left == 'dirty'}
`,
    'init b',
  );
  bench.commands.answers.set('kubeadm reset b', { stdout: 'clean\n' });
  const again = await back(bench, 'boot-2');
  t.same(again.commands.calls, ['init a', 'init b', 'kubeadm reset b', 'note clean b!', 'init b']);
  again.commands.release('init b');
  await again.settle();
  t.equal(again.outcomes()[0], 'ok');
});

t.test('a command that lives, or ended meanwhile, needs no recovery', async (t) => {
  const bench = await benchWith(INIT, 'init');
  bench.commands.found = { code: 0 };
  const again = await back(bench, 'boot-1');
  t.same(again.commands.calls, ['init', 'after']);
  t.equal(again.outcomes()[0], 'ok');
});

t.test('a crash in the middle of a recovery: it is followed, then done again, twice at most', async (t) => {
  const bench = await benchWith(INIT, 'init', 'reset');
  const first = await back(bench, 'boot-2');
  t.same(first.commands.calls, ['init', 'reset']);
  first.commands.found = { code: 0 };
  const second = await back(first, 'boot-2');
  t.same(second.commands.recovered, ['init', ''], 'the command of the recovery was found in its folder');
  t.same(second.commands.calls, ['init', 'reset', 'reset'], 'all of it is done again');
  const third = await back(second, 'boot-3');
  t.same(third.commands.calls, ['init', 'reset', 'reset'], 'not a third time');
  t.equal(third.outcomes()[0], 'interrupted');
  t.match(third.ended().get(0)?.result.error, { code: 'INTERRUPTED' });
});

t.test('at most two recoveries of a step', async (t) => {
  let bench = await benchWith(INIT, 'init');
  for (const boot of ['boot-2', 'boot-3', 'boot-4']) bench = await back(bench, boot);
  t.same(bench.commands.calls, ['init', 'reset', 'init', 'reset', 'init']);
  t.equal(bench.outcomes()[0], 'interrupted');
});

t.test('what cannot be restored says so', async (t) => {
  const bench = await benchWith(INIT, 'init');
  bench.commands.answers.set('reset', { code: 4 });
  const again = await back(bench, 'boot-2');
  t.same(again.commands.calls, ['init', 'reset']);
  t.equal(again.outcomes()[0], 'interrupted');
  t.match(again.ended().get(0)?.result.error, {
    code: 'RECOVER_FAILED',
    message: /"Reset", which restores a known state, failed: The command exited with 4/,
    task: 'p/r/init',
    position: { file: 'roles/r/tasks.yaml', line: 4 },
  });
});

t.test('a forced cancel kills a permit step, then its recovery runs', async (t) => {
  const bench = await benchWith(`${INIT}  permit: etcd\n`, 'init');
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 0 } });
  await bench.settle();
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: false } });
  await bench.settle();
  t.same(bench.commands.working, ['init'], 'it is let finish');
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: true } });
  await bench.settle();
  t.same(bench.commands.calls, ['init', 'reset']);
  t.equal(bench.outcomes()[0], 'cancelled');
});

t.test('a forced cancel leaves a known state, whatever cuts that short', async (t) => {
  const permitted = async (...held: string[]): Promise<Bench> => {
    const bench = await benchWith(`${INIT}  permit: etcd\n`, ...held);
    bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 0 } });
    await bench.settle();
    return bench;
  };
  const cancel = async (bench: Bench): Promise<void> => {
    bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: true } });
    await bench.settle();
  };
  const inRecovery = await permitted('init', 'reset');
  await cancel(inRecovery);
  t.same(inRecovery.commands.working, ['reset']);
  const again = await back(inRecovery, 'boot-2');
  t.same(again.commands.calls, ['init', 'reset', 'reset'], 'the node went down in it: it is done again');
  again.commands.release('reset');
  await again.settle();
  t.equal(again.outcomes()[0], 'cancelled');

  const dying = await permitted('init');
  dying.commands.deaf = true;
  await cancel(dying);
  const gone = await dying.restart({ bootId: 'boot-2' });
  await gone.settle();
  t.same(gone.commands.calls, ['init'], 'without a lease nothing begins');
  gone.lease();
  await gone.settle();
  t.same(gone.commands.calls, ['init', 'reset'], 'the node went down before the step had ended');
  t.equal(gone.outcomes()[0], 'cancelled');

  const recovering = await back(await permitted('init', 'reset'), 'boot-2');
  t.ok(recovering.commands.working.includes('reset'));
  await cancel(recovering);
  t.same(recovering.commands.calls, ['init', 'reset', 'reset'], 'a recovery was killed');
  recovering.commands.release('reset');
  await recovering.settle();
  t.equal(recovering.outcomes()[0], 'cancelled');
});

t.test('an agent that ends starts no more of a recovery: nobody would know of it', async (t) => {
  const two = `${INIT}    - {name: Note, command: {shell: note, unless: looked}}\n`;
  const bench = await back(await benchWith(two, 'init', 'reset'), 'boot-2');
  t.ok(bench.commands.working.includes('reset'));
  bench.executor.close();
  bench.commands.release('reset');
  await bench.settle();
  t.same(bench.commands.calls, ['init', 'reset']);
});

t.test('what a forced cancel owes ends with the run when that is forgotten', async (t) => {
  const bench = await benchWith(`${INIT}  permit: etcd\n`, 'init');
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 0 } });
  await bench.settle();
  bench.clock.advance(4_000_000);
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: true } });
  await bench.settle();
  t.equal(bench.executor.running(), 1, 'its recovery waits for a lease');
  bench.handle({ kind: 'forget', value: { run: 'r1' } });
  await bench.settle();
  t.equal(bench.executor.running(), 0);
  t.same(bench.commands.calls, ['init']);
});

for (const force of [false, true])
  t.test(`the always of a block that only waited is let run by a cancel, force: ${force}`, async (t) => {
    const block = `- id: b
  block: [{id: one, command: one, permit: p}]
  always: [{id: tidy, command: tidy}, {id: tidier, command: tidier}]
`;
    const bench = await benchWith(block, 'tidy');
    const cancel = { kind: 'cancel', value: { run: 'r1', grace_ms: 1, force } } as const;
    bench.handle(cancel);
    await bench.settle();
    t.same(bench.commands.working, ['tidy']);
    bench.handle(cancel);
    await bench.settle();
    t.same(bench.commands.working, ['tidy'], 'also when it is told again');
    bench.commands.release('tidy');
    await bench.settle();
    t.same(bench.commands.calls, ['tidy', 'tidier']);
  });

t.test('at its start the agent takes away the scripts that no attempt at work can need', async (t) => {
  const bench = await benchWith('- command: done\n- command: work\n', 'work');
  const scripts = join(bench.folder, 'scripts');
  const placeOf = (attempt: string) => {
    const folder = join(bench.folder, 'runs/r1', attempt);
    mkdirSync(folder, { recursive: true });
    const name = createHash('sha256').update(folder).digest('hex').slice(0, 24);
    mkdirSync(join(scripts, name), { recursive: true });
    writeFileSync(join(scripts, name, 'script'), 'echo');
    return name;
  };
  const ended = placeOf('0/0.1');
  const atWork = placeOf('1/0.1');
  t.same(readdirSync(scripts).sort(), [ended, atWork].sort());
  const again = await bench.restart({ bootId: 'boot-1' });
  t.same(readdirSync(scripts), [atWork]);
  again.lease();
  await again.settle();
});
