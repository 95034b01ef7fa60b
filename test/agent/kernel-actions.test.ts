import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
