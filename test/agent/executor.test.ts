import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { disk } from '../../agent/durable/disk.ts';
import { sha256 } from '../../agent/executor/blobs.ts';
import { bytesJson, jsonBytes } from '../../shared/protocol/codec.ts';
import type { Share } from '../../shared/share.ts';
import { Bench, chain, documents, task } from '../support/agent-bench.ts';

t.test('a share runs through: when, templates, registers, facts, precedence', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('version', { stdout: 'v1.30\n' });
  bench.push(
    chain([
      task('version', { register: 'ver' }),
      task('greet', {
        run: 'install {{ ver.stdout }} on {{ node_name }} with {{ facts.cpu.count }} {{ port }} {{ deep }}',
      }),
      task('never', { when: 'ver.stdout == "v2"' }),
      task('fact', { action: 'set_fact', inputs: { double: '{{ facts.cpu.count * 2 }}' } }),
      task('after', {
        when: 'double == 8 and ver.rc == 0',
        run: 'see {{ greeting }}',
        vars: { greeting: 'hi {{ port }}' },
      }),
      task('sure', { action: 'assert', inputs: { that: ['double > 4', 'ver is defined'] } }),
    ]),
    {
      share: { hostVars: { port: 3 } },
      common: {
        roleDefaults: { role: { port: 1, deep: { a: 1, b: 1 } } },
        groups: { g: { nodes: ['n1'], vars: { port: 2, deep: { b: 2 } } } },
        nodes: { n1: { address: '10.0.0.1', groups: ['g'] } },
        planVars: { literal: '{{ not.a.template }}' },
      },
    },
  );
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok', 2: 'skipped', 3: 'ok', 4: 'ok', 5: 'ok' });
  t.same(bench.commands.calls, ['version', 'install v1.30 on n1 with 4 3 {"a":1,"b":2}', 'see hi 3']);
  t.equal(bench.ended().get(2)?.result.reason, 'when: ver.stdout == "v2"');
  const kinds = bench.messages().map((message) => message.kind);
  t.same(kinds.slice(0, 4), ['accepted', 'facts', 'begun', 'ended'], 'facts of the run come first');
  t.same(
    bench.journal.outgoing().map((out) => out.sequence),
    kinds.map((_, index) => index + 1),
    'messages are numbered without a gap',
  );
});

t.test('loops freeze their items, go on after a failed one, and bind results', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('b', { code: 3 });
  bench.push(
    chain([
      task('each', {
        loop: '{{ letters }}',
        run: '{{ item }}',
        when: 'item != "skip"',
        register: 'all',
        ignoreErrors: true,
      }),
      task('read', { run: '{{ all.results | length }} {{ all.results[0].item }} {{ all.failed }}' }),
      task('empty', { loop: [] }),
      task('no list', { loop: '{{ node_name }}' }),
    ]),
    { common: { planVars: { letters: ['a', 'b', 'skip', 'c'] } } },
  );
  await bench.settle();
  t.same(bench.commands.calls, ['a', 'b', 'c', '4 a true']);
  t.same(bench.outcomes(), { 0: 'failed', 1: 'ok', 2: 'skipped', 3: 'failed' }, 'ignore_errors satisfies what follows');
  const { error, items } = bench.ended().get(0)?.result ?? {};
  t.match(error, { code: 'COMMAND_FAILED', message: /^1 of 4 items failed/, node: 'n1', task: '0/role/each' });
  t.equal(items, 4);
  t.match(bench.ended().get(3)?.result.error, {
    code: 'LOOP_NOT_A_LIST',
    position: { file: 'role/tasks.yaml', line: 5 },
  });
});

t.test('until, retries and delay: waiting holds no slot, and the attempts are told', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('poll', (call) => ({ stdout: call < 3 ? 'no' : 'yes' }));
  bench.commands.answers.set('bad', { code: 1 });
  bench.push([
    task('poll', { until: 'result.stdout == "yes"', retries: 5, delay: 10 }),
    task('bad', { retries: 1, delay: 100 }),
    ...[2, 3, 4, 5].map((n) => task(`other ${n}`)),
  ]);
  await bench.settle();
  t.same(bench.commands.calls.length, 6, 'four others ran beside the two that wait');
  for (let round = 0; round < 2; round += 1) {
    bench.clock.advance(10_000);
    await bench.settle();
  }
  t.equal(bench.outcomes()[0], 'ok');
  t.equal(bench.ended().get(0)?.result.attempts, 3);
  bench.clock.advance(80_000);
  await bench.settle();
  t.equal(bench.outcomes()[1], 'failed');
  t.match(bench.ended().get(1)?.result, { attempts: 2, error: { code: 'COMMAND_FAILED' } });
});

t.test(
  'failed_when and changed_when have the last word; undefined variables and wrong inputs fail with their place',
  async (t) => {
    const bench = await Bench.open();
    bench.lease();
    bench.commands.answers.set('grep', { code: 1 });
    bench.push([
      task('grep', { failedWhen: 'result.rc > 1', changedWhen: 'false', register: 'found' }),
      task('strict', { failedWhen: 'out.stdout == ""', register: 'out', ignoreErrors: true }),
      task('typo', {
        run: 'echo {{ prot }}',
        vars: { port: 1 },
        places: { '/inputs/shell': [9, 14] },
        ignoreErrors: true,
      }),
      task('input', { inputs: { shell: 'x', creates: 7 }, places: { '/inputs/creates': [12, 5] }, ignoreErrors: true }),
    ]);
    await bench.settle();
    t.same(bench.outcomes(), { 0: 'ok', 1: 'failed', 2: 'failed', 3: 'failed' });
    t.equal(bench.ended().get(0)?.result.changed, false);
    t.match(bench.ended().get(1)?.result.error, { code: 'FAILED_WHEN', message: /out.stdout == ""/ });
    t.match(
      bench.ended().get(2)?.result.error,
      { code: 'EXPR_UNDEFINED', message: /port/, position: { line: 9 } },
      'with a hint',
    );
    t.match(bench.ended().get(3)?.result.error, {
      code: 'ACTION_INPUT',
      message: /creates/,
      position: { line: 12, column: 5 },
    });
  },
);

t.test('a failed step stops what has not begun, in one message with the cause; running ones finish', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold('long');
  bench.commands.answers.set('boom', { code: 2 });
  bench.push([task('long'), task('boom'), task('x', { needs: [{ task: 0 }] }), task('y', { needs: [{ task: 2 }] })]);
  await bench.settle();
  t.match(bench.blocked(), [
    { tasks: [2, 3], cause: /^after \S*boom on \S+, failed: COMMAND_FAILED: /, cancelled: false },
  ]);
  bench.commands.release('long');
  await bench.settle();
  t.equal(bench.outcomes()[0], 'ok', 'it was let finish');
  t.equal(bench.blocked().length, 1);
});

t.test('slots, locks and alone', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  const names = ['a', 'b', 'c', 'd', 'e'];
  bench.commands.hold(...names, 'l1', 'l2', 'solo');
  bench.push([
    task('l1', { lock: 'apt' }),
    task('l2', { lock: 'apt' }),
    ...names.map((name) => task(name)),
    task('solo', { alone: true, needs: [{ task: 2 }] }),
    task('late', { needs: [{ task: 2 }] }),
  ]);
  await bench.settle();
  t.same(bench.commands.working, ['a', 'b', 'c', 'l1'], 'four slots; the second holder of the lock waits');
  bench.commands.release('l1');
  await bench.settle();
  t.same(bench.commands.working, ['a', 'b', 'c', 'l2']);
  bench.commands.release('b');
  await bench.settle();
  t.same(bench.commands.working, ['a', 'c', 'd', 'l2']);
  bench.commands.release('a');
  await bench.settle();
  t.same(bench.commands.working, ['c', 'd', 'e', 'l2'], 'older ones first');
  for (const name of ['c', 'd', 'l2']) bench.commands.release(name);
  await bench.settle();
  t.same(bench.commands.working, ['e'], 'nothing slips in before the one that wants the node alone');
  bench.commands.release('e');
  await bench.settle();
  t.same(bench.commands.working, ['solo']);
  t.notOk(bench.commands.calls.includes('late'));
  bench.commands.release('solo');
  await bench.settle();
  t.ok(bench.commands.calls.includes('late'));
});

t.test('an action that needs a lock takes it by itself', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold('holder');
  const begun = () => bench.messages().flatMap((m) => (m.kind === 'begun' ? [m.value.task] : []));
  bench.push([
    task('holder', { lock: 'packages' }),
    task('wanted', { action: 'package', inputs: { name: 'kk-none', update_cache: false } }),
  ]);
  await bench.settle();
  t.same(begun(), [0], 'another one is at the packages');
  bench.commands.release('holder');
  await bench.settle();
  t.same(begun(), [0, 1]);
});

t.test('gates carry values; batches wait; a closed gate blocks what needs it and only that', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  const reads = [{ node: 'cp1', register: 'token', gate: 'value/0@cp1' }];
  bench.push(
    [
      task('join', { run: 'join {{ node("cp1").token }}', reads, needs: [{ gate: 'first/0' }] }),
      task('serial', { play: 1 }),
      task('lost', { needs: [{ gate: 'all/9' }] }),
      task('child', { needs: [{ task: 2 }] }),
      task('free'),
      task('stopped', { play: 2, needs: [{ gate: 'never' }] }),
    ],
    { share: { batches: { 1: 2 } } },
  );
  await bench.settle();
  t.same(bench.commands.calls, ['free']);
  bench.open('first/0');
  await bench.settle();
  t.same(bench.commands.calls, ['free'], 'the value is not there yet');
  bench.open('value/0@cp1', 'abc.def');
  bench.open('batch/1/0');
  await bench.settle();
  t.same(bench.commands.calls, ['free', 'join abc.def'], 'batch 2 waits for batch 1, not for batch 0');
  bench.open('batch/1/1');
  bench.closeGate('all/9', '"init" failed on cp2');
  bench.closeGate('play/2', 'too many failures');
  bench.open('all/9');
  await bench.settle();
  t.same(bench.commands.calls, ['free', 'join abc.def', 'serial']);
  t.same(bench.blocked(), [
    { tasks: [2, 3], cause: '"init" failed on cp2', cancelled: false },
    { tasks: [5], cause: 'too many failures', cancelled: false },
  ]);
  t.same(
    bench.executor.held().runs[0]?.gates.sort(),
    ['all/9', 'batch/1/0', 'batch/1/1', 'first/0', 'play/2', 'value/0@cp1'].sort(),
  );
});

t.test('permits are asked for when all else is satisfied, again after a Welcome, and journaled', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.push([task('drain', { permit: { name: 'drain', count: 1 }, needs: [{ gate: 'g' }] })]);
  await bench.settle();
  t.same(bench.wishes, [], 'not before its gate is open');
  bench.open('g');
  await bench.settle();
  const wish = { kind: 'permit_wanted', value: { run: 'r1', revision: 1, task: 0 } };
  t.same(bench.wishes, [wish]);
  bench.executor.welcomed({ value: 1, mac: new Uint8Array([1]) });
  await bench.settle();
  t.same(bench.wishes, [wish, wish]);
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 0, task: 0 } });
  await bench.settle();
  t.same(bench.commands.calls, [], 'a permit of another revision is none');
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 0 } });
  await bench.settle();
  t.same(bench.commands.calls, ['drain']);
  t.same(bench.executor.held().runs[0]?.permits, [0]);
});

t.test('hold, lease and cancel', async (t) => {
  const bench = await Bench.open();
  bench.commands.hold('one', 'disruptive', 'loop a');
  bench.push([
    task('one'),
    task('disruptive', { permit: { name: 'etcd', count: 1 } }),
    task('two', { needs: [{ task: 0 }] }),
    task('loop', { loop: ['a', 'b'], run: 'loop {{ item }}' }),
  ]);
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 1 } });
  await bench.settle();
  t.same(bench.commands.calls, [], 'no lease, no start');
  bench.handle({ kind: 'hold', value: { run: 'r1', reason: 'adopt' } });
  bench.lease(60_000);
  await bench.settle();
  t.same(bench.commands.calls, [], 'held');
  bench.handle({ kind: 'resume', value: { run: 'r1' } });
  await bench.settle();
  t.same(bench.commands.working, ['disruptive', 'loop a', 'one']);
  bench.clock.advance(60_001);
  bench.commands.release('loop a');
  await bench.settle();
  t.notOk(bench.commands.calls.includes('loop b'), 'the next item is a start: not without a lease');
  bench.lease(60_000);
  bench.commands.hold('loop b');
  await bench.settle();
  t.ok(bench.commands.calls.includes('loop b'), 'and goes on with it');
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: false } });
  await bench.settle();
  t.same(bench.commands.working, ['disruptive'], 'a permit step is let finish');
  bench.commands.release('disruptive');
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'cancelled', 1: 'ok', 3: 'cancelled' });
  t.match(bench.blocked(), [{ tasks: [2], cancelled: true }]);
});

t.test('registers: exported with their type, sensitive ones masked', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('count', { stdout: ' 42\n' });
  bench.commands.answers.set('words', { stdout: 'forty' });
  bench.commands.answers.set('secret', { stdout: 's3cret' });
  const integer = (name: string) => ({ name, type: 'integer' as const, exported: true });
  bench.push([
    task('count', { register: integer('n') }),
    task('secret', { sensitive: true, register: 'word' }),
    task('use', { sensitive: true, run: 'login {{ word.stdout }}', needs: [{ task: 1 }] }),
    task('words', { register: integer('m'), needs: [{ task: 2 }] }),
  ]);
  await bench.settle();
  t.equal(bench.ended().get(0)?.result.register, 42);
  t.match(bench.ended().get(3)?.result.error, { code: 'REGISTER_TYPE', message: /"m"/ });
  t.ok(bench.commands.calls.includes('login s3cret'), 'it works on the node');
  t.notMatch(readFileSync(`${bench.folder}/journal.log`, 'utf8'), /s3cret/, 'and is nowhere on disk or on the wire');
});

t.test('shares that cannot be done are refused before any step, once', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.push([task('ok'), task('strange', { action: 'teleport' })]);
  bench.push([task('ok'), task('strange', { action: 'teleport' })]);
  bench.push([task('future')], { run: 'r2', common: { format: 2 as never } });
  bench.push([task('outside')], { run: '../../etc' });
  await bench.settle();
  const refused = bench
    .messages()
    .map((message) => [
      message.kind,
      message.kind === 'refused' && JSON.parse(Buffer.from(message.value.error).toString()).code,
    ]);
  t.same(refused, [
    ['refused', 'AGENT_LACKS_ACTION'],
    ['refused', 'AGENT_TOO_OLD'],
    ['refused', 'FRAME_MALFORMED'],
  ]);
  t.same(bench.commands.calls, []);
  t.same(bench.executor.held().runs, []);
});

t.test('documents that do not fit a frame are asked for in parts; gates meanwhile are not lost', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  const { documents } = await import('../support/agent-bench.ts');
  const { sha256 } = await import('../../agent/executor/blobs.ts');
  const { share, common } = documents([task('x', { needs: [{ gate: 'g' }] })]);
  const digest = sha256(common);
  const none = new Uint8Array();
  bench.handle({
    kind: 'push',
    value: { run: 'r1', revision: 1, share, share_sha256: '', common_sha256: digest, common: none, lease_ms: 0 },
  });
  bench.open('g');
  await bench.settle();
  t.same(bench.wishes, [{ kind: 'blob_wanted', value: { sha256: digest, offset: 0 } }]);
  const part = (from: number, to: number) =>
    bench.handle({
      kind: 'blob_part',
      value: { sha256: digest, offset: from, data: common.subarray(from, to), total: common.length },
    });
  part(0, 100);
  await bench.settle();
  bench.executor.welcomed({ value: 1, mac: none });
  t.same(bench.wishes[1], { kind: 'blob_wanted', value: { sha256: digest, offset: 100 } }, 'goes on where the cut was');
  part(100, common.length);
  await bench.settle();
  t.same(bench.commands.calls, ['x']);
  t.same(bench.executor.held().blobs, [digest]);
});

t.test('exec runs beside the four slots and does not take the node over', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  const names = ['a', 'b', 'c', 'd'];
  bench.commands.hold(...names);
  bench.push([...names, 'e'].map((name) => task(name)));
  await bench.settle();
  bench.push([task('quick')], { run: 'x1', share: { kind: 'exec' } });
  await bench.settle();
  t.ok(bench.commands.calls.includes('quick'));
  t.notOk(bench.commands.calls.includes('e'));
  t.equal(
    bench.messages().filter((message) => message.kind === 'facts').length,
    1,
    'an exec that needs no facts sends none',
  );
  bench.push([{ ...task('cat /etc/facts'), name: 'facts' }], { run: 'x2', share: { kind: 'exec' } });
  await bench.settle();
  t.equal(bench.messages().filter(({ kind }) => kind === 'facts').length, 1, 'whatever it is called');
  bench.push([task('echo {{ facts.cpu.count }}')], { run: 'x3', share: { kind: 'exec' } });
  await bench.settle();
  t.equal(bench.messages().filter(({ kind }) => kind === 'facts').length, 2, 'one that reads them does');
  bench.push([task('new')], { run: 'r2' });
  await bench.settle();
  t.match(bench.blocked(), [{ tasks: [4], cause: /r2/, cancelled: true }], 'a later run takes the node over');
  t.notOk(bench.commands.calls.includes('new'), 'and starts when the old one has ended here');
  for (const name of names) bench.commands.release(name);
  await bench.settle();
  t.ok(bench.commands.calls.includes('new'));
});

t.test('restart: what ended is not repeated, what can be taken up goes on', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('one', { stdout: 'kept' });
  bench.commands.hold('two');
  const tasks = [
    ...chain([task('one', { register: 'first' }), task('two'), task('three', { run: 'three {{ first.stdout }}' })]),
    task('loop', { loop: ['a', 'b', 'c'], run: 'item {{ item }}' }),
  ];
  bench.commands.hold('item b');
  bench.push(tasks);
  bench.handle({ kind: 'hold', value: { run: 'other', reason: 'unknown runs are ignored' } });
  await bench.settle();
  t.same(bench.commands.calls.sort(), ['item a', 'item b', 'one', 'two']);
  const before = bench.messages().length;
  bench.commands.found = { code: 0, stdout: 'done meanwhile' };
  bench = await bench.restart();
  await bench.settle();
  t.same(bench.commands.recovered.sort(), ['item b', 'two'], 'both are looked for, nothing else');
  bench.lease();
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok', 2: 'ok', 3: 'ok' });
  t.same(bench.commands.calls.sort(), ['item a', 'item b', 'item c', 'one', 'three kept', 'two'], 'each ran once');
  t.ok(bench.messages().length > before, 'the outbox is whole');
  t.equal(bench.messages().filter((m) => m.kind === 'begun' && m.value.task === 1).length, 1, 'begun is told once');
});

t.test('restart after a power cut: interrupted, or again where the plan says so', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.hold('init', 'again');
  bench.push([task('init'), task('again', { onInterrupt: 'rerun' }), task('after', { needs: [{ task: 0 }] })]);
  await bench.settle();
  bench.commands.found = 'lost';
  bench = await bench.restart({ bootId: 'boot-2' });
  bench.lease();
  await bench.settle();
  t.equal(bench.outcomes()[0], 'interrupted');
  t.match(bench.ended().get(0)?.result.error, { code: 'INTERRUPTED', remedy: /.+/, task: '0/role/init' });
  t.match(bench.blocked(), [{ tasks: [2], cause: /^after \S*init on n1, interrupted: INTERRUPTED: / }]);
  t.equal(bench.commands.calls.filter((call) => call === 'init').length, 1, 'never twice');
  t.equal(bench.commands.calls.filter((call) => call === 'again').length, 2);
  bench.commands.release('again');
  await bench.settle();
  t.match(bench.ended().get(1), { outcome: 'OUTCOME_OK', result: { attempts: 2 } });
});

t.test('forget drops a run; acknowledged messages leave the outbox; both survive a restart', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.push([task('x')]);
  await bench.settle();
  const last = bench.executor.held().lastSequence;
  t.equal(last, 4);
  bench.executor.acknowledge(3);
  t.same(
    bench.messages().map((message) => message.kind),
    ['ended'],
  );
  bench.executor.acknowledge(last);
  bench.handle({ kind: 'forget', value: { run: 'r1' } });
  await bench.settle();
  mkdirSync(join(bench.folder, 'runs/r0/3'), { recursive: true });
  bench = await bench.restart();
  t.same(bench.messages(), []);
  t.notOk(
    existsSync(join(bench.folder, 'runs/r0')),
    'outputs that an agent was killed before removing go at the start',
  );
  t.match(
    bench.executor.held(),
    { lastSequence: 4, journalId: 'journal-1', runs: [] },
    'numbers go on, never again from 1',
  );

  // A controller that was set back pushes what was done and forgotten.
  const calls = bench.commands.calls.length;
  bench.lease();
  bench.push([task('x')]);
  await bench.settle();
  t.match(bench.messages(), [{ kind: 'refused', value: { run: 'r1', revision: 1 } }]);
  t.match(bytesJson((bench.messages()[0] as { value: { error: Uint8Array } }).value.error), { code: 'RUN_FORGOTTEN' });
  t.equal(bench.commands.calls.length, calls, 'and it is not done a second time');
});

t.test('what cannot be repeated waits until its begin is on disk; what can does not', async (t) => {
  let syncs: (() => void)[] | undefined;
  const slow: typeof disk = {
    ...disk,
    async open(path, point) {
      const { file, content } = await disk.open(path, point);
      const sync = (): Promise<void> =>
        syncs === undefined ? file.sync() : new Promise((resolve) => syncs?.push(() => resolve(file.sync())));
      return { content, file: { ...file, sync } };
    },
  };
  const bench = await Bench.open({ disk: slow });
  bench.push([
    task('once', { needs: [{ gate: 'g' }] }),
    // What outlives the agent must be found again, or it would run twice side by side.
    task('outlives', { inputs: { shell: 'outlives', creates: '/x' }, needs: [{ gate: 'g' }] }),
    task('often', { action: 'set_fact', inputs: { x: 1 }, needs: [{ gate: 'g' }] }),
  ]);
  await bench.settle();
  bench.lease();
  syncs = [];
  bench.open('g');
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  t.same(bench.commands.calls, []);
  t.equal(bench.executor.running(), 2, 'the third is done');
  t.same(bench.outcomes(), {}, 'and no end is told that is not on disk');
  const waiting = syncs;
  syncs = undefined;
  for (const go of waiting) go();
  await bench.settle();
  t.same(bench.commands.calls, ['once', 'outlives']);
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok', 2: 'ok' });
});

t.test('a permit step is let finish after a cancel with all its items and attempts', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold('member a', 'plain a');
  const loop = ['a', 'b'];
  bench.push([
    task('member', { permit: { name: 'etcd', count: 1 }, loop, run: 'member {{ item }}' }),
    task('plain', { loop, run: 'plain {{ item }}' }),
  ]);
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 0 } });
  await bench.settle();
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: false } });
  await bench.settle();
  bench.commands.release('member a');
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok', 1: 'cancelled' });
  t.ok(bench.commands.calls.includes('member b'));
  t.notOk(bench.commands.calls.includes('plain b'));
});

t.test('restart: a loop item at work is followed at once, and a cancel reaches it', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.hold('b');
  bench.push([task('loop', { loop: ['a', 'b', 'c'], run: '{{ item }}' })]);
  await bench.settle();
  bench.commands.found = { code: 0 };
  bench.clock.advance(7_200_000);
  bench = await bench.restart();
  await bench.settle();
  t.same(bench.commands.recovered, ['b'], 'what is at work is no start: it needs no lease');
  t.notOk(bench.commands.calls.includes('c'), 'the next item does');
});

t.test('restart: what a cancel was ending is still looked for', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.hold('long');
  bench.commands.deaf = true;
  bench.push([task('long')]);
  await bench.settle();
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: false } });
  await bench.settle();
  t.same(bench.commands.working, ['long'], 'it takes its time to end');
  bench.commands.found = { code: 143 };
  bench = await bench.restart();
  await bench.settle();
  t.same(bench.commands.recovered, ['long'], 'the step does not end while its command may be at work');
  t.same(bench.outcomes(), { 0: 'cancelled' });
});

t.test('restart in a new boot: nothing is done again without a word of the controller', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.hold('again', 'made');
  bench.push([task('again', { onInterrupt: 'rerun' }), task('made', { inputs: { shell: 'made', creates: '/x' } })]);
  await bench.settle();
  bench.commands.found = 'lost';
  bench = await bench.restart({ bootId: 'boot-2' });
  await bench.settle();
  t.same(bench.commands.calls.sort(), ['again', 'made'], 'an attempt is a start, and the lease ended with the boot');
  bench.lease();
  await bench.settle();
  t.equal(bench.commands.calls.filter((call) => call === 'again').length, 2, 'then it goes on');
});

t.test('a sensitive step leaves neither its items nor its output on disk', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('secret', { stdout: 'w0rd\nw1rd' });
  bench.commands.hold('use w1rd', 'plain b');
  const loop = '{{ words.stdout_lines }}';
  bench.push([
    task('secret', { sensitive: true, register: 'words' }),
    task('use', { sensitive: true, loop, run: 'use {{ item }}', needs: [{ task: 0 }] }),
    task('known', { sensitive: true, loop: ['a', 'b'], run: 'plain {{ item }}' }),
  ]);
  await bench.settle();
  t.same(bench.commands.working, ['plain b', 'use w1rd']);
  t.notMatch(readFileSync(join(bench.folder, 'journal.log'), 'utf8'), /w[01]rd/);
  const folder = join(bench.folder, 'runs/r1/1');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'stdout'), 'w0rd');
  bench.commands.release('use w1rd');
  while (existsSync(folder)) await bench.settle();
  t.equal(bench.ended().get(1)?.result.items, 2);

  bench.commands.found = { code: 0 };
  bench = await bench.restart();
  bench.lease();
  await bench.settle();
  t.same(bench.commands.recovered, ['plain b'], 'items are made again after a restart');
  t.equal(bench.outcomes()[2], 'ok');
});

t.test('a document that the controller does not hand out: the share is refused, not waited for', async (t) => {
  const bench = await Bench.open({ tolerant: true });
  bench.lease();
  const none = new Uint8Array();
  const digest = 'a'.repeat(64);
  const value = { run: 'r1', revision: 1, share: none, share_sha256: digest, common_sha256: '', common: none };
  bench.handle({ kind: 'push', value: { ...value, lease_ms: 0 } });
  await bench.settle();
  bench.handle({ kind: 'blob_part', value: { sha256: digest, offset: 0, data: none, total: 0 } });
  await bench.settle();
  t.match(bench.messages(), [{ kind: 'refused', value: { run: 'r1', revision: 1 } }]);
});

t.test('a cancelled command has its whole grace before its step is given up', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold('stubborn');
  bench.commands.deaf = true;
  bench.push([task('stubborn', { inputs: { shell: 'stubborn', grace_seconds: 600 } })]);
  await bench.settle();
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: false } });
  await bench.settle();
  bench.clock.advance(600_000);
  await bench.settle();
  t.same(bench.outcomes(), {}, 'it may still be at work');
  bench.clock.advance(90_000);
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'cancelled' });
});

t.test(
  'a document of another version does not keep the agent from starting: its run waits for the controller',
  async (t) => {
    let bench = await Bench.open();
    bench.lease();
    const tasks = [task('one', { needs: [{ gate: 'g' }] })];
    bench.push(tasks);
    await bench.settle();
    const other = jsonBytes({ ...(bytesJson(documents(tasks).common) as object), of_a_newer_agent: 1 });
    const name = sha256(other);
    writeFileSync(join(bench.folder, 'blobs', name), other);
    bench.journal.append({ type: 'forget', run: 'r1', revision: 1 });
    const share = bytesJson(documents(tasks).share) as Share;
    bench.journal.append({ type: 'push', run: 'r2', revision: 1, share, common: name, leaseMs: 0 });
    bench = await bench.restart();
    t.same(bench.executor.held().runs, [], 'so it is pushed again');
    const common = { common: other, common_sha256: name };
    const push = { run: 'r2', revision: 1, share: documents(tasks).share, share_sha256: '', ...common, lease_ms: 0 };
    bench.handle({ kind: 'push', value: push });
    await bench.settle();
    t.match(bench.messages().at(-1), { kind: 'refused', value: { run: 'r2', revision: 1 } });
  },
);

t.test('what a sensitive step printed goes also when the agent was killed before it could remove it', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.push([task('secret', { sensitive: true }), task('plain')]);
  await bench.settle();
  for (const step of ['0', '1']) {
    mkdirSync(join(bench.folder, 'runs/r1', step, '0.1'), { recursive: true });
    writeFileSync(join(bench.folder, 'runs/r1', step, '0.1/stdout'), 'printed');
  }
  bench = await bench.restart();
  await bench.settle();
  t.notOk(existsSync(join(bench.folder, 'runs/r1/0')));
  t.ok(existsSync(join(bench.folder, 'runs/r1/1')));
});

t.test('restart: nothing of a run starts before it is known that a later one has taken the node over', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  const { share, common } = documents([task('old', { needs: [{ gate: 'g' }] })]);
  bench.push([task('old', { needs: [{ gate: 'g' }] })]);
  await bench.settle();
  // Killed right after it had taken the later one on.
  const later = { share: bytesJson(share) as Share, common: sha256(common), leaseMs: 0 };
  bench.journal.append({ type: 'gate', run: 'r1', revision: 1, gate: 'g', values: null });
  bench.journal.append({ type: 'push', run: 'r2', revision: 1, ...later });
  bench = await bench.restart();
  bench.lease();
  await bench.settle();
  t.same(bench.commands.calls, []);
  t.match(bench.blocked(), [{ cause: /r2/, cancelled: true }]);
});

t.test('an agent that is about to be replaced starts nothing, and commands at work do not hold it', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold('long');
  bench.push(chain([task('long'), task('next')]));
  await bench.settle();
  await bench.executor.standStill();
  bench.commands.release('long');
  await bench.settle();
  t.same(bench.commands.calls, ['long'], 'what the next agent is to begin is not begun');
  bench.executor.goOn();
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok' }, 'without a successor it goes on');
});
