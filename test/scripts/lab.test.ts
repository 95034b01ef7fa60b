import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addressOf, chooseNet, labOf, nodeNumber, nodeOf, parseNet } from '../../scripts/lab/names.ts';

const INTERFACE_NAME_MAX = 15; // IFNAMSIZ less its final zero
const usage = { code: 'LAB_USAGE' };

t.test('what follows from a name fits the kernel and is no other lab’s', async (t) => {
  const long = nodeOf(labOf('abcdefgh'), 244);
  t.ok(long.cable.length <= INTERFACE_NAME_MAX, long.cable);
  t.ok(labOf('abcdefgh').bridge.length <= INTERFACE_NAME_MAX);
  const [demo, ci] = [nodeOf(labOf('demo'), 1), nodeOf(labOf('ci'), 1)];
  t.equal(demo.name, ci.name, 'nodes of two labs may have one host name');
  for (const key of ['dir', 'netns', 'cable', 'cgroup', 'machine'] as const) t.not(demo[key], ci[key], key);
  for (const bad of ['', 'Demo', '1st', 'a-b', 'abcdefghi', '../etc']) t.throws(() => labOf(bad), usage, `'${bad}'`);
});

t.test('a node is called by name or number, and its address follows', async (t) => {
  t.equal(nodeNumber('node2'), 2);
  t.equal(nodeNumber('2'), 2);
  t.equal(addressOf('10.77.5', nodeNumber('node1')), '10.77.5.11');
  t.equal(addressOf('10.77.5', nodeNumber('244')), '10.77.5.254');
  for (const bad of ['0', '245', 'node', 'node01', '-1', 'web']) t.throws(() => nodeNumber(bad), usage, bad);
});

t.test('a network is the same each time, and another one when it is taken', async (t) => {
  const free = chooseNet('demo', () => false);
  t.equal(
    chooseNet('demo', () => false),
    free,
  );
  t.match(free, /^10\.77\.\d{1,3}$/);
  const next = chooseNet('demo', (net) => net === free);
  t.not(next, free);
  t.match(next, /^10\.77\.\d{1,3}$/);
  t.throws(() => chooseNet('demo', () => true), { code: 'LAB_NO_NET' });
  t.equal(parseNet('10.88.1.0/24'), '10.88.1');
  for (const bad of ['10.88', '10.88.1.0/16', '10.88.256', 'lan']) t.throws(() => parseNet(bad), usage, bad);
});

t.test('the command line tells wrong use from failure, and touches nothing for either', async (t) => {
  const state = join(t.testdir(), 'labs');
  const lab = (...argv: string[]) => {
    const script = join(import.meta.dirname, '../../scripts/lab/lab.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...argv, '--state', state], {
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  };
  t.match(lab('ls', '-o', 'json'), { status: 0, stdout: '[]\n' });
  t.match(lab('up', 'many'), { status: 1, stderr: /LAB_USAGE[\s\S]*up 3/ });
  t.match(lab('cut', 'node1', '--name', 'nolab'), { status: 2, stderr: /LAB_NO_LAB[\s\S]*lab up 3/ });
  t.notOk(existsSync(state));
});
