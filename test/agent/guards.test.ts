import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { covers } from '../../agent/actions/firewall-ports.ts';
import type { Host, RunOutput } from '../../agent/host/host.ts';
import { ACTIONS } from '../../shared/actions/index.ts';
import { realHost } from '../support/real-host.ts';
import { failure, Node } from '../support/undo-node.ts';

/** Side by side, so firewalld lists them as one. */
const ETCD = ['2379/tcp', '2380/tcp'];
const ETCD_RANGE = '2379-2380/tcp';

/** A machine whose firewalls are lists; its systemd has their units. */
function guarded(dir: string, present: readonly string[]) {
  const units = new Map(
    ['ufw', 'firewalld', 'nftables'].map((name) => [
      name,
      { running: present.includes(name), enabled: present.includes(name) },
    ]),
  );
  const lists = {
    now: new Set(['22/tcp']),
    permanent: new Set(['22/tcp']),
    ufw: new Set(['22/tcp']),
    limited: new Set<string>(),
  };
  let policy = '-P INPUT ACCEPT\n';
  const conf = join(dir, 'root/etc/ufw/ufw.conf');
  const ok = (stdout = ''): RunOutput => ({ code: 0, stdout, stderr: '' });
  const no = (stderr: string): RunOutput => ({ code: 1, stdout: '', stderr });
  const isUfwOn = (): boolean =>
    units.get('ufw')?.running === true && readFileSync(conf, 'utf8').includes('ENABLED=yes');
  const systemctl = (argv: readonly string[]): RunOutput => {
    const name = (argv.at(-1) ?? '').replace('.service', '');
    const unit = units.get(name);
    const verb = argv[1] ?? '';
    if (verb === 'show') {
      const on = unit?.running === true ? 'active' : 'inactive';
      return ok(
        `LoadState=loaded\nActiveState=${on}\nUnitFileState=${unit?.enabled === true ? 'enabled' : 'disabled'}\n`,
      );
    }
    if (unit === undefined) return ok();
    if (verb === 'stop' || verb === 'start' || verb === 'restart') unit.running = verb !== 'stop';
    if (verb === 'enable' || verb === 'disable') unit.enabled = verb === 'enable';
    return ok();
  };
  const cmd = (argv: readonly string[]): RunOutput => {
    if (units.get('firewalld')?.running !== true) return { code: 252, stdout: 'not running\n', stderr: '' };
    if (argv.includes('--state')) return ok('running\n');
    if (argv.includes('--get-default-zone')) return ok('public\n');
    const list = argv.includes('--permanent') ? lists.permanent : lists.now;
    const [, verb, port = ''] = /^--(add|remove)-port=(.*)$/.exec(argv.at(-1) ?? '') ?? [];
    if (verb === 'add') list.add(port);
    else if (verb === 'remove' && !list.delete(port) && list.delete(ETCD_RANGE)) {
      for (const one of ETCD) if (one !== port) list.add(one);
    } else if (verb === undefined) return ok(`${[...list].join(' ')}\n`);
    // A port within an opened range becomes one with it.
    if (verb === 'add') for (const one of [...list]) if (one !== port && covers(port, one)) list.delete(one);
    if (ETCD.every((one) => list.has(one))) {
      for (const one of ETCD) list.delete(one);
      list.add(ETCD_RANGE);
    }
    return ok('success\n');
  };
  const ufw = (argv: readonly string[]): RunOutput => {
    const [, verb, rule = '', last = ''] = argv;
    if (verb === 'status') return ok(`Status: ${isUfwOn() ? 'active' : 'inactive'}\n`);
    if (verb === 'show') {
      const allowed = [...lists.ufw].map((one) => `ufw allow ${one}\n`).join('');
      return ok(`Added user rules:\n${allowed}${[...lists.limited].map((one) => `ufw limit ${one}\n`).join('')}`);
    }
    // A rule for the same port takes the place of the one before.
    if (verb === 'allow' || verb === 'limit') {
      lists.limited.delete(rule);
      lists.ufw.delete(rule);
      (verb === 'allow' ? lists.ufw : lists.limited).add(rule);
    } else if (verb === 'delete') lists.ufw.delete(last);
    return ok();
  };
  const host: Host = {
    ...realHost(),
    run: async (argv) => {
      if (argv[0] === 'systemctl') return systemctl(argv);
      if (argv[0] === 'firewall-cmd') return cmd(argv);
      if (argv[0] === 'ufw')
        return present.includes('ufw') ? ufw(argv) : { code: 127, stdout: '', stderr: 'ufw: not found' };
      if (argv[0] === 'iptables') return ok(policy);
      return no(`no ${argv[0]} here`);
    },
  };
  mkdirSync(dirname(conf), { recursive: true });
  if (present.includes('ufw')) writeFileSync(conf, 'LOGLEVEL=low\nENABLED=yes\n');
  return {
    node: new Node(dir, host),
    units,
    lists,
    conf,
    drop: () => {
      policy = '-P INPUT DROP\n';
    },
  };
}

t.test('firewall: off, once; and as it was with the rollback', async (t) => {
  const { node, units, conf } = guarded(t.testdir(), ['ufw', 'nftables']);
  const done = await node.do('r1', 'firewall', { state: 'off' }, 'x');
  t.same(done.output, {
    active: ['ufw', 'nftables'],
    done: ['ufw stopped and disabled', 'nftables stopped and disabled'],
  });
  t.match(done.diffs[0], { before: /ufw active enabled\nnftables active enabled/, after: /ufw inactive disabled/ });
  t.same(units.get('ufw'), { running: false, enabled: false });
  t.equal(readFileSync(conf, 'utf8'), 'LOGLEVEL=low\nENABLED=no\n');
  t.match(await node.do('r2', 'firewall', { state: 'off' }, 'x'), { changed: false, output: { active: [] } });
  await node.undo('r1', 'x');
  t.same(
    [...units.values()].map(({ running }) => running),
    [true, false, true],
  );
  t.equal(readFileSync(conf, 'utf8'), 'LOGLEVEL=low\nENABLED=yes\n');
});

t.test('firewall: ports of firewalld and of ufw, and closed again', async (t) => {
  const redHat = guarded(t.testdir({ a: {} }), ['firewalld']);
  const ports = { ports: ['6443/tcp', '30000-32767/tcp', '22/tcp'] };
  redHat.lists.permanent.add('6443/tcp');
  const opened = await redHat.node.do('r1', 'firewall', ports, 'x');
  t.same(opened.output, {
    active: ['firewalld'],
    done: ['6443/tcp opened in public', '30000-32767/tcp opened in public'],
  });
  t.same([...redHat.lists.now], ['22/tcp', '6443/tcp', '30000-32767/tcp']);
  t.match(await redHat.node.do('r2', 'firewall', ports, 'x'), { changed: false });
  await redHat.node.undo('r1', 'x');
  t.same(
    [[...redHat.lists.now], [...redHat.lists.permanent]],
    [['22/tcp'], ['22/tcp', '6443/tcp']],
    'what was kept before stays',
  );
  await redHat.node.do('r3', 'firewall', ports, 'x');
  await redHat.node.do('r4', 'firewall', { state: 'off' }, 'y');
  t.match((await redHat.node.undo('r3', 'x')).output, { restored: [] }, 'one that is off has no ports to close');
  t.match(await redHat.node.do('r5', 'firewall', ports, 'x'), { changed: false, output: { active: [] } });
  redHat.drop();
  t.match(await failure(redHat.node.do('r5', 'firewall', ports, 'x')), {
    code: 'FIREWALL_UNKNOWN',
    evidence: '-P INPUT DROP',
  });

  const etcd = guarded(t.testdir({ c: {} }), ['firewalld']);
  await etcd.node.do('r1', 'firewall', { ports: ETCD }, 'x');
  t.same([...etcd.lists.now], ['22/tcp', ETCD_RANGE]);
  t.match(await etcd.node.do('r2', 'firewall', { ports: ETCD }, 'x'), { changed: false });
  await etcd.node.undo('r1', 'x');
  t.same([...etcd.lists.now], ['22/tcp']);
  t.notOk(covers(ETCD_RANGE, '2380-2381/tcp') || covers(ETCD_RANGE, '2380/udp') || covers('', '1/tcp'));

  const ubuntu = guarded(t.testdir({ b: {} }), ['ufw']);
  ubuntu.lists.ufw.add("9/tcp comment 'of a person'");
  t.match(await ubuntu.node.do('r0', 'firewall', { ports: ['9/tcp'] }, 'x'), { changed: false });
  ubuntu.lists.ufw.delete("9/tcp comment 'of a person'");
  await ubuntu.node.do('r1', 'firewall', ports, 'x');
  t.same([...ubuntu.lists.ufw], ['22/tcp', '6443/tcp', '30000:32767/tcp']);
  t.match(await ubuntu.node.do('r2', 'firewall', ports, 'x'), { changed: false });
  await ubuntu.node.undo('r1', 'x');
  t.same([...ubuntu.lists.ufw], ['22/tcp']);

  // What a person had opened of it, or otherwise, is as it was.
  ubuntu.lists.limited.add('2222/tcp');
  await ubuntu.node.do('r3', 'firewall', { ports: ['2222/tcp'] }, 'x');
  t.same([[...ubuntu.lists.ufw], [...ubuntu.lists.limited]], [['22/tcp', '2222/tcp'], []]);
  await ubuntu.node.undo('r3', 'x');
  t.same(
    [[...ubuntu.lists.ufw], [...ubuntu.lists.limited]],
    [['22/tcp'], ['2222/tcp']],
    'its people are not locked out',
  );
  const { node: shared, lists } = guarded(t.testdir({ d: {} }), ['firewalld']);
  lists.now.add('30080/tcp');
  lists.permanent.add('30080/tcp').add('32000-33000/tcp');
  const before = [...lists.now, ...lists.permanent].sort();
  await shared.do('r1', 'firewall', { ports: ['30000-32767/tcp'] }, 'x');
  t.same([...lists.now], ['22/tcp', '30000-32767/tcp'], 'one with the range');
  await shared.undo('r1', 'x');
  t.same([...lists.now, ...lists.permanent].sort(), before);
  const refuses = (input: object, why: RegExp) =>
    t.match(ACTIONS.firewall.input.safeParse(input).error?.message, why, JSON.stringify(input));
  refuses({}, /exactly one/);
  refuses({ ports: ['6443'] }, /not a port/);
  refuses({ ports: ['70000/tcp'] }, /1 to 65535/);
  refuses({ ports: ['9-1/tcp'] }, /lower one first/);
});

/** A machine with SELinux in a folder; `mode`: of its kernel, undefined without it. */
function withSelinux(dir: string, mode: '0' | '1' | undefined, config: string | undefined) {
  const enforce = join(dir, 'root/sys/fs/selinux/enforce');
  const file = join(dir, 'root/etc/selinux/config');
  for (const path of [enforce, file]) mkdirSync(dirname(path), { recursive: true });
  if (mode !== undefined) writeFileSync(enforce, mode);
  if (config !== undefined) writeFileSync(file, config);
  const node = new Node(dir, realHost());
  const now = () => readFileSync(enforce, 'utf8');
  return { node, now, text: () => readFileSync(file, 'utf8') };
}

t.test('selinux: now and at boot, told where only a reboot helps, and back', async (t) => {
  const config = '# SELINUX= can take one of three\nSELINUX=enforcing\nSELINUXTYPE=targeted\n';
  const { node, now, text } = withSelinux(t.testdir({ a: {} }), '1', config);
  const done = await node.do('r1', 'selinux', { mode: 'permissive' }, 'x');
  t.same(done.output, { now: 'permissive', boot: 'permissive', reboot: false });
  t.same([now(), text()], ['0', config.replace('=enforcing', '=permissive')]);
  t.match(await node.do('r2', 'selinux', { mode: 'permissive' }, 'x'), { changed: false });
  await node.undo('r1', 'x');
  t.same([now(), text()], ['1', config]);
  const off = await node.do('r3', 'selinux', { mode: 'disabled' }, 'x');
  t.same(off.output, { now: 'permissive', boot: 'disabled', reboot: true });
  t.match(await node.do('r4', 'selinux', { mode: 'disabled' }, 'x'), { changed: false, output: { reboot: true } });
  await node.undo('r3', 'x');
  t.same([now(), text()], ['1', config]);

  const booted = withSelinux(t.testdir({ b: {} }), undefined, 'SELINUX=disabled\n');
  t.match((await booted.node.do('r1', 'selinux', { mode: 'enforcing' }, 'x')).output, {
    now: 'disabled',
    boot: 'enforcing',
    reboot: true,
  });
  const none = withSelinux(t.testdir({ c: {} }), undefined, undefined);
  for (const mode of ['permissive', 'disabled'])
    t.match(await none.node.do('r1', 'selinux', { mode }, 'x'), { changed: false, output: { reboot: false } }, mode);
  t.match(await failure(none.node.do('r1', 'selinux', { mode: 'enforcing' }, 'x')), { code: 'SELINUX_MISSING' });
});
