import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { rebootExecutor } from '../../agent/actions/reboot.ts';
import { rebootNeeded } from '../../agent/actions/reboot-needed.ts';
import type { Host } from '../../agent/host/host.ts';
import { shareOf } from '../../controller/compile/share-of.ts';
import { ACTIONS } from '../../shared/actions/index.ts';
import { Bench } from '../support/agent-bench.ts';
import { contextWith, realHost, until } from '../support/real-host.ts';
import { roleGraph } from '../support/role-graph.ts';
import { systemNode } from '../support/system-node.ts';
import { failure } from '../support/undo-node.ts';

const THIS_BOOT = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** A bench with a role that reboots; `asked` is what the machine was told, which does nothing. */
async function rebooting(task: string, bootId: string) {
  const asked: string[] = [];
  const state = { test: 0 };
  const run: Host['run'] = async ([name, ...args]) => {
    if (name === '/bin/sh') return { code: state.test, stdout: '', stderr: 'not yet' };
    asked.push([name, ...args].join(' '));
    return { code: 0, stdout: '', stderr: '' };
  };
  const graph = roleGraph(task, { nodes: ['n1'] });
  const bench = await Bench.open({ bootId, host: { run } });
  bench.lease();
  bench.push([...graph.common.tasks], { share: shareOf(graph, 0), common: graph.common });
  await until(() => asked.length > 0);
  await bench.settle();
  return { bench, graph, asked, state, host: { run } };
}

t.test('the next boot ends the step; what comes after it runs once, and nothing reboots again', async (t) => {
  const { bench, graph, asked, host } = await rebooting(
    '- {id: go, reboot: {reason: new kernel, test: "true"}}\n',
    'old',
  );
  t.equal(graph.common.tasks[0]?.alone, true, 'alone is implied');
  t.same(asked, ['systemctl reboot --message=new kernel']);
  t.same(bench.outcomes(), {}, 'it goes on until the node is down');
  t.match(String(bench.logs[0]?.data), 'Restarting: new kernel.');
  const again = await bench.restart({ bootId: THIS_BOOT, host });
  await again.settle();
  t.same(again.outcomes(), {}, 'without a lease of this boot nothing is done');
  again.lease();
  await until(() => again.commands.calls.length > 0);
  await again.settle();
  t.match(again.outcomes(), { 0: 'ok' });
  t.match(again.ended().get(0)?.result, { changed: true });
  t.same(again.commands.calls, ['after']);
  t.equal(asked.length, 1);
});

t.test('an agent that was only restarted itself reboots the node after all', async (t) => {
  const { bench, asked, host } = await rebooting('- {id: go, reboot: {}}\n', THIS_BOOT);
  const again = await bench.restart({ bootId: THIS_BOOT, host });
  again.lease();
  await until(() => asked.length > 1);
  t.same(asked, [
    'systemctl reboot --message=kk restarts this node',
    'systemctl reboot --message=kk restarts this node',
  ]);
  t.same(again.outcomes(), {});
});

t.test('when it is needed', async (t) => {
  const said: Record<string, { code: number; stderr?: string }> = {};
  const node = systemNode(t.testdir(), () => ({
    'needs-restarting': () => said['needs-restarting'] ?? { code: 0 },
    zypper: () => said['zypper'] ?? { code: 0 },
  }));
  const host = {
    ...realHost(),
    run: (async ([name]) => ({ stdout: '', stderr: '', code: 0, ...said[name] })) as Host['run'],
  };
  const why = () => rebootNeeded(host, node.root);
  node.write('proc/sys/kernel/osrelease', '6.1.0-1\n');
  mkdirSync(join(node.root, 'lib/modules/6.1.0-1'), { recursive: true });
  t.equal(await why(), undefined);
  t.match(await node.do('reboot', { when_needed: true }), { changed: false, output: { rebooted: false } });
  mkdirSync(join(node.root, 'lib/modules/6.1.0-2'));
  t.equal(await why(), undefined, 'an older one may have been kept on purpose');
  node.write('proc/sys/kernel/osrelease', '6.1.0-0\n');
  t.match(await why(), /6\.1\.0-0, was replaced/);
  node.write('proc/sys/kernel/osrelease', '6.1.0-1\n');
  said['needs-restarting'] = { code: 1, stderr: 'no database' };
  t.equal(await why(), undefined, 'an error is no yes');
  said['needs-restarting'] = { code: 1 };
  t.match(await why(), /needs-restarting -r says so/);
  delete said['needs-restarting'];
  said['zypper'] = { code: 102 };
  t.match(await why(), /zypper/);
  node.write('run/reboot-required', '');
  t.match(await why(), /reboot-required/);
});

t.test('a node that refuses, and one that is back but not well', async (t) => {
  const dir = t.testdir();
  const refuse: Host['run'] = async ([name]) => ({ code: 1, stdout: '', stderr: `${name} says no` });
  let now = 0;
  const host = { ...realHost(), run: refuse, bootTimeMs: () => (now += 20_000) };
  const executor = rebootExecutor('');
  const input = (more: object) => ACTIONS.reboot.input.parse(more);
  t.match(await failure(executor.apply(input({}), contextWith(host, dir))), {
    code: 'REBOOT_REFUSED',
    evidence: /systemctl: systemctl says no\n[\s\S]*shutdown: shutdown says no/,
  });
  const back = contextWith(host, dir, { recovering: { bootId: 'old' } });
  const test = input({ test: 'systemctl is-active x', timeout_seconds: 10 });
  t.match(await failure(executor.apply(test, back)), { code: 'REBOOT_TEST_FAILED', evidence: /says no/ });
  const gone = contextWith(host, dir, {
    recovering: { bootId: 'old' },
    signal: AbortSignal.abort(new Error('cancelled')),
  });
  t.match(await failure(executor.apply(input({ test: 'x' }), gone)), { message: /cancelled/ });
  t.same(ACTIONS.reboot.shorthand?.(null), {});
  t.same(ACTIONS.reboot.shorthand?.('new kernel'), { reason: 'new kernel' });
});
