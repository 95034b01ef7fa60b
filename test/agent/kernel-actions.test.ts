import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { Host } from '../../agent/host/host.ts';
import { ACTIONS } from '../../shared/actions/index.ts';
import { sysctlPath } from '../../shared/actions/sysctl.ts';
import { realHost } from '../support/real-host.ts';
import { failure, Node } from '../support/undo-node.ts';

type SetValue = Host['files']['setKernelValue'];

/** A node whose kernel is a folder. `set`: what its kernel does with a value; by default it takes it. */
function nodeIn(dir: string, set?: SetValue) {
  const real = realHost();
  const node = new Node(dir, { ...real, files: { ...real.files, setKernelValue: set ?? real.files.setKernelValue } });
  const file = join(dir, '99-kk.conf');
  let run = 0;
  const fileOf = (path: string) => join(dir, 'root/proc/sys', path);
  return {
    node,
    file,
    boot(values: Record<string, string>) {
      for (const [path, value] of Object.entries(values)) {
        mkdirSync(dirname(fileOf(path)), { recursive: true });
        writeFileSync(fileOf(path), `${value}\n`);
      }
    },
    now: (path: string) => readFileSync(fileOf(path), 'utf8').trim(),
    unload: (path: string) => rmSync(fileOf(path)),
    lock: (path: string) => chmodSync(fileOf(path), 0o444),
    sysctl: (input: object) => node.do(`r${++run}`, 'sysctl', { file, ...input }, 'x'),
    undo: () => node.undo(`r${run}`, 'x'),
    get text() {
      return readFileSync(file, 'utf8');
    },
  };
}

t.test('a key is written with dots or slashes, and is never a path out of /proc/sys', (t) => {
  const paths: Record<string, string | undefined> = {
    'net.ipv4.ip_forward': 'net/ipv4/ip_forward',
    'net/ipv4/ip_forward': 'net/ipv4/ip_forward',
    'net.ipv4.conf.eth0/100.forwarding': 'net/ipv4/conf/eth0.100/forwarding',
    'net/ipv4/conf/eth0.100/forwarding': 'net/ipv4/conf/eth0.100/forwarding',
    'net/../../etc/passwd': undefined,
    'net.//.//.etc/passwd': undefined,
    'net./.x': undefined,
    single: undefined,
    'net..x': undefined,
  };
  for (const [key, path] of Object.entries(paths)) t.equal(sysctlPath(key), path, key);
  const refuses = (input: object, why: RegExp) =>
    t.match(ACTIONS.sysctl.input.safeParse(input).error?.message, why, JSON.stringify(input));
  refuses({}, /exactly one of name and values/);
  refuses({ name: 'a.b' }, /value belongs to name/);
  refuses({ name: 'a.b', value: 1, state: 'absent' }, /value belongs to name/);
  refuses({ name: 'net/../x', value: 1 }, /not the key/);
  refuses({ name: 'net.*.x', value: 1 }, /not the key/);
  refuses({ name: 'a.b', value: '1\nkernel.panic = 1' }, /one line/);
  refuses({ values: { 'a.b': 1, 'a/b': 2 } }, /twice/);
  refuses({ name: 'a.b', value: 1, persist: false, reload: false }, /nothing would be done/);
  refuses({ name: 'a.b', state: 'absent', persist: false }, /nothing would be done/);
  t.end();
});

t.test('sysctl: the running kernel and the file are set, once; both are brought back', async (t) => {
  const node = nodeIn(t.testdir());
  const before = { 'net/ipv4/ip_forward': '0', 'net/ipv4/tcp_rmem': '4096\t131072\t6291456', 'kernel/panic': '10' };
  node.boot(before);
  writeFileSync(node.file, '# ours\nnet/ipv4/ip_forward=0\r\n-kernel.panic = 1\nkernel.panic=5\nvm.swappiness = 1\n');
  const old = node.text;
  const input = {
    values: { 'net.ipv4.ip_forward': 1, 'net/ipv4/tcp_rmem': '4096 131072   6291456', 'kernel.panic': 10 },
  };
  const done = await node.sysctl(input);
  t.match(done.output, {
    values: { 'net.ipv4.ip_forward': '1', 'net.ipv4.tcp_rmem': '4096 131072 6291456' },
    missing: [],
  });
  t.match(
    done.diffs.map(({ path, after }) => [path.split('/').at(-1), after]),
    [
      ['ip_forward', '1\n'],
      ['99-kk.conf', /tcp_rmem/],
    ],
    'what is so already is not set, however it is spaced',
  );
  t.equal(node.now('net/ipv4/ip_forward'), '1');
  t.equal(
    node.text,
    '# ours\nnet.ipv4.ip_forward = 1\r\n-kernel.panic = 1\nkernel.panic = 10\nvm.swappiness = 1\nnet.ipv4.tcp_rmem = 4096 131072 6291456\n',
  );
  t.match(await node.sysctl(input), { changed: false, output: done.output });
  t.match((await node.node.undo('r1', 'x')).output.restored, [`file ${node.file}`, 'sysctl net.ipv4.ip_forward']);
  t.equal(node.now('net/ipv4/ip_forward'), '0');
  t.equal(node.text, old);

  await node.sysctl({ name: 'net.ipv4.ip_forward', value: 1, persist: false });
  t.same([node.now('net/ipv4/ip_forward'), node.text], ['1', old], 'only now');
  node.boot({ 'net/ipv4/ip_forward': '2' });
  t.match(await failure(node.undo()), { code: 'UNDO_CONFLICT', message: /ip_forward: value is 2; the run left 1/ });
  await node.sysctl({ name: 'kernel.panic', value: 30, reload: false });
  t.same([node.now('kernel/panic'), /panic = 30/.test(node.text)], ['10', true], 'only at the next boot');
  await node.sysctl({ name: 'kernel/panic', state: 'absent' });
  t.notMatch(node.text, 'panic', 'all its lines are taken out');
  t.equal(node.now('kernel/panic'), '10');
  t.match(await node.sysctl({ name: 'kernel.panic', state: 'absent' }), { changed: false });
  await node.undo();
  t.match(await node.sysctl({ name: 'kernel.panic', state: 'absent', file: `${node.file}.none` }), { changed: false });
});

t.test('sysctl: a key that the kernel does not have', async (t) => {
  const node = nodeIn(t.testdir());
  node.boot({ 'net/ipv4/ip_forward': '0', 'net/ipv4/conf/all/rp_filter': '0' });
  const values = { 'net.bridge.bridge-nf-call-iptables': 1, 'net.ipv4.ip_forward': 1 };
  t.match(await failure(node.sysctl({ values })), { code: 'SYSCTL_UNKNOWN', message: /load the module br_netfilter/ });
  t.equal(node.now('net/ipv4/ip_forward'), '0', 'found out before anything is changed');
  t.notOk(existsSync(node.file));
  const unknown = async (name: string) => (await failure(node.sysctl({ name, value: 1 })))?.message;
  t.match(await unknown('net.ipv4.conf.eth0/100.rp_filter'), /interface eth0\.100\?/);
  t.match(await unknown('net.ipv4.vs.conntrack'), /ip_vs/);
  t.match(await unknown('net.netfilter.nf_conntrack_max'), /nf_conntrack/);
  t.match(await unknown('net.ipv4.tcp_tw_recycle'), /too old or too new/);
  t.match(await unknown('net.ipv4'), /no sysctl net\.ipv4/, 'a folder is no key');

  const done = await node.sysctl({ values, ignore_missing: true });
  t.match(done.output, {
    values: { 'net.ipv4.ip_forward': '1' },
    missing: ['net.bridge.bridge-nf-call-iptables'],
  });
  t.equal(node.text, '-net.bridge.bridge-nf-call-iptables = 1\nnet.ipv4.ip_forward = 1\n');
  t.match(await node.sysctl({ values, ignore_missing: true }), { changed: false });
  node.boot({ 'net/bridge/bridge-nf-call-iptables': '0' });
  node.boot({ 'net/core/rmem_max': '1' });
  node.lock('net/core/rmem_max');
  const shared = { values: { 'net.core.rmem_max': 2 }, ignore_missing: true };
  t.match(await node.sysctl(shared), { changed: true, output: { values: {}, missing: ['net.core.rmem_max'] } });
  t.match(node.text, '-net.core.rmem_max = 2\n');
  t.match(await node.sysctl(shared), { changed: false }, "what all containers of a host share is nobody's to set");
  t.equal(node.now('net/core/rmem_max'), '1');
  t.match(await node.sysctl({ values }), { changed: true, output: { missing: [] } });
  t.equal(node.now('net/bridge/bridge-nf-call-iptables'), '1');
  node.unload('net/bridge/bridge-nf-call-iptables');
  t.match((await node.undo()).output, { left: [/bridge-nf-call-iptables is left/] }, 'its module is gone');
});

t.test('sysctl: what the kernel does not take', async (t) => {
  const thrown = (code: string) => () => Promise.reject(Object.assign(new Error(`write ${code}`), { code }));
  const tries = async (set: SetValue, name = 'kernel.panic') => {
    const dir = t.testdir({ root: { proc: { sys: { kernel: { panic: '0\n' } } } } });
    const node = nodeIn(dir, set);
    const error = await failure(node.sysctl({ name, value: 99 }));
    t.notOk(existsSync(node.file), 'it is not kept for the next boot');
    return error;
  };
  t.match(await tries(thrown('EINVAL')), { code: 'SYSCTL_REFUSED', message: /refuses 99 for kernel\.panic/ });
  t.match(await tries(thrown('EROFS')), { code: 'SYSCTL_DENIED', remedy: /container/ });
  t.match(await tries(thrown('EACCES')), { code: 'SYSCTL_DENIED' });
  t.match(await tries(thrown('ENOENT')), { code: 'SYSCTL_UNKNOWN' });
  const rounds: SetValue = async (path) => writeFileSync(path, '128\n');
  t.match(await tries(rounds), { code: 'SYSCTL_NOT_TAKEN', message: /made 128 of 99/ });
});

/** A node whose kernel is a folder, with a modprobe and a rmmod that work on it and note what they were asked to do. */
function modulesIn(dir: string) {
  const root = join(dir, 'root');
  for (const folder of [
    'proc/sys/kernel',
    'sys/module',
    'lib/modules/6.1',
    'etc/modules-load.d',
    'etc/modprobe.d',
    'depends',
  ])
    mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, 'proc/sys/kernel/osrelease'), '6.1\n');
  writeFileSync(join(root, 'lib/modules/6.1/modules.builtin'), 'kernel/fs/ext4/ext4.ko\nkernel/net/built-in.ko\n');
  writeFileSync(join(root, 'proc/modules'), 'llc 16384 0 - Live 0x0\n');
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  const script = (name: string, text: string) =>
    writeFileSync(join(bin, name), `#!/bin/sh\ncd ${root}\n${text}`, { mode: 0o755 });
  script(
    'modprobe',
    `if [ "$1" = -D ]; then
  cat "depends/$3" 2>/dev/null || { echo "modprobe: FATAL: Module $3 not found in directory /lib/modules/6.1" >&2; exit 1; }
  exit 0
fi
echo "modprobe $*" >> calls
[ -e says ] && { cat says >&2; exit 1; }
sed -n 's,^insmod .*/\\([a-z0-9_-]*\\)\\.ko.*,\\1,p' "depends/$2" | tr - _ | while read -r name; do
  grep -q "^$name " proc/modules || echo "$name 16384 0 - Live 0x0" >> proc/modules
done
`,
  );
  script(
    'rmmod',
    `echo "rmmod $*" >> calls
[ -e "used_$1" ] && { echo "rmmod: ERROR: Module $1 is in use by: other" >&2; exit 1; }
sed -i "/^$1 /d" proc/modules
`,
  );
  const real = realHost();
  const PATH = `${bin}:/usr/bin:/bin`;
  const node = new Node(dir, { ...real, run: (argv, options) => real.run(argv, { ...options, env: { PATH } }) });
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write(
    'depends/bridge',
    'insmod /lib/modules/6.1/llc.ko\ninsmod /lib/modules/6.1/stp.ko \ninsmod /lib/modules/6.1/bridge.ko.zst \n',
  );
  let run = 0;
  return {
    root,
    bin,
    write,
    read: (path: string) => readFileSync(join(root, path), 'utf8'),
    list: () => readFileSync(join(root, 'proc/modules'), 'utf8').match(/^\S+/gm) ?? [],
    files: () => ['etc/modules-load.d', 'etc/modprobe.d'].flatMap((folder) => readdirSync(join(root, folder))),
    calls() {
      const text = existsSync(join(root, 'calls')) ? readFileSync(join(root, 'calls'), 'utf8') : '';
      write('calls', '');
      return text.split('\n').filter((line) => line !== '');
    },
    module: (input: object) => node.do(`r${++run}`, 'kernel_module', input, 'x'),
    undo: () => node.undo(`r${run}`, 'x'),
  };
}

t.test('kernel_module: loaded with what it needs and kept for the boot, once; all that is brought back', async (t) => {
  const node = modulesIn(t.testdir());
  const done = await node.module({ name: 'bridge' });
  t.match(done, { changed: true, output: { name: 'bridge', state: 'loaded' } });
  t.match(done.diffs, [
    { path: /proc\/modules$/, before: '', after: 'stp\nbridge\n' },
    { path: /modules-load\.d\/kk-bridge\.conf$/ },
  ]);
  t.same(node.calls(), ['modprobe -- bridge']);
  t.equal(node.read('etc/modules-load.d/kk-bridge.conf'), 'bridge\n');
  t.match(await node.module({ name: 'bridge' }), { changed: false, output: { state: 'loaded' } });
  t.same(node.calls(), []);
});

t.test('kernel_module: undone, what was there before stays', async (t) => {
  const node = modulesIn(t.testdir());
  await node.module({ name: 'bridge' });
  node.calls();
  t.match((await node.undo()).output.restored.slice(1), ['module bridge', 'module stp']);
  t.same(node.calls(), ['rmmod bridge', 'rmmod stp'], 'itself before what it needs');
  t.same([node.list(), node.files()], [['llc'], []]);

  await node.module({ name: 'bridge' });
  node.write('used_stp', '');
  t.match((await node.undo()).output.left, [/stp is left, because it is in use/]);
  t.same(node.list(), ['llc', 'stp']);
});

t.test('kernel_module: absent, and present again', async (t) => {
  const node = modulesIn(t.testdir());
  node.write('depends/my_mod', 'insmod /lib/modules/6.1/my-mod.ko a=1\n');
  const input = { name: 'my-mod', params: { a: 1, b: true } };
  await node.module(input);
  t.same(node.calls(), ['modprobe -- my_mod a=1 b=Y']);
  t.equal(node.read('etc/modprobe.d/kk-my_mod.conf'), 'options my_mod a=1 b=Y\n');
  node.write('sys/module/my_mod/parameters/a', '1\n');
  node.write('sys/module/my_mod/parameters/b', 'Y\n');
  t.match(await node.module({ ...input, params: { a: 1, b: 'on' }, persist: false }), { changed: false });
  t.match(await failure(node.module({ ...input, params: { a: 2 } })), {
    code: 'MODULE_PARAMS_DIFFER',
    message: /a is 1 and should be 2/,
  });
  rmSync(join(node.root, 'sys/module/my_mod'), { recursive: true });
  t.match(await node.module({ name: 'my_mod', state: 'absent' }), { changed: true, output: { state: 'absent' } });
  t.same([node.list(), node.files(), node.calls()], [['llc'], [], ['rmmod my_mod']]);
  t.match(await node.module({ name: 'my_mod', state: 'absent' }), { changed: false });
  await node.undo();
  await node.module({ name: 'llc', state: 'absent', persist: false });
  node.write('depends/llc', 'insmod /lib/modules/6.1/llc.ko\n');
  await node.undo();
  t.same(node.list(), ['llc'], 'what was loaded is loaded again');
  node.write('used_llc', '');
  t.match(await failure(node.module({ name: 'llc', state: 'absent' })), { code: 'MODULE_IN_USE' });
});

t.test("kernel_module: built in, or in nobody's hands", async (t) => {
  const node = modulesIn(t.testdir());
  for (const name of ['ext4', 'built_in', 'built-in'])
    t.match(await node.module({ name, persist: false }), { changed: false, output: { state: 'built-in' } }, name);
  node.write('sys/module/printk/parameters/time', 'Y\n');
  t.match(await node.module({ name: 'printk', persist: false }), { output: { state: 'built-in' } });
  const fails = async (input: object) => failure(node.module(input));
  t.match(await fails({ name: 'printk', params: { time: 0 } }), { code: 'MODULE_PARAMS_DIFFER', remedy: /printk\.</ });
  t.match(await fails({ name: 'ext4', state: 'absent' }), { code: 'MODULE_BUILT_IN' });
  t.match(await fails({ name: 'none' }), {
    code: 'MODULE_MISSING',
    message: /none for the kernel 6\.1/,
    evidence: /FATAL/,
  });
  t.match(await node.module({ name: 'none', ignore_missing: true }), { changed: false, output: { state: 'absent' } });
  t.same(node.files(), [], 'nor is it asked for at boot, which would fail');
  node.write('depends/old_name', 'insmod /lib/modules/6.1/new-name.ko\n');
  t.match(await fails({ name: 'old_name' }), { code: 'MODULE_IS_ALIAS', remedy: /new_name/ });
  node.write('depends/sctp', 'install /bin/true \n');
  t.match(await fails({ name: 'sctp' }), { code: 'MODULE_BLOCKED', remedy: /modprobe\.d/ });
  t.match(await fails({ name: 'old_name', ignore_missing: true }), { code: 'MODULE_IS_ALIAS' }, 'it is there');
  node.write('says', "modprobe: ERROR: could not insert 'bridge': Operation not permitted\n");
  t.match(await node.module({ name: 'bridge', ignore_missing: true }), { changed: false, output: { state: 'absent' } });
  t.same(node.files(), []);
  const says = async (text: string) => {
    node.write('says', `modprobe: ERROR: could not insert 'bridge': ${text}\n`);
    return fails({ name: 'bridge' });
  };
  t.match(await says('Operation not permitted'), { code: 'MODULE_DENIED', remedy: /container/ });
  t.match(await says('Key was rejected by service'), { code: 'MODULE_DENIED', remedy: /Secure Boot/ });
  t.match(await says('Exec format error'), { code: 'MODULE_FAILED', evidence: /Exec format/ });
  t.same([node.list(), node.files()], [['llc'], []], 'nothing is kept for the boot of what could not be loaded');
  rmSync(join(node.root, 'lib/modules/6.1'), { recursive: true });
  t.match(await fails({ name: 'none' }), { code: 'MODULE_MISSING', remedy: /reboot.*container/ });
  // Not taken away: where the machine has one of its own, that would be found.
  writeFileSync(join(node.bin, 'modprobe'), '#!/bin/sh\necho "modprobe: not found" >&2\nexit 127\n');
  t.match(await fails({ name: 'bridge' }), { code: 'MODULE_TOOLS_MISSING' });
});
