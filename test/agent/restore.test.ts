import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LIMITS } from '../../agent/undo/store.ts';
import { fakeSystemd } from '../support/fake-systemd.ts';
import { realHost } from '../support/real-host.ts';
import { Node } from '../support/undo-node.ts';

const remembered = (node: Node): string[] =>
  readdirSync(join(node.state, 'undo')).filter((name) => name.endsWith('.json'));

t.test('what a role changed in several runs comes back; that of other roles, plays and people stays', async (t) => {
  const dir = t.testdir({ hosts: 'one\n', kept: 'mine', theirs: 'old' });
  const at = (name: string): string => join(dir, name);
  const node = new Node(dir);
  await node.do('r1', 'directory', { path: at('conf.d'), mode: '0700' }, 'os/os/folder');
  await node.do('r1', 'file', { path: at('conf.d/a'), content: 'a' }, 'os/os/file');
  await node.do('r1', 'block_in_file', { path: at('hosts'), name: 'k', block: 'two' }, 'os/os/hosts');
  await node.do('r1', 'file', { path: at('theirs'), content: 'kk' }, 'os/os/theirs');
  await node.do('r1', 'file', { path: at('kept'), content: 'kk' }, 'clean/delete/os/kept');
  await node.do('r1', 'file', { path: at('bridge'), content: 'kk' }, 'cni/cni/bridge/conf#2');
  // Again, with other settings, by another playbook: the folder is touched after what is in it.
  await node.do('r2', 'block_in_file', { path: at('hosts'), name: 'k', block: 'three' }, 'again/os/hosts');
  await node.do('r2', 'directory', { path: at('conf.d'), mode: '0755' }, 'again/os/folder');
  writeFileSync(at('theirs'), 'by hand');
  node.restart();

  const first = await node.do('d1', 'restore', { roles: ['os'] }, 'delete/delete/os/restore');
  t.same(first.output.restored, [`file ${at('hosts')}`, `file ${at('conf.d/a')}`, `directory ${at('conf.d')}`]);
  t.match(first.output.left, [new RegExp(`file ${at('theirs')}: content is not what the run left`)]);
  t.equal(first.changed, true);
  t.match(first.diffs.map(({ unified }) => unified).join(''), /-three/, 'what it does is shown');
  t.equal(readFileSync(at('hosts'), 'utf8'), 'one\n');
  t.notOk(existsSync(at('conf.d')));
  t.equal(readFileSync(at('theirs'), 'utf8'), 'by hand');
  t.equal(readFileSync(at('kept'), 'utf8'), 'kk', 'delete/os is another role than os');
  t.ok(existsSync(at('bridge')));

  const again = await node.do('d2', 'restore', { roles: ['os'] }, 'delete/delete/os/restore');
  t.match(again, { changed: false, output: { restored: [], left: [/theirs/] } }, 'asked for again, it is named again');
  writeFileSync(at('theirs'), 'kk');
  t.match(await node.do('d3', 'restore', { roles: ['os', 'cni/bridge'] }), {
    changed: true,
    output: { restored: [`file ${at('bridge')}`, `file ${at('theirs')}`], left: [] },
  });
  t.equal(readFileSync(at('theirs'), 'utf8'), 'old');
  t.equal(remembered(node).length, 1, 'only what the other role did is remembered');
  t.match(await node.do('d4', 'restore', { roles: ['os', 'cni/bridge'] }), { changed: false, output: { left: [] } });
});

t.test('what was put back by hand is forgotten, and a next cluster begins from what is there then', async (t) => {
  const dir = t.testdir({ a: 'first' });
  const path = join(dir, 'a');
  const node = new Node(dir);
  await node.do('r1', 'file', { path, content: 'kk' }, 'os/os/a');
  writeFileSync(path, 'first');
  t.match(await node.do('d1', 'restore', { roles: ['os'] }), { changed: false, output: { restored: [], left: [] } });
  t.same(remembered(node), []);
  writeFileSync(path, 'second');
  await node.do('r2', 'file', { path, content: 'kk' }, 'os/os/a');
  await node.do('d2', 'restore', { roles: ['os'] });
  t.equal(readFileSync(path, 'utf8'), 'second');
});

t.test('changes that are kept no more: the origin comes back, where it is the role that made them all', async (t) => {
  const dir = t.testdir({ own: 'origin', shared: 'origin', large: 'x'.repeat(3000) });
  const at = (name: string): string => join(dir, name);
  const node = new Node(dir, realHost(), { ...LIMITS, changes: 3 });
  await node.do('r0', 'file', { path: at('shared'), content: 'user' }, 'site/mine/a');
  for (const run of ['r1', 'r2', 'r3', 'r4', 'r5']) {
    await node.do(run, 'file', { path: at('own'), content: run }, 'os/os/a');
    await node.do(run, 'file', { path: at('shared'), content: run }, 'os/os/b');
  }
  const ended = await node.do('d1', 'restore', { roles: ['os'] });
  t.equal(readFileSync(at('own'), 'utf8'), 'origin');
  t.match(ended.output.left, [/shared: it is not kept how it was: it was changed too often since/]);
  t.equal(readFileSync(at('shared'), 'utf8'), 'r5');
});

t.test('one thing that cannot be brought back keeps nothing else from it', async (t) => {
  const dir = t.testdir({ b: 'old' });
  const at = (name: string): string => join(dir, name);
  const node = new Node(dir);
  mkdirSync(at('in'));
  await node.do('r1', 'file', { path: at('in/file'), content: 'kk' }, 'os/os/a');
  await node.do('r1', 'file', { path: at('b'), content: 'kk', mode: '0600' }, 'os/os/b');
  await node.do('r1', 'directory', { path: at('c') }, 'os/os/c');
  writeFileSync(at('c/theirs'), '');
  rmSync(at('in'), { recursive: true });
  writeFileSync(at('in'), 'no folder any more');
  const ended = await node.do('d1', 'restore', { roles: ['os'] });
  t.same(ended.output.restored, [`file ${at('b')}`]);
  t.equal(readFileSync(at('b'), 'utf8'), 'old');
  t.equal(statSync(at('b')).mode & 0o777, 0o644);
  t.match(ended.output.left.join('\n'), /c.*not empty/);
});

t.test('a unit goes whoever started or stopped it meanwhile; one whose file somebody has edited stays', async (t) => {
  const dir = t.testdir({ units: {} });
  const fake = fakeSystemd(realHost(), dir);
  const node = new Node(dir, fake.host);
  const file = join(dir, 'units/kubelet.service');
  await node.do('r1', 'systemd', { unit: 'kubelet', content: 'one', enabled: true }, 'b/kubernetes/binaries/unit');
  fake.set('active', 'active\n');
  await node.do('r2', 'systemd', { unit: 'kubelet', content: 'two', enabled: true }, 'b/kubernetes/binaries/unit');
  for (const name of ['active', 'enabled']) fake.set(name, name === 'active' ? 'inactive\n' : 'disabled\n');
  const roles = ['kubernetes/binaries'];
  writeFileSync(file, 'by hand');
  t.match(await node.do('d1', 'restore', { roles }), {
    changed: false,
    output: { left: [/kubelet.service: content/] },
  });
  writeFileSync(file, 'two');
  t.match(await node.do('d2', 'restore', { roles }), { changed: true, output: { restored: ['kubelet.service'] } });
  t.notOk(existsSync(file));
  t.same(remembered(node), []);

  await node.do('r3', 'systemd', { unit: 'kubelet', content: 'one', enabled: true }, 'b/kubernetes/binaries/unit');
  fake.set('active', 'active\n');
  fake.calls();
  await node.do('d3', 'restore', { roles });
  t.same(
    fake.calls(),
    ['stop -- kubelet.service', 'disable -- kubelet.service', 'daemon-reload'],
    'it runs: it is stopped',
  );
});

t.test('a unit that was there before runs with its own configuration again', async (t) => {
  const dir = t.testdir({ units: { 'haproxy.service': 'theirs' }, 'haproxy.cfg': 'theirs' });
  const fake = fakeSystemd(realHost(), dir);
  const node = new Node(dir, fake.host);
  const config = join(dir, 'haproxy.cfg');
  for (const name of ['active', 'enabled']) fake.set(name, `${name}\n`);
  await node.do('r1', 'file', { path: config, content: 'kk' }, 'b/endpoint/config');
  const unit = { unit: 'haproxy', enabled: true, state: 'started', inputs: [config], on_change: 'reload' } as const;
  await node.do('r1', 'systemd', unit, 'b/endpoint/service');
  fake.calls();
  t.match(await node.do('d1', 'restore', { roles: ['endpoint'] }), { changed: true, output: { left: [] } });
  t.equal(readFileSync(config, 'utf8'), 'theirs');
  t.same(fake.calls(), ['restart -- haproxy.service']);
  t.same(remembered(node), []);
});
