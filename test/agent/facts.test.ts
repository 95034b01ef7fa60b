import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { arch } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseCgroups } from '../../agent/facts/cgroups.ts';
import { parseCpuinfo } from '../../agent/facts/cpu.ts';
import { readReport } from '../../agent/facts/disk-latency.ts';
import { parseDf } from '../../agent/facts/filesystems.ts';
import { gatherFacts, gatherForRule } from '../../agent/facts/index.ts';
import { gatherInterfaces } from '../../agent/facts/interfaces.ts';
import { architectureOf } from '../../agent/facts/kernel.ts';
import { parseListening } from '../../agent/facts/listening.ts';
import { parseMeminfo, parseSwaps } from '../../agent/facts/memory.ts';
import { parseMounts } from '../../agent/facts/mounts.ts';
import { parseOsRelease } from '../../agent/facts/os-release.ts';
import { parsePackages } from '../../agent/facts/packages.ts';
import { parseRoutes, parseRoutesV6 } from '../../agent/facts/routes.ts';
import type { Host, RunOutput } from '../../agent/host/host.ts';
import { createHost } from '../../agent/host/index.ts';
import { judge } from '../../shared/checks/index.ts';
import { KkError } from '../../shared/errors.ts';
import { Facts } from '../../shared/facts.ts';
import type { Json } from '../../shared/share.ts';

const host = createHost({ wrapper: { argv: ['/bin/false'] } });
const sh = (line: string): string => execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8' }).trim();

/** This machine with some files and programs answered otherwise; an Error is thrown. */
function hostWith(change: {
  files?: Record<string, string | Error>;
  run?: (argv: readonly string[]) => RunOutput | Error | undefined;
}): Host {
  return {
    ...host,
    files: {
      ...host.files,
      read: async (path) => {
        const answer = change.files?.[path];
        if (answer instanceof Error) throw answer;
        return answer === undefined ? await host.files.read(path) : Buffer.from(answer);
      },
    },
    run: async (argv, options) => {
      const answer = change.run?.(argv);
      if (answer instanceof Error) throw answer;
      return answer ?? (await host.run(argv, options));
    },
  };
}

t.test('the facts of this machine are what its own programs say', async (t) => {
  await gatherFacts(host); // the first one loads systeminformation
  const before = process.cpuUsage();
  const facts = await gatherFacts(host);
  const { user, system } = process.cpuUsage(before);
  // the time on the clock would measure what else this machine does
  t.ok(user + system < 300_000, `gathering took ${user + system} µs of the processor`);
  t.ok(Facts.safeParse(facts).success);
  t.notOk(facts.missing, 'nothing is missing');
  t.equal(facts.hostname, sh('uname -n'));
  t.equal(facts.os.id, sh('. /etc/os-release; echo "$ID"'));
  t.equal(facts.os.version, sh('. /etc/os-release; echo "$VERSION_ID"'));
  t.equal(facts.os.name, sh('. /etc/os-release; echo "$PRETTY_NAME"'));
  t.equal(facts.kernel.release, sh('uname -r'));
  t.equal(facts.kernel.version, sh('uname -v'));
  t.equal(facts.architecture, { x64: 'amd64', arm64: 'arm64' }[arch() as string]);
  t.equal(facts.cpu.count, Number(sh('getconf _NPROCESSORS_ONLN')));
  t.equal(facts.memory.total, Number(sh("free -b | awk '/^Mem:/ {print $2}'")));
  t.equal(facts.swap.total, Number(sh("free -b | awk '/^Swap:/ {print $2}'")));
  t.equal(facts.boot_id, sh('cat /proc/sys/kernel/random/boot_id'));

  type Link = { ifname: string; mtu: number; address: string; addr_info: { local: string; prefixlen: number }[] };
  const links: Link[] = JSON.parse(sh('ip -j addr'));
  t.same(facts.interfaces.map(({ name }) => name).sort(), links.map(({ ifname }) => ifname).sort());
  for (const link of links) {
    const mine = facts.interfaces.find(({ name }) => name === link.ifname);
    t.equal(mine?.mtu, link.mtu);
    t.equal(mine?.mac, link.address);
    if (mine?.up !== true) continue;
    t.same(mine.addresses.toSorted(), link.addr_info.map((a) => `${a.local}/${a.prefixlen}`).sort(), link.ifname);
  }

  const root = facts.filesystems.find(({ mount }) => mount === '/');
  t.equal(root?.total, Number(sh('stat -f -c "%b %S" / | awk \'{printf "%.0f", $1 * $2}\'')));
});

t.test('an agent that stood still longer than a gatherer may take has lost nothing by that', async (t) => {
  const still = hostWith({
    run: (argv) => {
      if (argv[0] === 'df') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2600);
      return undefined;
    },
  });
  t.notOk((await gatherFacts(still, 2000)).missing);
});

t.test('a part that fails or is odd costs only itself', async (t) => {
  const broken = hostWith({
    files: { '/proc/meminfo': 'nothing of use', '/proc/swaps': new Error('EIO'), '/etc/machine-id': 'uninitialized\n' },
    run: (argv) => (argv[0] === 'df' ? new Error('df hangs') : undefined),
  });
  const facts = await gatherFacts(broken);
  t.ok(Facts.safeParse(facts).success);
  t.same(facts.missing, ['filesystems', 'machine_id', 'memory', 'swap']);
  t.equal(facts.kernel.release, sh('uname -r'));
  t.same(facts.filesystems, []);

  // what could not be read must not look like "swap is off"
  const context = { host: broken, signal: new AbortController().signal, facts: async () => facts };
  const swap = await gatherForRule('swap', {}, context);
  t.match(swap.trouble, /^FACTS_MISSING: .*swap/);
  t.equal(judge('swap', { rule: 'swap', with: { in_use: 'fail' }, ...swap }).outcome, 'error');
  const kernel = await gatherForRule('kernel', {}, context);
  t.same(kernel, { facts: { kernel: facts.kernel } }, 'only what the rule reads travels');
  t.match((await gatherForRule('swop', {}, context)).trouble, /^RULE_UNKNOWN: /);
  t.match((await gatherForRule('etcd_disk', { data_dir: 'var' }, context)).trouble, /^PARAMS_INVALID: /);
  t.match((await gatherForRule('free_disk', {}, context)).trouble, /^PARAMS_INVALID: /);
});

t.test('what was added later: disks, mounts, routes, ports, packages', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const facts = await gatherFacts(host);
  t.match(
    facts.listening?.find((one) => one.port === port),
    { protocol: 'tcp', address: '127.0.0.1', pid: process.pid },
  );
  const route = sh('ip -4 route show default | head -1').split(' ');
  const mine = facts.routes?.find(({ destination }) => destination === '0.0.0.0/0');
  t.same([mine?.gateway, mine?.interface], [route[2], route[4]]);
  t.ok(facts.mounts?.some(({ mount, options }) => mount === '/' && options.includes('rw')));
  t.same(
    facts.disks?.map(({ name, size }) => `${name} ${size}`),
    sh('lsblk -bdno NAME,SIZE -e 1,7,253 | tr -s " "').split('\n'),
  );
  t.equal(facts.virtualization?.machine, sh('systemd-detect-virt --vm || true'));
  if (facts.package_manager === 'apt') t.equal(facts.packages?.['curl'], sh("dpkg-query -W -f '${Version}' curl"));
  const { time_sync, packages, listening, routes, disks, mounts, dmi, virtualization, cgroups, selinux, ...old } =
    facts;
  t.ok(Facts.safeParse(old).success, 'an older agent is understood');

  const inet =
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\nens3\t00000000\t0102000A\t0003\t0\t0\t100\t00000000\t0\nens3\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n*\t0000FEA9\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\n';
  t.same(parseRoutes(inet), [
    { destination: '0.0.0.0/0', gateway: '10.0.2.1', interface: 'ens3', metric: 100 },
    { destination: '10.0.2.0/24', interface: 'ens3', metric: 0 },
  ]);
  const zero = '0'.repeat(32);
  const inet6 = `fd000000000000000000000000000000 40 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001 ens3\n${zero} 00 ${zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 ens3\nfd000000000000000000000000000002 80 ${zero} 00 ${zero} 00000000 00000002 00000000 80000001 ens3\nff000000000000000000000000000000 08 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001 ens3\n`;
  t.same(parseRoutesV6(inet6), [
    { destination: 'fd00::/64', interface: 'ens3', metric: 256 },
    { destination: '::/0', gateway: 'fe80::1', interface: 'ens3', metric: 1024 },
  ]);
  const table =
    '/dev/sda1 /mnt/my\\040disk ext4 rw,noatime 0 0\nproc /proc proc rw 0 0\nnas:/x /srv nfs4 ro,vers=4.2 0 0\noverlay /var/lib/x overlay rw 0 0\n';
  t.same(parseMounts(table), [
    { mount: '/mnt/my disk', device: '/dev/sda1', type: 'ext4', options: ['rw', 'noatime'] },
    { mount: '/srv', device: 'nas:/x', type: 'nfs4', options: ['ro', 'vers=4.2'] },
  ]);
  const ss =
    'Netid State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\nudp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=9,fd=13))\ntcp LISTEN 0 128 [::]:22 [::]:*\ntcp LISTEN 0 128 *:6443 *:* users:(("kube-apiserver",pid=77,fd=3),("x",pid=78,fd=3))\n';
  t.same(parseListening(ss), [
    { protocol: 'udp', address: '127.0.0.53%lo', port: 53, process: 'systemd-resolve', pid: 9 },
    { protocol: 'tcp', address: '::', port: 22 },
    { protocol: 'tcp', address: '::', port: 6443, process: 'kube-apiserver', pid: 77 },
  ]);
  t.same(parsePackages('installed\tb\t2\nconfig-files\tc\t1\ninstalled\ta\t1:1\npackage x is not installed\n'), {
    a: '1:1',
    b: '2',
  });
  t.same(parseCgroups('#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t2\t1\nmemory\t0\t1\t0\n'), ['cpu']);
});

t.test('texts of other machines', async (t) => {
  const os = parseOsRelease(
    '# c\nID="rocky"\nID_LIKE=\'rhel  centos\'\r\nVERSION_ID=9.3 \nNAME="A \\"B\\" \\$C"\nX\n=1\n',
  );
  t.same(Object.fromEntries(os), { ID: 'rocky', ID_LIKE: 'rhel  centos', VERSION_ID: '9.3', NAME: 'A "B" $C' });

  const arm = 'processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\nprocessor\t: 1\n';
  t.same(parseCpuinfo(arm), { count: 2, model: 'implementer 0x41 part 0xd0c' });
  t.throws(() => parseCpuinfo('vendor_id : IBM/S390\n'));

  t.same(parseMeminfo('MemTotal:  2000 kB\nMemFree: 100 kB\nBuffers: 10 kB\nCached: 50 kB\nSwapCached: 7 kB\n'), {
    total: 2000 * 1024,
    available: 160 * 1024,
  });
  const swaps =
    'Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 1024 0 100\n/my\\040swap\tfile\t2048\t0\t-2\n';
  t.same(parseSwaps(swaps), { total: 3 * 1024 * 1024, devices: ['/dev/zram0', '/my swap'] });
  t.same(parseSwaps(''), { total: 0, devices: [] });

  const df = [
    'Filesystem     Type  1024-blocks  Used Available Capacity Mounted on',
    '//srv/my share cifs 100 40 60 40% /mnt/my disk',
    'overlay overlay 10 20 -10 100% /',
    'none foo - - - - /proc',
  ];
  t.same(parseDf(df.join('\n')), [
    { mount: '/mnt/my disk', device: '//srv/my share', type: 'cifs', total: 102400, available: 61440 },
    { mount: '/', device: 'overlay', type: 'overlay', total: 10240, available: 0 },
  ]);
  t.same(['x86_64', 'aarch64', 'riscv64'].map(architectureOf), ['amd64', 'arm64', 'riscv64']);
});

t.test('interfaces of other machines', async (t) => {
  const sys: Record<string, string | Error> = {};
  const add = (name: string, files: Record<string, string | Error>): void => {
    for (const [file, text] of Object.entries(files)) sys[`/sys/class/net/${name}/${file}`] = text;
  };
  add('bond0', {
    mtu: '9000\n',
    address: 'aa:bb\n',
    operstate: 'up\n',
    flags: '0x1003\n',
    speed: '10000\n',
    duplex: 'full\n',
  });
  add('eth1', {
    mtu: '1500',
    operstate: 'down',
    flags: '0x1002',
    speed: new Error('EINVAL'),
    duplex: new Error('EINVAL'),
  });
  add('eth2', { mtu: '1500', operstate: 'up', flags: '0x1003', speed: '4294967295', duplex: 'unknown' });
  add('tun0', { mtu: '1420', operstate: 'unknown', flags: '0x10d1', speed: '-1' });
  const fake = hostWith({ files: sys });
  const names = {
    ...fake,
    files: { ...fake.files, list: async () => ['bond0', 'bonding_masters', 'eth1', 'eth2', 'tun0'] },
  };
  const address = (cidr: string) =>
    ({ address: '', netmask: '', family: 'IPv4', mac: '', internal: false, cidr }) as const;
  const found = await gatherInterfaces(names, {
    bond0: [address('10.0.0.11/24')],
    'bond0:1': [address('10.0.0.12/24')],
  });
  t.same(found, [
    {
      name: 'bond0',
      mac: 'aa:bb',
      mtu: 9000,
      up: true,
      speed_mbps: 10000,
      duplex: 'full',
      addresses: ['10.0.0.11/24', '10.0.0.12/24'],
    },
    { name: 'eth1', mac: '', mtu: 1500, up: false, addresses: [] },
    { name: 'eth2', mac: '', mtu: 1500, up: true, addresses: [] },
    { name: 'tun0', mac: '', mtu: 1420, up: true, addresses: [] },
  ]);
});

t.test('free space is that of the file system where the path will be', async (t) => {
  const minimum = { '/proc/nothing': 0, '/usr/local/not/there/yet': 1 };
  const floors = Object.entries(minimum).map(([path, fail_below]) => [path, { fail_below, warn_below: 0 }]);
  const params = { groups: [], minimum_gib: { all: Object.fromEntries(floors) as Json } };
  const context = { host, signal: new AbortController().signal, facts: () => gatherFacts(host) };
  const found = (await gatherForRule('free_disk', params, context)).facts as {
    paths: { path: string; mount: string }[];
  };
  const mount = sh('findmnt -n -o TARGET -T /usr/local');
  t.match(
    found.paths.find(({ path }) => path === '/usr/local/not/there/yet'),
    { mount },
  );
});

const limits = { warn_from_ms: 100_000, fail_from_ms: 100_000 };

t.test('the disk probe', async (t) => {
  const base = t.testdir({});
  const probe = (dir: string, on: Host = host, signal = new AbortController().signal) =>
    gatherForRule('etcd_disk', { data_dir: dir, ...limits }, { host: on, signal, facts: () => gatherFacts(on) });
  const verdict = (dir: string, gathered: Awaited<ReturnType<typeof probe>>) =>
    judge('etcd_disk', { rule: 'etcd_disk', with: { data_dir: dir, ...limits }, ...gathered });

  t.test('measures with fio itself, in a directory that was absent and is absent again', async (t) => {
    const dir = join(base, 'not/there');
    const gathered = await probe(dir);
    t.notOk(gathered.trouble);
    const judged = verdict(dir, gathered);
    t.equal(judged.outcome, 'pass', judged.message);
    t.match(
      judged.message,
      /^p99 of fdatasync in .* over [1-9]\d+ writes/,
      'all of 22 MiB, or what 10 s were enough for',
    );
    t.match(judged.evidence, {
      fio: {
        'fio version': /^fio-3/,
        jobs: [{ 'job options': { fdatasync: '1', bs: '2300', size: '22m', rw: 'write', ioengine: 'sync' } }],
      },
    });
    t.ok(JSON.stringify(judged.evidence).length < 5000, 'small enough to travel');
    t.same(await readdir(base), [], 'nothing is left');
  });

  t.test('never touches what was there, and takes away what a killed probe left', async (t) => {
    const dir = t.testdir({
      member: { wal: 'precious' },
      '.kk-fio-0123456789ab': { 'kk-etcd.0.0': 'x' },
      '.kk-fio-mine': 'not ours',
    });
    const gathered = await probe(
      dir,
      hostWith({
        run: (argv) => (argv.includes('--size=22m') ? { code: 1, stdout: '', stderr: 'fio: no space' } : undefined),
      }),
    );
    t.match(gathered.trouble, /^FIO_FAILED: fio in .* ended with 1 .*: fio: no space/);
    t.same((await readdir(dir)).sort(), ['.kk-fio-mine', 'member']);
    t.equal(await readFile(join(dir, 'member/wal'), 'utf8'), 'precious');
  });

  t.test('a cancelled probe stops fio and leaves nothing', async (t) => {
    const dir = join(base, 'cancelled');
    const cancel = new AbortController();
    const begun = hostWith({
      run: (argv) => {
        // once fio writes: its file is there
        if (argv.includes('--size=22m')) void waitForFile(dir).then(() => cancel.abort(new Error('cancelled')));
        return undefined;
      },
    });
    const gathered = await probe(dir, begun, cancel.signal);
    t.match(gathered.trouble, /^CANCELLED: /);
    t.ok(await isGone(dir), 'fio is dead, its worker too');
    t.same(await readdir(base), []);
    t.equal(verdict(dir, gathered).outcome, 'error');
  });

  t.test('says why it could not measure', async (t) => {
    const dir = join(base, 'x');
    const says = async (
      answer: (argv: readonly string[]) => RunOutput | Error | undefined,
      wanted: RegExp,
    ): Promise<void> => {
      const gathered = await probe(dir, hostWith({ run: answer }));
      t.match(gathered.trouble, wanted);
      t.match(verdict(dir, gathered), { outcome: 'error', remedy: /\S/ });
      t.same(await readdir(base), []);
    };
    await says((argv) => (argv[0] === 'fio' ? { code: 127, stdout: '', stderr: '' } : undefined), /^FIO_MISSING: /);
    const full = '/dev/a ext4 100000 90000 65535 99% /';
    await says(
      (argv) => (argv[0] === 'df' ? { code: 0, stdout: full, stderr: '' } : undefined),
      /^DISK_FULL: \/ has 63 MiB free, the test in .* needs 64 MiB/,
    );
    const hangs = new KkError({ code: 'COMMAND_TIMEOUT', message: 'fio did not end within 120 s', remedy: 'x' });
    await says((argv) => (argv.includes('--size=22m') ? hangs : undefined), /^FIO_FAILED: .*120 s/);
    await says(
      (argv) => (argv.includes('--size=22m') ? { code: 0, stdout: 'hm', stderr: '' } : undefined),
      /^FIO_FAILED: .*hm/,
    );
  });

  t.test('a path that is no directory', async (t) => {
    await writeFile(join(base, 'file'), 'kept');
    const gathered = await probe(join(base, 'file'));
    t.match(gathered.trouble, /^DIRECTORY_UNUSABLE: /);
    t.equal(await readFile(join(base, 'file'), 'utf8'), 'kept');
    await rm(join(base, 'file'));
  });

  t.test('a member that serves is left in peace; the rest of an old one is not taken for it', async (t) => {
    const dir = join(base, 'member-here');
    await mkdir(join(dir, 'member'), { recursive: true });
    const noFio = (argv: readonly string[]) => (argv[0] === 'fio' ? { code: 127, stdout: '', stderr: '' } : undefined);
    const serving = hostWith({ files: { [`/proc/${process.pid}/comm`]: 'etcd\n' }, run: noFio });
    t.same(await probe(dir, serving), { facts: { directory: dir, serving: true } });
    t.match((await probe(dir, hostWith({ run: noFio }))).trouble, /^FIO_MISSING/);
    await rm(dir, { recursive: true });
  });
});

t.test('reports of other fio versions', async (t) => {
  const report = {
    'fio version': 'fio-3.7',
    'global options': { rw: 'write' },
    jobs: [{ error: 0, sync: { N: 1 }, read: { big: 1 } }],
    disk_util: [1],
  };
  const kept = { 'fio version': 'fio-3.7', 'global options': { rw: 'write' }, jobs: [{ error: 0, sync: { N: 1 } }] };
  t.same(readReport(`fio: this note comes first\n${JSON.stringify(report)}\n`), kept);
  for (const text of ['', 'note', '{"jobs": []}', '{"jobs"', '[]']) t.equal(readReport(text), undefined, text);
});

/** Resolves when fio's file is below `dir`. */
async function waitForFile(dir: string): Promise<void> {
  const has = async (): Promise<boolean> =>
    (await readdir(dir, { recursive: true }).catch(() => [])).some((name) => name.endsWith('.0'));
  while (!(await has())) await new Promise((resolve) => setImmediate(resolve));
}

/** No process works in `dir` any more, within less time than fio would need to end by itself. */
async function isGone(dir: string): Promise<boolean> {
  const until = performance.now() + 1000;
  const works = (): boolean => sh('readlink /proc/[0-9]*/cwd || true').includes(dir);
  while (works() && performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
  return !works();
}
