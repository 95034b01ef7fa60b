import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { inputsDigest } from '../../agent/executor/digest.ts';
import { inputsOf } from '../../shared/inputs.ts';
import type { Revised } from '../../shared/share.ts';
import { Bench, chain, type TaskWish, task } from '../support/agent-bench.ts';
import { fakeSystemd } from '../support/fake-systemd.ts';
import { realHost } from '../support/real-host.ts';

/** What a revision says of earlier ones; by itself: what failed is done again. */
const revised = (more: Partial<Revised> = {}) => ({
  share: { revised: { retryFailed: true, rerun: [], skip: [], ...more } },
});

/** A command that may be repeated. */
const made = (name: string, run: string, wish: TaskWish = {}) =>
  task(name, { inputs: { shell: run, creates: '/x' }, ...wish });

t.test('a later revision keeps what was done with the same inputs, and does the rest', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('a', { stdout: 'from a' });
  bench.commands.answers.set('b', (call) => ({ code: call === 1 ? 1 : 0, stdout: `call ${call}` }));
  const a = task('a', { register: 'out' });
  const b = task('b', { register: 'later' });
  const fact = task('fact', { action: 'set_fact', inputs: { leak: 1 } });
  bench.push(chain([a, fact, b, task('c')]));
  await bench.settle();
  t.same(bench.commands.calls, ['a', 'b']);
  bench = await bench.restart();
  bench.lease();
  // Another first task moves all the others; one is gone, with what it had bound.
  const sees = 'c {{ out.stdout }} {{ later.stdout }} {{ leak | default("none") }}';
  bench.push(chain([task('new'), a, b, task('c', { run: sees })]), { revision: 2, ...revised() });
  await bench.settle();
  t.same(bench.commands.calls, ['a', 'b', 'new', 'b', 'c from a call 2 none']);
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok', 2: 'ok', 3: 'ok' });
  t.match(bench.ended().get(1)?.result, { kept: true, output: { stdout: { head: 'from a' } } });
  t.equal(bench.ended().get(2)?.result.kept, undefined);
  t.match(bench.executor.held().runs, [{ run: 'r1', revision: 2 }]);
});

t.test('other inputs: done again where that is safe or asked for, else refused', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  const once = (run: string) => task('once', { run, ignoreErrors: true });
  bench.push(chain([once('once 1'), made('often', 'often 1'), task('same')]));
  await bench.settle();
  bench.push(chain([once('once 2'), made('often', 'often 2'), task('same')]), { revision: 2, ...revised() });
  await bench.settle();
  t.same(bench.commands.calls, ['once 1', 'often 1', 'same', 'often 2']);
  t.match(bench.ended().get(0)?.result.error, { code: 'RERUN_NEEDED', remedy: /rerun/, task: '0/role/once' });
  bench.push(chain([once('once 1'), made('often', 'often 1'), task('same')]), { revision: 3, ...revised() });
  await bench.settle();
  t.match(bench.ended().get(0)?.result, { kept: true }, 'what was refused has changed nothing');
  t.same(bench.commands.calls.slice(4), ['often 1'], 'what was done in between counts, not what was before');
  bench.push(chain([once('once 2'), made('often', 'often 1'), task('same')]), {
    revision: 4,
    ...revised({ rerun: [0, 2] }),
  });
  await bench.settle();
  t.same(bench.commands.calls.slice(5), ['once 2', 'same'], 'as it was asked for');
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok', 2: 'ok' });
});

t.test(
  'what a revision in between did not want is done again where that is safe: another step may have changed it',
  async (t) => {
    const bench = await Bench.open();
    bench.lease();
    const tasks = (wanted: boolean) => {
      const when = String(wanted);
      return chain([made('often', 'settings a', { when }), task('once', { when }), made('other', `other ${wanted}`)]);
    };
    for (const [index, wanted] of [true, false, true, true].entries()) {
      bench.push(tasks(wanted), index === 0 ? {} : { revision: index + 1, ...revised() });
      await bench.settle();
    }
    t.same(bench.commands.calls, ['settings a', 'once', 'other true', 'other false', 'settings a', 'other true']);
    t.match(bench.ended().get(1)?.result, { kept: true }, 'what cannot be repeated safely is not');
  },
);

t.test('so are items of a loop that was half done: only what cannot be repeated safely counts', async (t) => {
  for (const repeatable of [true, false]) {
    const bench = await Bench.open();
    bench.lease();
    bench.commands.answers.set('b', (call) => ({ code: call === 1 ? 1 : 0 }));
    const wish: TaskWish = repeatable ? { inputs: { shell: '{{ item }}', creates: '/x' } } : { run: '{{ item }}' };
    for (const [index, when] of ['true', 'false', 'true'].entries()) {
      const tasks = [task('loop', { loop: ['a', 'b'], ...wish, when }), task('other', { run: `other ${index}` })];
      bench.push(tasks, index === 0 ? {} : { revision: index + 1, ...revised({ rerun: [1] }) });
      await bench.settle();
    }
    const loops = bench.commands.calls.filter((call) => !call.startsWith('other'));
    t.same(loops, repeatable ? ['a', 'b', 'a', 'b'] : ['a', 'b', 'b']);
  }
});

t.test('a step that a person takes out stays unwanted where it was', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  const skip = [{ task: 0, reason: 'not now' }];
  for (const [index, [when, more]] of (
    [
      ['true', {}],
      ['false', {}],
      ['true', { skip }],
      ['true', {}],
    ] as const
  ).entries()) {
    bench.push(
      [made('often', 'settings', { when })],
      index === 0 ? {} : { revision: index + 1, ...revised({ ...more } as Partial<Revised>) },
    );
    await bench.settle();
  }
  t.same(bench.commands.calls, ['settings', 'settings']);
});

t.test('the text of a template counts as an input; the order of keys does not', async (t) => {
  const spec = task('file', { action: 'file', inputs: { path: '/etc/x', template: 'x' } });
  const scope = {
    lookup: (name: string) => (name === 'port' ? 1 : undefined),
    names: () => ['port'],
    readNode: () => undefined,
  };
  const digest = (text: string, inputs = spec.inputs) =>
    inputsDigest(
      (all) => all,
      { files: { 'role/templates/x': text } } as never,
      { ...spec, inputs },
      inputsOf({ ...spec, inputs }, 'file', scope as never),
      scope as never,
      undefined,
    );
  t.equal(digest('port {{ port }}'), digest('port 1', { template: 'x', path: '/etc/x' }));
  t.not(digest('port 1'), digest('port 2'));

  const program = (inputs: { shell: string; remedies?: { match: string; cause: string; remedy: string }[] }) =>
    inputsDigest(
      (all) => all,
      { files: {} } as never,
      { ...spec, action: 'command', inputs },
      inputsOf({ ...spec, inputs }, 'command', scope as never),
      scope as never,
      undefined,
    );
  const remedies = [{ match: 'full', cause: 'it is full', remedy: 'make room' }];
  const braces = [{ match: 'full', cause: 'it is full', remedy: 'See {{ this }} and {% that' }];
  const written = inputsOf({ ...spec, inputs: { shell: 'x {{ port }}', remedies: braces } }, 'command', scope as never);
  t.match(written.value, { shell: 'x 1', remedies: braces }, 'what is meant for a person is no template');
  t.equal(program({ shell: 'x', remedies }), program({ shell: 'x' }), 'what is said of failures does not count either');
  t.not(program({ shell: 'x' }), program({ shell: 'y' }));
});

t.test('what failed ends again as it had when nobody asked to retry; a skip satisfies edges', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('bad', { code: 1 });
  const tasks = chain([task('good'), task('bad'), task('after')]);
  bench.push(tasks);
  await bench.settle();
  bench.handle({ kind: 'hold', value: { run: 'r1', reason: 'of the old revision' } });
  bench.push(tasks, { revision: 2, ...revised({ retryFailed: false }) });
  await bench.settle();
  t.same(bench.commands.calls, ['good', 'bad']);
  t.match(bench.ended().get(1), {
    outcome: 'OUTCOME_FAILED',
    result: { kept: true, error: { code: 'COMMAND_FAILED' } },
  });
  t.match(bench.ended().get(0), { outcome: 'OUTCOME_OK', result: { kept: true } }, 'what came before it stands');
  const [first, second] = bench.blocked();
  t.same(second, first, 'blocked as before, with the same cause');
  const skip = [{ task: 1, reason: 'done by hand' }];
  bench.push(tasks, { revision: 3, ...revised({ skip }) });
  await bench.settle();
  t.same(bench.commands.calls, ['good', 'bad', 'after']);
  t.match(bench.ended().get(1), { outcome: 'OUTCOME_SKIPPED', result: { reason: 'done by hand' } });
  bench.push(tasks, { revision: 4, ...revised({ retryFailed: false }) });
  await bench.settle();
  t.match(bench.ended().get(1), { outcome: 'OUTCOME_SKIPPED', result: { reason: 'done by hand', kept: true } });
  t.equal(bench.commands.calls.length, 3);
});

t.test('a failure that stands stops nothing that was done beside it, only what was not', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('bad', { code: 1 });
  const opened = (revision: number, gate: string) =>
    ({ kind: 'open_gate', value: { run: 'r1', revision, gate, values: new Uint8Array() } }) as const;
  const tasks = [
    task('bad', { needs: [{ gate: 'late' }] }),
    task('done', { register: 'out' }),
    task('waits', { needs: [{ gate: 'g' }] }),
    task('safely', { action: 'block', inputs: {}, needs: [{ task: 1 }] }),
    task('in it', { within: { block: 3, part: 'block' } }),
    task('not done', { needs: [{ gate: 'never' }] }),
  ];
  bench.push(tasks);
  await bench.settle();
  bench.handle(opened(1, 'g'));
  await bench.settle();
  bench.handle(opened(1, 'late'));
  await bench.settle();
  t.same(bench.commands.calls, ['done', 'in it', 'waits', 'bad']);
  bench.push(tasks, { revision: 2, ...revised({ retryFailed: false }) });
  await bench.settle();
  bench.handle(opened(2, 'g'));
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'failed', 1: 'ok', 2: 'ok', 3: 'ok', 4: 'ok' });
  t.equal(bench.commands.calls.length, 4);
});

t.test('what a rescue has made good is not tried again', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('join', { code: 1 });
  const inBlock = (part: 'block' | 'rescue') => ({ within: { block: 0, part } });
  const tasks = [
    task('safely', { action: 'block', inputs: {} }),
    task('join', inBlock('block')),
    task('reset', inBlock('rescue')),
    task('bad', { run: 'join', needs: [{ task: 0 }] }),
  ];
  bench.push(tasks);
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok', 1: 'failed', 2: 'ok', 3: 'failed' });
  bench.push(tasks, { revision: 2, ...revised() });
  await bench.settle();
  t.same(bench.commands.calls, ['join', 'reset', 'join', 'join'], 'only what failed outside');
  t.match(bench.ended().get(1)?.result, { kept: true, error: { code: 'COMMAND_FAILED' } });
  t.same(bench.outcomes(), { 0: 'ok', 1: 'failed', 2: 'ok', 3: 'failed' });
  bench.push(tasks, { revision: 3, ...revised({ rerun: [0] }) });
  await bench.settle();
  t.equal(bench.commands.calls.filter((call) => call === 'join').length, 5, 'unless it is asked for');
});

t.test('a block that was done and then blocked goes on when what blocked it is gone', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('look, and fail', { code: 1 });
  const tasks = (look: string) => [
    made('look', look),
    task('safely', { action: 'block', inputs: {}, needs: [{ task: 0 }] }),
    task('join', { within: { block: 1, part: 'block' }, needs: [{ task: 0 }] }),
    task('after', { needs: [{ task: 1 }] }),
  ];
  for (const [index, look] of ['look', 'look, and fail', 'look'].entries()) {
    bench.push(tasks(look), index === 0 ? {} : { revision: index + 1, ...revised() });
    await bench.settle();
  }
  t.same(bench.commands.calls, ['look', 'join', 'after', 'look, and fail', 'look']);
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok', 2: 'ok', 3: 'ok' });
});

t.test('a loop that failed does the items again that had not ended', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('b', (call) => ({ code: call === 1 ? 1 : 0 }));
  const loop = (items: string[]) => [task('loop', { loop: items, run: '{{ item }}', register: 'all' })];
  bench.push(loop(['a', 'b', 'c']));
  await bench.settle();
  t.same(bench.commands.calls, ['a', 'b', 'c']);
  bench = await bench.restart();
  bench.lease();
  const see = task('see', { run: '{{ all.results | map(attribute="item") | join("+") }}', needs: [{ task: 0 }] });
  bench.push([...loop(['b', 'd', 'a', 'c']), see], { revision: 2, ...revised() });
  await bench.settle();
  t.same(bench.commands.calls.slice(3), ['b', 'd', 'b+d+a+c'], 'each item that ended ok counts once');
  bench.push([...loop(['b', 'd', 'a', 'c']), see], { revision: 3, ...revised() });
  await bench.settle();
  t.equal(bench.commands.calls.length, 6);
  t.match(bench.ended().get(0)?.result, { kept: true, items: 4 });
});

t.test('a sensitive register is kept in memory: without it the step cannot stand', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('secret', { stdout: 's3cret' });
  const tasks = (text: string) =>
    chain([
      task('secret', { sensitive: true, register: 'word' }),
      task('use', { sensitive: true, run: 'login {{ word.stdout }}' }),
      task('more', { run: text }),
    ]);
  bench.push(tasks('one'));
  await bench.settle();
  bench.push(tasks('two'), { revision: 2, ...revised({ rerun: [2] }) });
  await bench.settle();
  t.same(bench.commands.calls, ['secret', 'login s3cret', 'one', 'two'], 'both are kept while the agent lives');
  bench = await bench.restart();
  bench.lease();
  bench.push(tasks('two'), { revision: 3, ...revised() });
  await bench.settle();
  t.match(bench.ended().get(0)?.result.error, { code: 'RERUN_NEEDED', message: /register/ });
  t.notMatch(readFileSync(join(bench.folder, 'journal.log'), 'utf8'), /s3cret/);
});

t.test('kept steps wait for their needs and gates, and take neither slot nor permit', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  const slots = ['s1', 's2', 's3', 's4'];
  const tasks = [
    task('drain', { permit: { name: 'drain', count: 1 }, needs: [{ gate: 'g' }], lock: 'l' }),
    ...slots.map((name) => made(name, name)),
  ];
  bench.push(tasks);
  bench.open('g');
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 0 } });
  await bench.settle();
  t.equal(bench.commands.calls.length, 5);
  bench.commands.hold(...slots);
  const wishes = bench.wishes.length;
  bench.push(tasks, { revision: 2, ...revised({ rerun: [1, 2, 3, 4] }) });
  await bench.settle();
  t.same(bench.commands.working, slots);
  t.equal(bench.ended().get(0)?.result.kept, undefined, 'its gate is shut in this revision');
  bench.open('g');
  await bench.settle();
  t.equal(bench.ended().get(0)?.result.kept, undefined, 'a gate of the earlier revision is not its gate');
  bench.handle({ kind: 'open_gate', value: { run: 'r1', revision: 2, gate: 'g', values: new Uint8Array() } });
  await bench.settle();
  t.equal(bench.ended().get(0)?.result.kept, true);
  t.equal(bench.wishes.length, wishes);
});

t.test('a later revision waits for what is at work, and nothing else of the old one starts', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold('long', 'item a', 'member a');
  bench.commands.answers.set('flaky', { code: 1 });
  const tasks = [
    task('long'),
    task('loop', { loop: ['a', 'b'], run: 'item {{ item }}' }),
    task('flaky', { retries: 5, delay: 600, ignoreErrors: true }),
    task('next', { needs: [{ task: 0 }] }),
    task('member', { permit: { name: 'etcd', count: 1 }, loop: ['a', 'b'], run: 'member {{ item }}' }),
  ];
  bench.push(tasks);
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 4 } });
  await bench.settle();
  t.same(bench.commands.working, ['item a', 'long', 'member a']);
  bench.push(tasks, { revision: 2, ...revised() });
  await bench.settle();
  t.equal(bench.executor.running(), 3, 'a retry that waits gives way at once');
  t.match(bench.executor.held().runs, [{ revision: 1 }], 'not taken on yet');
  bench.handle({ kind: 'open_gate', value: { run: 'r1', revision: 2, gate: 'later', values: new Uint8Array() } });
  bench.commands.release('item a');
  await bench.settle();
  t.notOk(bench.commands.calls.includes('item b'), 'an item is a start');
  bench.commands.release('member a');
  await bench.settle();
  t.ok(bench.commands.calls.includes('member b'), 'a permit step is let finish');
  bench.handle({ kind: 'hold', value: { run: 'r1', reason: 'of both' } });
  bench.commands.release('long');
  await bench.settle();
  t.match(bench.executor.held().runs, [{ revision: 2, gates: ['later'] }]);
  t.equal(bench.commands.calls.length, 5, 'what was said of the run meanwhile is for the later revision too');
  bench.handle({ kind: 'resume', value: { run: 'r1' } });
  await bench.settle();
  t.same(bench.commands.calls.slice(5).sort(), ['flaky', 'item b', 'next']);
  t.match(bench.ended().get(0)?.result, { kept: true });
});

t.test('cancel, hold and forget act at once while a later revision waits', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold('long');
  bench.push([task('long')]);
  await bench.settle();
  bench.push([task('long'), task('x')], { revision: 2, ...revised() });
  bench.handle({ kind: 'hold', value: { run: 'r1', reason: 'wait' } });
  await bench.settle();
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 0, force: false } });
  await bench.settle();
  t.same(bench.commands.working, [], 'it did not have to end by itself');
  t.match(bench.executor.held().runs, [{ revision: 2 }]);
  t.match(bench.blocked(), [{ tasks: [0, 1], cancelled: true }], 'and the cancel is for the later revision too');

  bench.commands.hold('other');
  bench.push([task('other')], { run: 'r2' });
  await bench.settle();
  bench.push([task('other'), task('y')], { run: 'r2', revision: 2, ...revised() });
  bench.handle({ kind: 'forget', value: { run: 'r2' } });
  await bench.settle();
  t.same(
    bench.executor.held().runs.map(({ run }) => run),
    ['r1'],
  );
  t.notOk(bench.commands.calls.includes('y'));

  bench.push([task('gone', { action: 'teleport' })], { run: 'r1', revision: 3, ...revised() });
  await bench.settle();
  t.match(bench.messages().at(-1), { kind: 'refused', value: { run: 'r1', revision: 3 } });
});

t.test('a run that is resumed has arrived last, and a refused revision stops the one before', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('bad', (call) => ({ code: call === 1 ? 1 : 0 }));
  bench.push([task('bad')]);
  bench.push([task('gated', { needs: [{ gate: 'g' }] })], { run: 'r2' });
  await bench.settle();
  bench.push([task('bad')], { revision: 2, ...revised() });
  await bench.settle();
  t.equal(bench.outcomes()[0], 'ok');
  t.match(bench.blocked(), [{ cause: /r1/, cancelled: true }], 'it has taken the node over again');

  const waits = [task('waits', { needs: [{ gate: 'h' }] })];
  bench.push(waits, { run: 'r3' });
  bench.push([task('waits', { action: 'teleport' })], { run: 'r3', revision: 2 });
  bench.handle({ kind: 'open_gate', value: { run: 'r3', revision: 1, gate: 'h', values: new Uint8Array() } });
  await bench.settle();
  t.notOk(bench.commands.calls.includes('waits'));
});

t.test('a forced cancel ends permit steps too; what waits ends at once', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.hold('member');
  bench.commands.answers.set('flaky', { code: 1 });
  bench.push([
    task('member', { permit: { name: 'etcd', count: 1 } }),
    task('flaky', { retries: 9, delay: 3600 }),
    task('port', { action: 'wait_for', inputs: { port: 1, interval_seconds: 3600, timeout_seconds: 3600 } }),
  ]);
  bench.handle({ kind: 'permit', value: { run: 'r1', revision: 1, task: 0 } });
  await bench.settle();
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 0, force: false } });
  while (bench.executor.running() > 1) await bench.settle();
  t.same(bench.outcomes(), { 1: 'cancelled', 2: 'cancelled' });
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 0, force: true } });
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'cancelled', 1: 'cancelled', 2: 'cancelled' });
});

t.test('a step that takes its node down is begun anew twice, then it is interrupted', async (t) => {
  let bench = await Bench.open();
  bench.commands.hold('killer');
  bench.commands.found = 'lost';
  bench.lease();
  bench.push([task('killer', { onInterrupt: 'rerun' })]);
  await bench.settle();
  for (const boot of ['boot-2', 'boot-3', 'boot-4', 'boot-5']) {
    bench = await bench.restart({ bootId: boot });
    bench.lease();
    await bench.settle();
  }
  t.equal(bench.commands.calls.length, 3);
  t.same(bench.outcomes(), { 0: 'interrupted' });
});

t.test('an attempt is a start: without a lease the next one waits', async (t) => {
  const bench = await Bench.open();
  bench.lease(60_000);
  bench.commands.answers.set('flaky', (call) => ({ code: call === 1 ? 1 : 0 }));
  bench.push([task('flaky', { retries: 1, delay: 120 })]);
  await bench.settle();
  bench.clock.advance(120_000);
  await bench.settle();
  t.equal(bench.commands.calls.length, 1);
  bench.lease(60_000);
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok' });
});

t.test('items that were done are not done again when the loop was cut short in between', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('item a', { code: 1 });
  const loop = [task('loop', { loop: ['a', 'b', 'c'], run: 'item {{ item }}' })];
  bench.push(loop);
  await bench.settle();
  bench.commands.hold('item a');
  bench.push(loop, { revision: 2, ...revised() });
  await bench.settle();
  bench.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 0, force: false } });
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'cancelled' }, 'before it came to the items that stand');
  bench.commands.answers.set('item a', {});
  bench.push(loop, { revision: 3, ...revised() });
  await bench.settle();
  bench.commands.release('item a');
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok' });
  t.same(bench.commands.calls.slice(3), ['item a', 'item a']);
});

t.test('an item that stands counts once, also when the agent was restarted in between', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('stop', (call) => ({ code: call === 1 ? 1 : 0 }));
  bench.commands.answers.set('start', (call) => ({ code: call === 2 ? 1 : 0 }));
  const loop = [task('loop', { loop: ['start', 'stop', 'start'], run: '{{ item }}' })];
  bench.push(loop);
  await bench.settle();
  t.same(bench.commands.calls, ['start', 'stop', 'start']);
  bench.commands.hold('stop');
  bench.push(loop, { revision: 2, ...revised() });
  await bench.settle();
  bench.commands.found = {};
  bench = await bench.restart();
  bench.lease();
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok' });
  t.same(bench.commands.calls.slice(3), ['stop', 'start'], 'the second start had failed');
});

t.test('what stands has for others what the plan now wants of it', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('port', { stdout: '6443' });
  const port = (type: 'any' | 'integer' | 'list', exported: boolean, more: TaskWish = {}) =>
    made('port', 'port', { register: { name: 'p', type, exported }, ...more });
  bench.push([port('integer', false)]);
  await bench.settle();
  bench.push([port('integer', true)], { revision: 2, ...revised() });
  await bench.settle();
  t.match(bench.ended().get(0)?.result, { kept: true, register: 6443 }, 'another node reads it now');
  const see = task('see', { run: 'see {{ p | join("+") }}', needs: [{ task: 0 }] });
  bench.push([port('list', false), see], { revision: 3, ...revised() });
  await bench.settle();
  t.equal(bench.commands.calls.at(-1), 'see 6443', 'of another type: done again');
});

t.test('what a sensitive set_fact had set is set again when the agent has lost it', async (t) => {
  let bench = await Bench.open();
  bench.lease();
  const tasks = (run: string) =>
    chain([
      task('fact', { action: 'set_fact', inputs: { word: 's3cret' }, sensitive: true }),
      task('use', { sensitive: true, run }),
    ]);
  bench.push(tasks('one {{ word }}'));
  await bench.settle();
  bench = await bench.restart();
  bench.lease();
  bench.push(tasks('two {{ word }}'), { revision: 2, ...revised({ rerun: [1] }) });
  await bench.settle();
  t.same(bench.commands.calls, ['one s3cret', 'two s3cret']);
});

t.test('what cleans up after a block does so again when something of the block was done again', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('main 2', { code: 1 });
  bench.commands.answers.set('rescue 2', { code: 1 });
  const inBlock = (name: string, part: 'block' | 'rescue' | 'always', more: TaskWish = {}) =>
    task(name, { within: { block: 0, part }, ...more });
  const tasks = [
    task('safely', { action: 'block', inputs: {} }),
    inBlock('main 1', 'block'),
    inBlock('main 2', 'block', { needs: [{ task: 1 }] }),
    inBlock('rescue 1', 'rescue'),
    inBlock('rescue 2', 'rescue', { needs: [{ task: 3 }] }),
    inBlock('always', 'always'),
  ];
  bench.push(tasks);
  await bench.settle();
  const once = ['main 1', 'main 2', 'rescue 1', 'rescue 2', 'always'];
  t.same(bench.commands.calls, once);
  bench.push(tasks, { revision: 2, ...revised() });
  await bench.settle();
  t.same(bench.commands.calls.slice(5), once.slice(1), 'main 1 stands; its always is owed for what ran anew');
  bench.push(tasks, { revision: 3, ...revised({ retryFailed: false }) });
  await bench.settle();
  t.equal(bench.commands.calls.length, 9, 'nothing ran, nothing is to be cleaned up');
});

t.test('what only looks at the node looks again, and makes nothing be cleaned up by that', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('look', (call) => ({ stdout: `look ${call}` }));
  const marker = join(t.testdir(), 'formed');
  const look: TaskWish = { changedWhen: 'false', onInterrupt: 'rerun' };
  const inBlock = (name: string, part: 'block' | 'always', more: TaskWish = {}) =>
    task(name, { within: { block: 4, part }, needs: [{ task: 3 }], ...more });
  const tasks = (again: string) => [
    task('marker', { action: 'stat', inputs: { path: marker }, register: 'formed' }),
    task('look', { ...look, register: 'seen', needs: [{ task: 0 }] }),
    task('once', { changedWhen: 'false', needs: [{ task: 1 }] }),
    task('see', { run: `${again} {{ formed.exists }} {{ seen.stdout }}`, onInterrupt: 'rerun', needs: [{ task: 2 }] }),
    task('safely', { action: 'block', inputs: {}, needs: [{ task: 3 }] }),
    inBlock('look inside', 'block', look),
    inBlock('work', 'block', { needs: [{ task: 5 }] }),
    inBlock('tidy', 'always'),
  ];
  bench.push(tasks('see'));
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  t.same(bench.commands.calls, ['look', 'once', 'see false look 1', 'look inside', 'work', 'tidy']);
  writeFileSync(marker, '');
  bench.push(tasks('again'), { revision: 2, ...revised({ rerun: [3] }) });
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  t.same(bench.commands.calls.slice(6), ['look', 'again true look 2', 'look inside'], 'neither once nor tidy');
});

t.test('a unit goes by what its inputs hold now', async (t) => {
  const dir = t.testdir({ 'app.conf': 'one' });
  const fake = fakeSystemd(realHost(), dir);
  const bench = await Bench.open({ host: { run: fake.host.run } });
  bench.lease();
  const unit = (name: string, inputs: object) =>
    task(name, { action: 'systemd', inputs: { unit: 'app', ...inputs } as never });
  const tasks = [
    unit('start', { state: 'started', inputs: [join(dir, 'app.conf')] }),
    unit('restart', { state: 'restarted', inputs: [join(dir, 'app.conf')] }),
  ];
  const settled = async () => {
    await bench.settle();
    while (bench.executor.running() > 0) await bench.settle();
    return fake.calls().map((call) => call.split(' ')[0]);
  };
  bench.push(chain(tasks));
  t.same(await settled(), ['start', 'restart']);
  bench.push(chain(tasks), { revision: 2, ...revised() });
  t.same(await settled(), []);
  writeFileSync(join(dir, 'app.conf'), 'two');
  bench.push(chain(tasks), { revision: 3, ...revised() });
  t.same(await settled(), ['restart'], 'a task of an earlier revision has written one');
});
