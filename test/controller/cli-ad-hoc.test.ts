/** Selecting nodes, and what is asked of them without a plan: exec and facts. */

import t from 'tap';
import { addressesOf } from '../../controller/operations/network.ts';
import { selectNodes } from '../../controller/operations/select-nodes.ts';
import type { Inventory } from '../../controller/plan/index.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import type { Facts } from '../../shared/facts.ts';
import type { Json } from '../../shared/share.ts';
import { desk, finished, jsonLines, lines } from '../support/cli-desk.ts';
import { certificateUntil, kubeconfig } from '../support/control-plane.ts';
import { fakeRun, graphOf, NOW } from '../support/fake-operations.ts';

const factsOf = (id: string, more: Partial<Facts> = {}): Facts => ({
  hostname: 'x',
  os: { id, id_like: [], version: '13', name: id },
  architecture: 'amd64',
  kernel: { release: '6.12.0', version: '#1' },
  cpu: { count: 4, model: 'M' },
  memory: { total: 8 * 2 ** 30, available: 2 ** 30 },
  swap: { total: 0, devices: [] },
  interfaces: [
    { name: 'lo', mac: '', mtu: 65536, up: true, addresses: ['127.0.0.1/8'] },
    { name: 'eth0', mac: 'aa', mtu: 1500, up: true, addresses: ['fe80::1/64', '10.0.0.7/24'] },
  ],
  filesystems: [{ mount: '/', device: '/dev/vda1', type: 'ext4', total: 2 ** 34, available: 2 ** 33 }],
  machine_id: 'm',
  boot_id: 'b',
  package_manager: 'apt',
  gathered: { at_ms: NOW, took_ms: 5 },
  ...more,
});

const NAMES = ['cp1', 'w1', 'w2', 'w10', 'db-east', 'db-west'];
const GROUPS: Record<string, string[]> = {
  all: NAMES,
  worker: ['w1', 'w2', 'w10'],
  etcd: ['cp1'],
  rack1: ['cp1', 'w1', 'db-east'],
  nfs: [],
};
const inventory: Inventory = {
  nodes: NAMES.map((name) => ({
    name,
    address: '10.0.0.1',
    ssh: undefined,
    vars: {},
    groups: Object.keys(GROUPS).filter((group) => GROUPS[group]?.includes(name)),
    at: { file: 'fleet', line: 0, column: 0 },
  })),
  groups: Object.fromEntries(
    Object.entries(GROUPS).map(([name, nodes]) => [name, { name, nodes, children: [], vars: {} }]),
  ),
  vars: {},
};
const told = new Map([
  ['cp1', factsOf('ubuntu')],
  ['w1', factsOf('debian')],
  ['w2', factsOf('debian', { system: { vendor: 'ACME', model: '9', virtual: false } })],
  ['db-east', factsOf('rocky')],
]);

t.test('a selector: either, both, without, by name, by facts; the order of its terms does not matter', (t) => {
  const select = (...selector: string[]) => selectNodes(inventory, selector, told);
  const nodes = (...selector: string[]) => select(...selector).nodes.join(' ');
  t.equal(nodes('all'), 'cp1 w1 w2 w10 db-east db-west');
  t.equal(nodes('worker,etcd'), 'cp1 w1 w2 w10', 'in inventory order');
  t.equal(nodes('w10:cp1'), 'cp1 w10');
  t.equal(nodes('worker:!w2'), 'w1 w10');
  t.equal(nodes('!w2,worker'), 'w1 w10');
  t.equal(nodes('worker', '!w2'), 'w1 w10', 'as several texts');
  t.equal(nodes('!worker'), 'cp1 db-east db-west', 'all but these');
  t.equal(nodes('rack1:&worker'), 'w1');
  t.equal(nodes('&rack1:!cp1'), 'w1 db-east');
  t.equal(nodes('w1*'), 'w1 w10');
  t.equal(nodes('db-*t:!*west'), 'db-east');
  t.equal(nodes('*b-*a*t'), 'db-east');
  t.equal(nodes('@facts.os.id == "debian"'), 'w1 w2');
  t.equal(nodes('@facts.os.id in ["debian", "ubuntu"] and "worker" in group_names'), 'w1 w2', 'to its end');
  t.equal(nodes('rack1:&@facts.os.id != "debian"'), 'cp1 db-east');
  t.equal(nodes('all:!@facts.os.id == "debian"'), 'cp1 w10 db-east db-west');
  t.equal(nodes('@(facts.system | default({})).vendor | default("") == "ACME"'), 'w2');
  t.strictSame(select('@facts.cpu.count > 2').withoutFacts, ['w10', 'db-west'], 'who is not judged is told');
  t.strictSame(select('worker').withoutFacts, []);

  const refused = (code: string, message: RegExp, remedy: RegExp, ...selector: string[]) =>
    t.throws(() => select(...selector), { code, message, report: { remedy } }, selector.join(' '));
  refused('SELECTOR_UNKNOWN', /no node and no group "wroker"/, /Did you mean "worker"\?/, 'wroker');
  refused('SELECTOR_UNKNOWN', /No node has a name like "x\*"/, /cp1, w1/, 'x*');
  refused('SELECTOR_EMPTY', /"nfs" selects no node/, /kk-controller nodes/, 'nfs');
  refused('SELECTOR_EMPTY', /no facts are known/, /kk-controller facts all/, '@facts.os.id == "suse"');
  refused('SELECTOR_EXPRESSION', /does not work: /, /@facts\.os\.id == "debian"/, '@facts.os.id ==');
  refused('SELECTOR_EXPRESSION', /on cp1: .*"ido"/, /default\(/, 'worker:@facts.os.ido == "x"');
  t.end();
});

const WIDE = {
  plan: 'wide.yaml',
  texts: {
    'wide.yaml': `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: wide}
spec:
  inventory:
    hosts: {${Array.from({ length: 12 }, (_, i) => `n${i + 1}: {address: 10.0.0.${i + 1}}`).join(', ')}}
  playbooks: [{name: site, plays: [{name: look, hosts: all, tasks: [{name: look, command: look}]}]}]
`,
  },
};
const wrote = (node: number, text: string, code = 0): RunEvent => ({
  kind: 'ended',
  at: NOW,
  node,
  task: 0,
  outcome: code === 0 ? 'ok' : 'failed',
  durationMs: 9,
  result: {
    changed: true,
    output: { code, stdout: { head: text, tail: '', bytes: text.length }, stderr: { head: '', tail: '', bytes: 0 } },
    ...(code === 0 ? {} : { error: { code: 'COMMAND_FAILED', message: `exit ${code}`, remedy: 'Look.' } }),
  },
});

t.test('exec on many nodes tells once what is alike, and what stands out last', async (t) => {
  const { run, operations } = await desk(t);
  const events = Array.from({ length: 12 }, (_, node) =>
    node === 4 ? wrote(node, 'boom\n', 7) : wrote(node, node === 9 ? '6.1\n' : '6.12\nok\n'),
  );
  operations.next = fakeRun('x1', graphOf(WIDE), [...events, finished('failed')]);
  const many = await run(['exec', 'all:!n99', '--forks', '4', '--', 'uname', '-r']);
  t.same(lines(many.out), [
    '10 nodes, exit 0: n1, n2, n3, n4, n6, n7, n8, n9, n11, n12',
    '  6.12',
    '  ok',
    '',
    '1 node, exit 0: n10',
    '  6.1',
    '',
    '1 node, exit 7: n5',
    '  boom',
  ]);
  t.equal(many.code, 3);
  t.match(operations.asked.pop(), { exec: { selector: ['all:!n99'], forks: 4, argv: ['uname', '-r'] } });
  const each = await run(['exec', 'all', '--no-group-by-output', '--', 'x']);
  t.match(each.out, /^n1 +\| 6\.12$/m);
  const json = await run(['exec', 'all', '--group-by-output', '-o', 'json', '--', 'x']);
  t.match(JSON.parse(json.out), { run: 'x1', groups: [{ result: 'exit 0', output: ['6.12', 'ok'] }, {}, {}] });
  t.match(jsonLines((await run(['exec', 'all', '-o', 'json', '--', 'x'])).out)[0], { type: 'run' });
  operations.withoutFacts = ['n7'];
  t.match((await run(['exec', '@facts.cpu.count > 2', '--', 'x'])).err, /^No facts are known of n7: .*facts all$/m);
  t.match(operations.asked.pop(), { exec: { selector: ['@facts.cpu.count > 2'] } }, 'whole, also with commas');
  t.match(await run(['exec', ' , ', '--', 'x']), { code: 1, err: /SELECTOR_EMPTY/ });
  t.match(await run(['exec', 'all', '--forks', '0', '--', 'x']), { code: 1, err: /whole number/ });
});

t.test('cp says what came to each node, what was there already, and what to do about a failure', async (t) => {
  const { run, operations } = await desk(t);
  const copied = (node: number, changed: boolean, output: Json, error?: string): RunEvent => ({
    ...{ kind: 'ended', at: NOW, node, task: 0, outcome: error === undefined ? 'ok' : 'failed', durationMs: 9 },
    result: {
      changed,
      output,
      ...(error === undefined ? {} : { error: { code: error, message: 'It did not go.', remedy: 'Make room.' } }),
    },
  });
  const three = { plan: 'a.yaml', texts: { 'a.yaml': WIDE.texts['wide.yaml'].replace(/, n4:.*?\}\}/, '}') } };
  const told = (...events: RunEvent[]): void => {
    operations.next = fakeRun('r1', graphOf(three), [...events, finished('done')]);
  };
  const mebibyte = { path: '/x', files: 2, bytes: 2 ** 20 };
  told(copied(0, true, mebibyte), copied(1, false, mebibyte), copied(2, false, null, 'NO_SPACE'));
  const mixed = await run(['cp', import.meta.filename, 'all:/x']);
  t.same(lines(mixed.out), [
    'n1  2 files, 1.0 MiB',
    'n2  2 files, 1.0 MiB, unchanged',
    'n3  NO_SPACE: It did not go',
    '    do: Make room.',
  ]);
  t.match(mixed.err, /^3 nodes, .*MiB\/s together$/m);
  told(copied(0, false, mebibyte), copied(1, false, mebibyte), copied(2, false, mebibyte));
  t.match((await run(['cp', import.meta.filename, 'all:/x'])).err, /^3 nodes, nothing to bring$/m);
  const fetched = { path: '/x', files: [], count: 3, bytes: 10 };
  told(copied(0, false, { ...fetched, brought: 1 }), copied(1, false, { ...fetched, brought: 0 }));
  t.same(lines((await run(['cp', 'all:/x', '.'])).out).slice(0, 2), [
    'n1  3 files, 10 bytes',
    'n2  3 files, 10 bytes, unchanged',
  ]);
});

t.test('a scan gives hosts of an inventory; who has joined is told as such', async (t) => {
  const { run, operations } = await desk(t);
  const open = [
    { address: '10.0.0.9', port: 22 },
    { address: '10.0.0.9', port: 6443 },
    { address: '10.0.0.1', port: 22 },
    { address: 'fd00::7', port: 22 },
  ];
  const ended = (output: Json): RunEvent => ({
    ...(wrote(0, '') as RunEvent & { kind: 'ended' }),
    result: { changed: false, output },
  });
  operations.next = fakeRun('s1', graphOf(WIDE), [ended({ open, took_ms: 3 }), finished('done')]);
  const found = await run([
    'inventory',
    'scan',
    '10.0.0.0/28',
    '--from',
    'cp1',
    '--port',
    '22,6443',
    '--timeout',
    '2s',
  ]);
  t.same(lines(found.out), [
    '# In 10.0.0.0/28, as cp1 sees it. Give the hosts better names.',
    'hosts:',
    '  host-10-0-0-9: { address: 10.0.0.9 }  # 22, 6443',
    '  # cp1: { address: 10.0.0.1 }  # 22, has joined',
    '  host-fd00-7: { address: "fd00::7" }  # 22',
  ]);
  const wish = { network: '10.0.0.0/28', ports: [22, 6443], timeoutSeconds: 2, from: 'cp1', by: 'ada' };
  t.same(operations.asked.pop(), { scan: wish });
  t.match(JSON.parse((await run(['inventory', 'scan', '10.0.0.0/28', '-o', 'json'])).out), {
    ...{ from: 'cp1', network: '10.0.0.0/28' },
    found: [{ address: '10.0.0.9', ports: [22, 6443] }, { node: 'cp1' }, {}],
  });
  t.match(operations.asked.pop(), { scan: { ports: [22], from: undefined } });
  t.match(await run(['inventory', 'scan', '10.0.0.0/28', '--port', '0']), { code: 1, err: /1 to 65535/ });

  t.same(addressesOf('10.0.0.5/30'), ['10.0.0.5', '10.0.0.6'], 'the hosts of the network');
  t.same(addressesOf('10.0.0.4/31'), ['10.0.0.4', '10.0.0.5']);
  t.same(addressesOf('10.0.0.4'), ['10.0.0.4']);
  t.same(addressesOf('fd00::ff/127'), ['fd00::fe', 'fd00::ff']);
  t.equal(addressesOf('10.1.0.0/20').length, 4094);
  for (const bad of ['10.0.0.0/19', '::/0', '10.0.0.0/33', 'web1', '10.0.0'])
    t.throws(() => addressesOf(bad), { code: 'SCAN_NETWORK' }, bad);
});

t.test('facts: asked anew or as they were told last; whole, as a table, or one part', async (t) => {
  const { run, operations } = await desk(t);
  const gathered = (node: number, facts: Facts): RunEvent => ({
    ...(wrote(node, '') as RunEvent & { kind: 'ended' }),
    result: { changed: false, output: { facts } as unknown as Json },
  });
  const failed = wrote(2, '', 1);
  operations.next = fakeRun('f1', graphOf(WIDE), [
    gathered(1, factsOf('rocky', { swap: { total: 2 ** 30, devices: ['/swap'] } })),
    gathered(0, factsOf('debian')),
    failed,
    finished('failed'),
  ]);
  const table = await run(['facts', 'n1,n2,n3']);
  t.same(lines(table.out), [
    'NODE  OS         KERNEL  ARCH   CPUS  MEMORY   SWAP     FREE ON /  ADDRESS   TOLD',
    'n1    debian 13  6.12.0  amd64  4     8.0 GiB  -        8.0 GiB    10.0.0.7  0ms',
    'n2    rocky 13   6.12.0  amd64  4     8.0 GiB  1.0 GiB  8.0 GiB    10.0.0.7  0ms',
  ]);
  t.match([table.code, table.err], [3, /COMMAND_FAILED.* n3/], 'who told nothing is named');
  t.match(operations.asked.pop(), { gatherFacts: { selector: ['n1,n2,n3'], by: 'ada' } });
  const json = JSON.parse((await run(['facts', 'all', '-o', 'json'])).out);
  t.match(json, [{ node: 'n1', facts: { os: { id: 'debian' } } }, { node: 'n2' }]);
  t.same(lines((await run(['facts', 'all', '--path', 'os.id', '--path', 'interfaces | length'])).out), [
    'NODE  OS.ID   INTERFACES | LENGTH',
    'n1    debian  2',
    'n2    rocky   2',
  ]);
  t.match(JSON.parse((await run(['facts', 'all', '--path', 'os.id', '-o', 'json'])).out), [
    { node: 'n1', values: { 'os.id': 'debian' } },
    {},
  ]);
  t.match(await run(['facts', 'all', '--path', 'os.ix']), { code: 1, err: /FACTS_PATH[\s\S]*os\.ix/ });
  t.match(await run(['facts', 'all', '--path', 'os..']), { code: 1, err: /FACTS_PATH/ });

  operations.known = [{ node: 'n1', at: '2030-01-01T11:00:00.000Z', facts: factsOf('debian') }, { node: 'n2' }];
  const known = await run(['facts', 'all', '--known']);
  t.match([known.code, known.out, known.err], [0, /^n1 .* 1h$/m, /No facts are known yet of n2\./]);
  t.match(operations.asked.pop(), { facts: ['all'] });
  operations.known = [{ node: 'n2' }];
  t.match(await run(['facts', 'n2', '--known']), { code: 1, err: /FACTS_UNKNOWN[\s\S]*Leave --known out/ });
});

t.test('certificates: each with its end and who renews it; what ends soon, and who told nothing', async (t) => {
  const { run, operations } = await desk(t);
  const certificate = (name: string, days: number, keeper: string) => ({
    name,
    path: `/etc/kubernetes/pki/${name}.crt`,
    subject: name,
    issuer: 'kubernetes',
    not_after_ms: NOW + days * 86_400_000,
    keeper,
  });
  const told = (node: number, certificates: unknown[], renewal?: unknown): RunEvent =>
    wrote(node, `${JSON.stringify({ certificates, ...(renewal ? { renewal } : {}) })}\n`);
  const renewal = { at_ms: NOW - 3_600_000, state: 'postponed', message: 'n9 is renewing its certificates' };
  const events = Array.from({ length: 12 }, (_, node) => {
    if (node === 0) return told(0, [certificate('apiserver', 20, 'timer'), certificate('ca', 3000, 'nobody')], renewal);
    return node === 1 ? wrote(1, 'kk-agent: not found\n', 127) : told(node, []);
  });
  operations.next = fakeRun('x2', graphOf(WIDE), [...events, finished('failed')]);
  const { out, err, code } = await run(['certs', 'check-expiration']);
  t.same(lines(out).slice(0, 4), [
    'NODE  NAME       ENDS                  LEFT   ISSUER      RENEWED BY',
    'n1    apiserver  2030-01-21T12:00:00Z  20d    kubernetes  timer',
    'n1    ca         2038-03-20T12:00:00Z  3000d  kubernetes  -',
    'n1: last looked 2030-01-01T11:00:00Z: postponed: n9 is renewing its certificates',
  ]);
  t.match(err, /n2 told nothing: exit 127/);
  t.equal(code, 3);
  t.match(operations.asked.pop(), { exec: { selector: ['all'], argv: ['kk-agent', 'certs', 'list', '-o', 'json'] } });

  const both = [certificate('apiserver', 20, 'timer'), certificate('kk-agent', 5, 'agent')];
  operations.next = fakeRun('x3', graphOf(WIDE), [told(0, both), finished('done')]);
  t.equal((await run(['certs', 'check-expiration', '--warn', '7d'])).code, 0, 'an agent’s lives for a week');
  t.equal((await run(['certs', 'check-expiration', '-o', 'json'])).code, 0);
  t.equal((await run(['certs', 'check-expiration', '--warn', '21d'])).code, 3, 'for a monitor');
  const json = await run(['certs', 'check-expiration', '-o', 'json']);
  t.match(JSON.parse(json.out), [{ node: 'n1', certificates: [{ name: 'apiserver', keeper: 'timer' }] }]);
});

t.test('a kubeconfig whose certificate ends soon is handed out with a word about it', async (t) => {
  const { run, operations } = await desk(t);
  operations.kept = kubeconfig(await certificateUntil(NOW + 31 * 86_400_000));
  t.match(await run(['kubeconfig']), { code: 0, out: operations.kept, err: /^$/ });
  for (const [days, word] of [
    [29, 'ends on 2030-01-30'],
    [-1, 'ended on 2029-12-31'],
  ] as const) {
    operations.kept = kubeconfig(await certificateUntil(NOW + days * 86_400_000));
    const { code, out, err } = await run(['kubeconfig']);
    t.same([code, out], [0, operations.kept]);
    t.match(err, new RegExp(`${word}.*certs renew`));
  }
});
