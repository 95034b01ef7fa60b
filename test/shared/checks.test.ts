import t from 'tap';
import { judge, RULES } from '../../shared/checks/index.ts';
import { stops } from '../../shared/checks/outcome.ts';
import { trouble } from '../../shared/checks/troubles.ts';
import { atLeast } from '../../shared/checks/versions.ts';
import type { Json } from '../../shared/share.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

type Case = [what: string, facts: Json, params: Record<string, Json>, outcome: string, says: RegExp];

/** Every verdict as a person gets it: also that whoever did not pass is told what to do, and who passed is not. */
function table(rule: string, cases: Case[]): void {
  t.test(rule, async (t) => {
    for (const [what, facts, params, outcome, says] of cases) {
      const verdict = judge(rule, { rule, with: params, facts });
      t.equal(verdict.outcome, outcome, `${what}: ${verdict.message}`);
      t.match(verdict.message, says, what);
      t.equal(verdict.check, rule);
      t.equal(verdict.remedy === '', outcome === 'pass', `${what}: remedy "${verdict.remedy}"`);
      t.equal(stops(verdict.outcome), outcome === 'fail' || outcome === 'error');
    }
  });
}

const hostname = (name: string, outcome: string, says: RegExp): Case => [
  name,
  { hostname: name },
  { inventory_name: 'node1', maximum_length: 63, refused: ['localhost'] },
  outcome,
  says,
];
table('hostname', [
  hostname('node1', 'pass', /"node1" is a valid/),
  hostname('node1.example.com', 'pass', /valid/),
  hostname('node10', 'warn', /is "node10", the inventory calls the node "node1"/),
  hostname('node2.example.com', 'warn', /inventory/),
  hostname('localhost', 'fail', /other machines/),
  hostname('Node1', 'fail', /"Node1" is not a lower-case/),
  hostname('node_1', 'fail', /RFC 1123/),
  hostname('-node1', 'fail', /RFC 1123/),
  hostname('node1-', 'fail', /RFC 1123/),
  hostname('node1..example', 'fail', /"" is not made of/),
  hostname('n'.repeat(63), 'warn', /inventory/),
  hostname('n'.repeat(64), 'fail', /64 characters, at most 63/),
  hostname('', 'error', /could not be read/),
]);

const os = (id: string, version: string, outcome: string, says: RegExp, allow = false): Case => [
  `${id} ${version}`,
  { os: { id, version, id_like: ['debian'], name: '' } },
  { supported: { ubuntu: '20.04', debian: '10', kylin: 'V10', arch: '' }, allow_unsupported: allow },
  outcome,
  says,
];
table('distribution', [
  os('ubuntu', '20.04', 'pass', /ubuntu 20.04 is supported/),
  os('ubuntu', '22.04', 'pass', /supported/),
  os('ubuntu', '18.04', 'fail', /too old; ubuntu 20.04 or later/),
  os('ubuntu', '18.04', 'warn', /too old/, true),
  os('debian', '9', 'fail', /too old/),
  os('debian', '12', 'pass', /supported/),
  os('debian', '', 'warn', /states no version/),
  os('kylin', 'V10', 'pass', /supported/),
  os('kylin', 'V4', 'fail', /too old/),
  os('arch', '', 'pass', /supported/),
  os('mint', '21', 'fail', /\(ID mint\) is not supported; supported are arch, debian, kylin, ubuntu/),
  os('mint', '21', 'warn', /not supported/, true),
  os('constructor', '1', 'fail', /not supported/),
  os('', '', 'error', /could not be read/),
]);

table('architecture', [
  ['listed', { architecture: 'arm64' }, { supported: ['amd64', 'arm64'] }, 'pass', /arm64/],
  ['other', { architecture: 's390x' }, { supported: ['amd64', 'arm64'] }, 'fail', /s390x; supported are amd64, arm64/],
  ['unknown', { architecture: '' }, { supported: ['amd64'] }, 'error', /could not be found out/],
]);

const floors = {
  all: { fail_below: 900, warn_below: 900 },
  control_plane: { fail_below: 1700, warn_below: 3500 },
  etcd: { fail_below: 1000, warn_below: 4000 },
};
const memory = (bytes: number, groups: string[], outcome: string, says: RegExp): Case => [
  `${bytes} ${groups}`,
  { memory: { total: bytes, available: 0 } },
  { groups, minimum_mib: floors },
  outcome,
  says,
];
table('memory', [
  memory(
    1700 * MIB - 1,
    ['control_plane'],
    'fail',
    /^1,699 MiB of memory, wanted at least 1,700 MiB \(control_plane\)/,
  ),
  memory(1700 * MIB, ['control_plane'], 'warn', /wanted at least 3,500 MiB \(control_plane\)/),
  memory(3500 * MIB, ['control_plane'], 'pass', /3,500 MiB/),
  // both groups count, each with its own highest floor
  memory(3500 * MIB, ['control_plane', 'etcd'], 'warn', /4,000 MiB \(etcd\)/),
  memory(1200 * MIB, ['etcd', 'control_plane'], 'fail', /1,700 MiB \(control_plane\)/),
  memory(900 * MIB, ['worker'], 'pass', /900 MiB \(all\)/),
  memory(899 * MIB, [], 'fail', /\(all\)/),
  // a count of kB taken for one of MiB would pass
  memory(11 * 1024, ['worker'], 'fail', /0 MiB/),
  memory(0, ['worker'], 'error', /could not be read/),
]);

const cpus = (count: number, outcome: string, says: RegExp): Case => [
  `${count} CPUs`,
  { cpu: { count, model: 'x' } },
  { groups: ['control_plane'], minimum: { control_plane: { fail_below: 2, warn_below: 4 } } },
  outcome,
  says,
];
table('cpu_count', [
  cpus(1, 'fail', /^1 CPU, wanted at least 2 \(control_plane\)/),
  cpus(2, 'warn', /^2 CPUs, wanted at least 4/),
  cpus(4, 'pass', /^4 CPUs/),
  cpus(0, 'error', /could not be counted/),
]);

const kernel = (release: string, outcome: string, says: RegExp): Case => [
  release,
  { kernel: { release, version: '' } },
  { fail_below: '4.9.17', warn_below: '4.19' },
  outcome,
  says,
];
table('kernel', [
  kernel('3.10.0-1160.el7.x86_64', 'fail', /3.10.0-1160.el7.x86_64, wanted at least 4.9.17/),
  kernel('4.9.16-foo', 'fail', /wanted/),
  kernel('4.9.17', 'warn', /4.19 or later is advised/),
  // as numbers: 4.18 is older than 4.19, 4.9 is older than 4.18
  kernel('4.18.0-513.el8.x86_64', 'warn', /advised/),
  kernel('4.19.0', 'pass', /4.19/),
  kernel('4.19', 'pass', /4.19/),
  kernel('10.0.0', 'pass', /10.0.0/),
  kernel('', 'error', /no version number/),
]);

const swapOn = { swap: { total: 2048 * MIB, devices: ['/dev/sda2', '/swap file'] } };
table('swap', [
  ['off', { swap: { total: 0, devices: [] } }, { in_use: 'fail' }, 'pass', /swap is off/],
  ['on', swapOn, { in_use: 'fail' }, 'fail', /swap is on: 2,048 MiB in \/dev\/sda2, \/swap file/],
  ['on, warned', swapOn, { in_use: 'warn' }, 'warn', /on/],
  ['on, allowed', swapOn, { in_use: 'pass' }, 'pass', /as the plan allows/],
]);

const eth = {
  name: 'eth0',
  mac: '',
  mtu: 1500,
  up: true,
  speed_mbps: 1000,
  addresses: ['10.0.0.11/24', 'fd00::11/64'],
};
const nic = (what: string, address: string, change: object, outcome: string, says: RegExp): Case => [
  what,
  {
    interfaces: [
      { ...eth, name: 'lo', addresses: ['127.0.0.1/8'] },
      { ...eth, ...change },
    ],
  } as Json,
  {
    address,
    mtu: { fail_below: 1280, warn_below: 1400 },
    speed_mbps: { fail_below: 100, warn_below: 1000 },
  },
  outcome,
  says,
];
const { speed_mbps: _, ...silent } = eth;
table('nic', [
  nic('there', '10.0.0.11', {}, 'pass', /eth0 has 10.0.0.11: MTU 1500, 1000 Mb\/s/),
  nic(
    'not a part of another address',
    '10.0.0.1',
    {},
    'fail',
    /no interface has the address 10.0.0.1; .*10.0.0.11\/24 \(eth0\)/,
  ),
  nic('IPv6 in another spelling', 'FD00:0:0::0011', {}, 'pass', /eth0/),
  nic('IPv6 not there', 'fd00::1', {}, 'fail', /no interface/),
  nic('down', '10.0.0.11', { up: false }, 'fail', /down/),
  nic('MTU at the floor', '10.0.0.11', { mtu: 1280 }, 'warn', /at least 1400 is advised/),
  nic('MTU below it', '10.0.0.11', { mtu: 1279 }, 'fail', /at least 1280/),
  nic('MTU of 1400', '10.0.0.11', { mtu: 1400 }, 'pass', /1400/),
  nic('slow', '10.0.0.11', { speed_mbps: 100 }, 'warn', /100 Mb\/s; at least 1000/),
  nic('too slow', '10.0.0.11', { speed_mbps: 10 }, 'fail', /wanted at least 100 Mb\/s/),
  nic('not an address', 'node1', {}, 'error', /"node1" is not an IP address/),
  nic('inet_aton is no address', '10.1', {}, 'error', /not an IP address/),
  [
    'a virtual one states no speed',
    { interfaces: [silent] },
    nic('', '10.0.0.11', {}, '', /./)[2],
    'pass',
    /speed not stated/,
  ],
  ['nothing known', { interfaces: [] }, nic('', '10.0.0.11', {}, '', /./)[2], 'error', /could not be read/],
]);

const space = (var_: number, usr: number): Json => ({
  paths: [
    { path: '/var/lib/containerd', mount: '/var', device: '/dev/sdb1', total: 100 * GIB, available: var_ },
    { path: '/var/lib/etcd', mount: '/var', device: '/dev/sdb1', total: 100 * GIB, available: var_ },
    { path: '/usr/local', mount: '/', device: '/dev/sda1', total: 100 * GIB, available: usr },
  ],
});
const room = {
  groups: ['etcd'],
  minimum_gib: {
    all: { '/var/lib/containerd': { fail_below: 5, warn_below: 20 }, '/usr/local': { fail_below: 1, warn_below: 1 } },
    etcd: {
      '/var/lib/etcd': { fail_below: 2, warn_below: 8 },
      '/var/lib/containerd': { fail_below: 1, warn_below: 1 },
    },
  },
};
table('free_disk', [
  [
    'floors of one file system add up',
    space(7 * GIB - 1, GIB),
    room,
    'fail',
    /^\/var has 6.9 GiB free, wanted 7.0 GiB for \/var\/lib\/containerd, \/var\/lib\/etcd$/,
  ],
  ['at the floor', space(7 * GIB, GIB), room, 'warn', /^\/var has 7.0 GiB free, wanted 28.0 GiB/],
  ['enough', space(28 * GIB, GIB), room, 'pass', /wanted 28.0 GiB.*; \/ has 1.0 GiB free/],
  [
    'another file system',
    space(28 * GIB, GIB - 1),
    room,
    'fail',
    /^\/ has 0.9 GiB free, wanted 1.0 GiB for \/usr\/local$/,
  ],
  ['without etcd', space(20 * GIB, GIB), { ...room, groups: [] }, 'pass', /20.0 GiB/],
  ['a path that df could not ask', { paths: [] }, room, 'error', /\/var\/lib\/containerd could not be found out/],
]);

const fio = (p99: number, change: object = {}): Json =>
  ({
    directory: '/var/lib/etcd',
    serving: false,
    // p90 within the limit: KubeKey looked there
    fio: {
      jobs: [
        { error: 0, sync: { lat_ns: { N: 10029, percentile: { '90.000000': 1e6, '99.000000': p99 } } }, ...change },
      ],
    },
  }) as Json;
const limits = { data_dir: '/var/lib/etcd', warn_from_ms: 10, fail_from_ms: 50 };
table('etcd_disk', [
  [
    'fast',
    fio(9_999_999),
    limits,
    'pass',
    /p99 of fdatasync in \/var\/lib\/etcd is 9.99 ms over 10029 writes, wanted below 10 ms/,
  ],
  ['at 10 ms', fio(10_000_000), limits, 'warn', /10.00 ms/],
  ['just below failing', fio(49_999_999), limits, 'warn', /49.99 ms/],
  ['at 50 ms', fio(50_000_000), limits, 'fail', /fails from 50 ms/],
  ['no sync latency (fio 3.1)', fio(1, { sync: {} }), limits, 'error', /no p99 of sync latency/],
  ['no samples', fio(1, { sync: { lat_ns: { N: 0, percentile: { '99.000000': 0 } } } }), limits, 'error', /no p99/],
  ['fio had an error', fio(1, { error: 28 }), limits, 'error', /no p99/],
  ['never measured', { directory: '/var/lib/etcd', serving: false }, limits, 'error', /no p99/],
  ['etcd serves already', { directory: '/var/lib/etcd', serving: true }, limits, 'pass', /not measured/],
]);

t.test('what cannot be judged is an error with a remedy, never a pass', async (t) => {
  const good = { rule: 'swap', with: { in_use: 'fail' }, facts: { swap: { total: 0, devices: [] } } };
  t.equal(judge('swap', good).outcome, 'pass');
  const cases: [string, string, unknown, RegExp, RegExp][] = [
    ['unknown rule', 'swop', { ...good, rule: 'swop' }, /no precheck rule "swop"/, /swap/],
    ['a name of the prototype', 'constructor', good, /no precheck rule/, /use one of/],
    ['no output', 'swap', undefined, /cannot be read/, /version/],
    ['garbage', 'swap', 'ok', /cannot be read/, /version/],
    ['the answer for another rule', 'swap', { ...good, rule: 'memory' }, /cannot be read/, /version/],
    ['a threshold missing', 'swap', { ...good, with: {} }, /in_use/, /precheck.swap/],
    ['a threshold misspelt', 'swap', { ...good, with: { in_use: 'fail', inuse: 1 } }, /inuse/, /precheck.swap/],
    ['facts missing', 'swap', { ...good, facts: {} }, /no facts that the rule swap can judge: swap/, /version/],
    [
      'facts of another shape',
      'swap',
      { ...good, facts: { swap: { total: 'much', devices: [] } } },
      /swap.total/,
      /version/,
    ],
    [
      'no fio',
      'swap',
      { ...good, trouble: trouble('FIO_MISSING', 'there is no fio') },
      /^FIO_MISSING: there is no fio/,
      /install fio/,
    ],
    ['a trouble of a newer agent', 'swap', { ...good, trouble: 'MOON_FULL: no' }, /MOON_FULL/, /agent’s log/],
    ['trouble without a code', 'swap', { ...good, trouble: 'oh' }, /oh/, /agent’s log/],
  ];
  for (const [what, rule, output, says, remedy] of cases) {
    const verdict = judge(rule, output);
    t.equal(verdict.outcome, 'error', what);
    t.match(verdict.message, says, what);
    t.match(verdict.remedy, remedy, what);
  }
});

t.test('every rule is filed under its own name and says what it is for', async (t) => {
  for (const [name, rule] of Object.entries(RULES)) {
    t.equal(rule.name, name);
    t.match(rule.summary, /^\S.+[^.]$/);
  }
});

t.test('versions are compared as numbers', async (t) => {
  t.equal(atLeast('20.10', '20.9'), true);
  t.equal(atLeast('9', '9.0'), true);
  t.equal(atLeast('9', '9.1'), false);
  t.equal(atLeast('v1.2-rc', '1.2'), true);
  t.equal(atLeast('sid', '1'), undefined);
});
