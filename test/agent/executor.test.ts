import t from 'tap';
import { Bench, chain, task } from '../support/agent-bench.ts';

t.test('a share runs through: when, templates, registers, facts, precedence', async (t) => {
  const bench = await Bench.open();
  bench.lease();
  bench.commands.answers.set('version', { stdout: 'v1.30\n' });
  bench.push(
    chain([
      task('version', { register: 'ver' }),
      task('greet', { run: 'install {{ ver.stdout }} on {{ node_name }} with {{ facts.cpu.count }} {{ port }} {{ deep }}' }),
      task('never', { when: 'ver.stdout == "v2"' }),
      task('fact', { action: 'set_fact', inputs: { double: '{{ facts.cpu.count * 2 }}' } }),
      task('after', { when: 'double == 8 and ver.rc == 0', run: 'see {{ greeting }}', vars: { greeting: 'hi {{ port }}' } }),
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
    bench.executor.outgoing().map((out) => out.sequence),
    kinds.map((_, index) => index + 1),
    'messages are numbered without a gap',
  );
});
