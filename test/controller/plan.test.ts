import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { compile } from '../../controller/compile/compile.ts';
import { loadSources, type ParseOptions, type Plan, parsePlan, planJsonSchema } from '../../controller/plan/index.ts';
import type { ErrorReport } from '../../shared/errors.ts';

const FIXTURES = 'test/fixtures/plans';

function planOf(parsed: ReturnType<typeof parsePlan>): Plan {
  if ('problems' in parsed) throw new Error(parsed.problems.map(line).join('\n'));
  return parsed.plan;
}

function problemsOf(parsed: ReturnType<typeof parsePlan>): ErrorReport[] {
  return 'problems' in parsed ? parsed.problems : [];
}

function line({ code, message, remedy, position }: ErrorReport): string {
  return `${position?.file}:${position?.line}:${position?.column} ${code} ${message} | ${remedy}`;
}

t.test('a good plan, with everything in it', async (t) => {
  const folder = `${FIXTURES}/good`;
  const plan = planOf(parsePlan(await loadSources(`${folder}/plan.yaml`)));

  t.equal(plan.name, 'lab');
  t.throws(() => Object.assign(plan.inventory.vars, { proxy: 'x' }), 'frozen to the bottom');
  const [cp1, cp2, w1] = plan.inventory.nodes;
  t.strictSame(cp1?.ssh, {
    host: 'cp1.example',
    port: 2222,
    user: 'admin',
    privateKeyFile: `${folder}/keys/id`,
    hostKeys: 'accept-new',
    connectTimeout: 60,
  });
  t.match(cp2?.ssh, { host: '10.0.0.12', port: 22 }, 'ssh defaults, host from the address');
  t.equal(w1?.ssh, undefined, 'ssh: false joins by itself');
  t.equal(w1?.address, 'fd00::21', 'one spelling of an address');
  t.strictSame(cp1?.groups, ['all', 'etcd', 'zone-a', 'control_plane'], 'parents before children, then file order');
  t.strictSame(plan.inventory.groups['zone-a']?.nodes, ['cp1', 'cp2', 'w1'], 'nested, in inventory order');
  t.strictSame(plan.inventory.groups['registry']?.nodes, [], 'a group that playbooks know is there and empty');
  t.strictSame(plan.config, { cluster: { version: 'v1.33.1' }, braces: '{{ .Name }}' }, '!text keeps braces');

  const [prepare, workers, say] = plan.plays;
  t.match(prepare, { name: 'prepare', nodes: ['cp1', 'cp2'], serial: [1, 1], maxFailPercentage: 10 });
  t.strictSame(
    prepare?.roles.map((use) => [use.role, use.tags]),
    [
      ['base', ['prep']],
      ['etcd', ['prep', 'db']],
      ['prepare', ['prep']],
    ],
  );
  t.match(prepare?.roles[1], {
    when: [{ text: "'etcd' in group_names", at: [14, 16] }],
    vars: { peers: '{{ groups.etcd }}' },
  });
  t.match(workers, { anyErrorsFatal: true, nodes: ['w1'], serial: undefined });
  t.equal(say?.afterAll, true);

  const base = plan.roles['base'];
  t.strictSame(
    base?.tasks.map((task) => [task.id, task.action, task.at.file.slice(folder.length)]),
    [
      ['read-the-release', 'command', '/playbooks/roles/base/tasks.yaml'],
      ['folders', 'directory', '/playbooks/roles/base/files.yaml'],
      ['welcome-people', 'file', '/playbooks/roles/base/files.yaml'],
      ['enough-cores', 'assert', '/playbooks/roles/base/tasks.yaml'],
    ],
    'included tasks stand in place of the include, and know their own file',
  );
  t.match(base?.tasks[1], {
    tags: ['files'],
    vars: { owner: 'root' },
    when: [{ text: 'facts.cpu.count >= minimum_cores' }],
  });
  t.match(base?.tasks[1]?.inputs, { mode: '0755' }, 'an unquoted mode keeps its digits');
  t.match(base?.tasks[3]?.inputs, { that: ['facts.cpu.count >= minimum_cores', 'os_release.code == 0'] });
  t.strictSame(base?.defaults['minimum_cores'], 2);
  t.strictSame(Object.keys(plan.roles['etcd']?.files ?? {}), ['etcd/files/hello.txt']);

  const [init, join] = plan.roles['etcd']?.tasks ?? [];
  t.match(init, { id: 'init', runOnce: true, lock: 'disk', permit: { name: 'etcd', count: 1 }, onInterrupt: 'rerun' });
  t.strictSame(init?.places, { '/inputs/shell': [6, 7] }, 'a block text begins on the line below its mark');
  t.strictSame(init?.register, { name: 'cluster_id', type: 'string', pattern: '^[0-9a-f]+$' });
  t.match(join, {
    on: ['cp1'],
    needs: [{ target: 'task', name: 'init', of: 'first' }],
    until: { text: 'joined.code == 0', at: [18, 10] },
    failedWhen: [{ text: 'joined.code > 1' }],
    changedWhen: [{ text: 'false' }],
    retries: 5,
    delay: 0.5,
    sensitive: true,
    ignoreErrors: true,
    alone: true,
  });
  t.strictSame(join?.places, { '/inputs/shell': [15, 13], '/loop/1': [17, 14] });
  t.match(
    plan.roles['prepare']?.tasks.map((task) => task.id),
    ['set-fact', 'set-fact-2'],
    "a play's own tasks",
  );
});

t.test('every problem at once, each at its place', async (t) => {
  const file = `${FIXTURES}/faulty/plan.yaml`;
  const problems = problemsOf(parsePlan(await loadSources(file)));
  t.strictSame(
    problems.map(
      ({ code, position }) =>
        `${position?.file.replace(`${FIXTURES}/faulty/`, '')}:${position?.line}:${position?.column} ${code}`,
    ),
    [
      'plan.yaml:3:18 PLAN_TYPE',
      'plan.yaml:8:22 PLAN_DUPLICATE_ADDRESS',
      'plan.yaml:8:33 PLAN_UNKNOWN_KEY',
      'plan.yaml:9:7 PLAN_TYPE',
      'plan.yaml:10:21 PLAN_TYPE',
      'plan.yaml:10:45 PLAN_TYPE',
      'plan.yaml:10:51 PLAN_UNKNOWN_KEY',
      'plan.yaml:12:20 PLAN_UNKNOWN_GROUP',
      'plan.yaml:16:18 PLAN_GROUP_CYCLE',
      'plan.yaml:17:7 PLAN_DUPLICATE_NAME',
      'plan.yaml:19:13 PLAN_EXPRESSION',
      'plan.yaml:21:7 PLAN_UNKNOWN_PLAYBOOK',
      'plan.yaml:25:19 PLAN_UNKNOWN_GROUP',
      'plan.yaml:26:19 PLAN_TYPE',
      'plan.yaml:27:19 PLAN_UNKNOWN_ROLE',
      'plan.yaml:30:26 PLAN_UNDEFINED_VARIABLE',
      'plan.yaml:30:40 PLAN_UNDEFINED_VARIABLE',
      'plan.yaml:32:15 PLAN_UNKNOWN_ACTION',
      'plan.yaml:33:28 PLAN_ACTION_INPUT',
      'plan.yaml:33:38 PLAN_ACTION_INPUT',
      'plan.yaml:34:22 PLAN_EXPRESSION',
      'plan.yaml:35:15 PLAN_NOT_YET',
      'plan.yaml:38:30 PLAN_NEED_UNKNOWN',
      'plan.yaml:38:36 PLAN_TYPE',
      'plan.yaml:39:25 PLAN_TYPE',
      'plan.yaml:40:39 PLAN_EXPRESSION',
      'plan.yaml:41:15 PLAN_UNKNOWN_KEY',
      'plan.yaml:42:11 PLAN_TYPE',
      'roles/broken/tasks.yaml:2:12 PLAN_YAML',
    ],
  );
  t.equal(
    problems.some((problem) => problem.remedy === ''),
    false,
    'each says what to do',
  );
});

/** Sources of a small good plan, of which a test replaces what it wants to break. `▶` marks where the problem stands. */
const HOSTS = `hosts:
  a: {address: 10.0.0.1}
  b: {address: 10.0.0.2, vars: {only_b: 1}}
`;
const PLAN = `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: small}
spec:
  inventory: {file: inventory.yaml}
  playbooks: [site.yaml]
  config: {version: v1}
`;
const SITE = 'plays:\n  - {name: main, hosts: all, roles: [r]}\n';

function sourcesOf(files: Record<string, string>): {
  plan: string;
  texts: Record<string, string>;
  mark: string | undefined;
} {
  const given = {
    'plan.yaml': PLAN,
    'inventory.yaml': HOSTS,
    'site.yaml': SITE,
    'roles/r/tasks.yaml': '- debug: hi\n',
    ...files,
  };
  const texts: Record<string, string> = {};
  let mark: string | undefined;
  for (const [path, text] of Object.entries(given)) {
    const at = text.indexOf('▶');
    const before = text.slice(0, Math.max(0, at)).split('\n');
    if (at >= 0) mark = `${path}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
    texts[path] = text.replace('▶', '');
  }
  return { plan: 'plan.yaml', texts, mark };
}

/** The one problem of a plan must stand at the mark and match `CODE message | remedy`. */
function single(
  t: Tap,
  name: string,
  files: Record<string, string>,
  expected: RegExp,
  options: ParseOptions = {},
): void {
  const sources = sourcesOf(files);
  const lines = problemsOf(parsePlan(sources, options)).map(line);
  t.match(lines, [expected], name);
  t.equal(lines.length, 1, `${name}: nothing else`);
  t.ok(lines[0]?.startsWith(`${sources.mark} `), `${name}: at ${sources.mark}, found ${lines[0]}`);
}
type Tap = Pick<typeof t, 'match' | 'equal' | 'ok'>;
const plan = (text: string) => ({ 'plan.yaml': text });
const inventory = (text: string) => ({ 'inventory.yaml': text });
const site = (text: string) => ({ 'site.yaml': text });
const tasks = (text: string) => ({ 'roles/r/tasks.yaml': text });
const play = (words: string) => site(`- {name: main, hosts: all, roles: [r], ${words}}\n`);

t.test('faults of YAML and shape', async (t) => {
  t.ok('plan' in parsePlan(sourcesOf({})), 'the small plan is good');
  single(t, 'open bracket', inventory('hosts: [▶'), /PLAN_YAML .*broken/);
  single(t, 'tab', plan(PLAN.replace('  inventory', '▶\tinventory')), /PLAN_YAML .*Tabs.*spaces/);
  single(
    t,
    'key twice',
    inventory(`${HOSTS}  ▶a: {address: 10.0.0.9}\n`),
    /PLAN_YAML .*"a" stands twice.* first in line 2/,
  );
  single(t, 'two documents', plan(`${PLAN}▶---\na: 1\n`), /PLAN_YAML .*\| Keep one document/);
  single(t, 'alias to nothing', plan(PLAN.replace('v1}', '▶*v}')), /PLAN_YAML There is no anchor &v/);
  single(t, 'alias in itself', plan(PLAN.replace('{version: v1}', '&c {version: ▶*c}')), /PLAN_YAML .*contains itself/);
  single(t, 'merge key', plan(PLAN.replace('version: v1', '▶<<: {}')), /PLAN_YAML Merge keys/);
  single(t, 'unknown tag', plan(PLAN.replace('v1}', '!env ▶X}')), /PLAN_YAML .*!env/);
  single(
    t,
    'a list as key',
    plan(PLAN.replace('{version: v1}', '{? ▶[a] : b}')),
    /PLAN_YAML A key must be a plain text/,
  );
  single(
    t,
    'a number that loses digits',
    plan(PLAN.replace('v1}', '▶12345678901234567890}')),
    /PLAN_TYPE .*too large.*"12345678901234567890"/,
  );
  single(t, 'no map', plan('▶- a\n'), /PLAN_TYPE the plan must be a map, not a list/);
  single(t, 'empty', plan('▶'), /PLAN_TYPE the plan must be a map, not nothing/);
  single(t, 'an inventory', plan('kind: ▶Inventory\n'), /PLAN_TYPE This is no plan/);
  single(
    t,
    'other version',
    plan(PLAN.replace('kk.dev/v1', '▶kk.dev/v2')),
    /PLAN_TYPE apiVersion must be "kk.dev\/v1", not "kk.dev\/v2"/,
  );
  single(t, 'key missing', plan(PLAN.replace('{name: small}', '▶{}')), /PLAN_MISSING metadata lacks "name"/);
  single(
    t,
    'unknown key',
    plan(PLAN.replace('config:', '▶confg:')),
    /PLAN_UNKNOWN_KEY spec has no key "confg". \| Did you mean "config"\?/,
  );
  single(
    t,
    'no playbooks',
    plan(PLAN.replace('[site.yaml]', '▶[]')),
    /PLAN_TYPE playbooks must be a list with at least 1 item/,
  );
  const bomb = [
    'a: &a [x, x]',
    ...[...'bcdefghij'].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefghij'[i]}`)}]`),
  ];
  const exploded = problemsOf(parsePlan(sourcesOf(plan(bomb.join('\n')))));
  t.match(exploded.map(line), [/PLAN_YAML .*1000000 values/], 'aliases of aliases are not written out');
  t.match(problemsOf(parsePlan(sourcesOf(plan('['.repeat(50_000))))).map(line), [/PLAN_YAML/], 'deep nesting');
  t.match(problemsOf(parsePlan(sourcesOf(plan('a'.repeat(5_000_000))))).map(line), [/PLAN_YAML .*4194304/], 'too long');
});

t.test('an inventory by ranges and by a table', async (t) => {
  const nodesOf = (files: Record<string, string>) => planOf(parsePlan(sourcesOf(files))).inventory;
  const ranged = nodesOf(
    inventory(`hosts:
  node[008:010]: {address: "10.0.0.[8:10]", ssh: {host: "gw-[a:c]", port: 22}, vars: {zone: "[1:3]"}}
  rack[1:2]-[0:10:5]: {address: "10.1.[1:2].[0:10:5]", ssh: {host: gateway}}
  alone: {address: 10.0.0.1}
groups:
  worker: ["node[008:009]", alone]
  edge: {hosts: ["rack2-[0:10:5]"]}
`),
  );
  t.strictSame(
    ranged.nodes.map(({ name, address }) => `${name} ${address}`),
    [
      ...['node008 10.0.0.8', 'node009 10.0.0.9', 'node010 10.0.0.10'],
      ...['rack1-0 10.1.1.0', 'rack1-5 10.1.1.5', 'rack1-10 10.1.1.10'],
      ...['rack2-0 10.1.2.0', 'rack2-5 10.1.2.5', 'rack2-10 10.1.2.10', 'alone 10.0.0.1'],
    ],
    'leading zeros stay, steps, the last range first',
  );
  t.match(ranged.nodes[1], { ssh: { host: 'gw-b', port: 22 }, vars: { zone: '[1:3]' } }, 'variables are left alone');
  t.equal(ranged.nodes[3]?.ssh?.host, 'gateway', 'the same for all');
  t.strictSame(ranged.groups['worker']?.nodes, ['node008', 'node009', 'alone']);
  t.strictSame(ranged.groups['edge']?.nodes, ['rack2-0', 'rack2-5', 'rack2-10']);

  const hosts = (rest: string) => inventory(`hosts:\n  a: {address: 10.0.0.1}\n${rest}`);
  single(
    t,
    'lengths',
    hosts('  n[1:5]: {address: ▶"10.0.1.[1:4]"}\n'),
    /PLAN_RANGE n\[1:5\] is 5 hosts, and 10.0.1.\[1:4\] is 4/,
  );
  single(t, 'one address', hosts('  n[1:5]: {address: ▶10.0.1.1}\n'), /PLAN_RANGE .* is 5 hosts, and 10.0.1.1 is 1/);
  single(t, 'one name', hosts('  n: {address: ▶"10.0.1.[1:4]"}\ngroups: {g: [n]}\n'), /PLAN_RANGE n is 1 host, and/);
  single(
    t,
    'backwards',
    hosts('  ▶n[5:1]: {address: 10.0.1.1}\n'),
    /PLAN_RANGE .*first comes after the last in \[5:1\]/,
  );
  single(t, 'step 0', hosts('  ▶n[1:5:0]: {address: 10.0.1.1}\n'), /PLAN_RANGE .*step is 0/);
  single(t, 'far', hosts('  ▶n[1:10001]: {address: 10.0.1.1}\n'), /PLAN_RANGE .*more than 10000/);
  single(t, 'far together', hosts('  ▶n[1:101]-[1:100]: {address: 10.0.1.1}\n'), /PLAN_RANGE .*more than 10000/);
  single(
    t,
    'no range',
    hosts('  n[1:2]: {address: ▶"10.0.0.[1-2]"}\n'),
    /PLAN_RANGE .*a bracket in it is no range\. \| Write/,
  );
  single(t, 'no name', hosts('  ▶N_[1:2]: {address: "10.0.0.[1:2]"}\n'), /PLAN_TYPE "N_1" is no valid name of a host/);
  single(
    t,
    'twice',
    hosts('  n1: {address: 10.0.1.9}\n  ▶n[1:2]: {address: "10.0.1.[1:2]"}\n'),
    /PLAN_DUPLICATE_NAME The host n1/,
  );
  single(t, 'in a group', hosts('groups: {g: [▶"a[2:1]"]}\n'), /PLAN_RANGE/);
  single(
    t,
    'unknown in a group',
    hosts('  n1: {address: 10.0.1.1}\ngroups: {g: [▶"n[1:2]"]}\n'),
    /PLAN_UNKNOWN_GROUP .*"n2"/,
  );

  const TABLE = `# racks, as the data centre keeps them
name, address ,groups,ssh.user,ssh.port,vars.version,vars.spare

n1,10.0.0.1,worker edge,admin,2222,1.30,true
"n[2:3]",10.0.0.[2:3],worker,,,"a ""b"",\nc",7\r
`;
  const tabled = (csv: string, rest = 'ssh: {user: root, private_key_file: id}\ngroups: {edge: {vars: {x: 1}}}\n') => ({
    ...inventory(`csv: tables/nodes.csv\n${rest}`),
    'tables/nodes.csv': csv,
  });
  const table = nodesOf(tabled(TABLE));
  t.match(table.nodes[0], {
    ...{ name: 'n1', address: '10.0.0.1', ssh: { user: 'admin', port: 2222 }, vars: { version: '1.30', spare: true } },
    at: { file: 'tables/nodes.csv', line: 4, column: 1 },
  });
  t.match(table.nodes[2], {
    name: 'n3',
    address: '10.0.0.3',
    ssh: { user: 'root', privateKeyFile: 'id' },
    vars: { version: 'a "b",\nc', spare: 7 },
  });
  t.strictSame([table.groups['worker']?.nodes, table.groups['edge']?.nodes], [['n1', 'n2', 'n3'], ['n1']]);
  t.strictSame(table.groups['edge']?.vars, { x: 1 }, 'a stated group keeps what is stated');
  const inline = plan(PLAN.replace('{file: inventory.yaml}', '{csv: t.csv, hosts: {b: {address: 10.0.0.2}}}'));
  t.match(nodesOf({ ...inline, 't.csv': 'name;address\na;10.0.0.1\n' }).nodes, [{ name: 'b' }, { name: 'a' }]);

  const fault = (name: string, csv: string, expected: RegExp) => single(t, name, tabled(csv, ''), expected);
  fault('no hosts', '▶name,address\n', /PLAN_EMPTY_GROUP The inventory has no hosts/);
  single(t, 'table away', inventory('csv: ▶no.csv\n'), /PLAN_MISSING The table no.csv is not there/);
  single(t, 'neither', inventory('▶ssh: {user: x}\n'), /PLAN_MISSING inventory lacks "hosts".*csv/);
  fault('column', 'name,address,▶adress\na,10.0.0.1,x\n', /PLAN_UNKNOWN_KEY There is no column "adress".*"address"/);
  fault('column twice', 'name,address,▶name\na,10.0.0.1,x\n', /PLAN_CSV The column "name" is there twice/);
  fault('no column', '▶name\n', /PLAN_MISSING The table lacks the column "address"/);
  fault('open quote', 'name,address\na,▶"10.0.0.1\n', /PLAN_CSV The quote that begins here does not end/);
  fault('after the quote', 'name,address\n"a"▶b,10.0.0.1\n', /PLAN_CSV Something follows the closing quote/);
  fault('more fields', 'name,address\na,10.0.0.1,▶x\n', /PLAN_CSV This row has more than the 2 fields/);
  fault('no name', 'name,address\na,10.0.0.1\n,▶10.0.0.2\n', /PLAN_MISSING This host lacks a name/);
  fault('no address', 'name,address\n▶a,\n', /PLAN_MISSING a lacks "address"/);
  fault('bad address', 'name,address,vars.x\n"a", ▶10.0.0.300 ,"1\n2"\n', /PLAN_TYPE The address of a is no usable/);
  fault('below a break', 'name,address,vars.x\na,10.0.0.1,"1\n2"\nb,▶10.0.0.1\n', /PLAN_DUPLICATE_ADDRESS b has/);
  fault(
    'twice',
    'name,address\na,10.0.0.1\n▶a,10.0.0.2\n',
    /PLAN_DUPLICATE_NAME The host a is there twice, first in line 2/,
  );
  fault('a port', 'name,address,ssh.port\na,10.0.0.1,▶many\n', /PLAN_TYPE port must be a number/);
  fault('a group', 'name,address,groups\na,10.0.0.1,▶1st\n', /PLAN_TYPE "1st" is no valid name in groups/);
  fault('a variable', 'name,address,vars.a-b\na,10.0.0.1,▶x\n', /PLAN_TYPE "a-b" is no valid name in vars/);
});

t.test('faults of the inventory', async (t) => {
  const hosts = (rest: string) => inventory(`hosts:\n  a: {address: 10.0.0.1}\n${rest}`);
  single(
    t,
    'missing file',
    plan(PLAN.replace('inventory.yaml', '▶inventori.yaml')),
    /PLAN_MISSING The inventory file inventori.yaml/,
  );
  single(
    t,
    'duplicate address',
    hosts('  b: {address: ▶10.0.0.1}\n'),
    /PLAN_DUPLICATE_ADDRESS b has the address 10.0.0.1, which a has/,
  );
  single(
    t,
    'duplicate in two spellings',
    inventory('hosts:\n  a: {address: "fd00::1"}\n  b: {address: ▶"fd00:0::0001"}\n'),
    /PLAN_DUPLICATE_ADDRESS/,
  );
  for (const bad of ['10.0.0.300', '0x7f.1', '0.0.0.0', '224.0.0.1', '"::"', 'node1.example', '10.0.0.1/24']) {
    single(
      t,
      bad,
      inventory(`hosts:\n  a: {address: ▶${bad}}\n`),
      /PLAN_TYPE The address of a is no usable IP address/,
    );
  }
  single(t, 'no address', hosts('  b: ▶{}\n'), /PLAN_MISSING b lacks "address"/);
  single(t, 'bad name', hosts('  ▶B_1: {address: 10.0.0.2}\n'), /PLAN_TYPE "B_1" is no valid name in hosts/);
  single(t, 'reserved name', hosts('  ▶controller: {address: 10.0.0.2}\n'), /PLAN_RESERVED_NAME/);
  single(t, 'unknown host', hosts('groups: {g: [▶c]}\n'), /PLAN_UNKNOWN_GROUP Group g names the host "c"/);
  single(
    t,
    'unknown child',
    hosts('groups: {front: [a], g: {groups: [▶fromt]}}\n'),
    /PLAN_UNKNOWN_GROUP .*\| Did you mean "front"\?/,
  );
  single(t, 'host among groups', hosts('groups: {g: {groups: [▶a]}}\n'), /PLAN_UNKNOWN_GROUP .*"a" is a host/);
  single(
    t,
    'cycle',
    hosts('groups: {x: {groups: [y]}, y: {groups: [z]}, z: {groups: [▶x]}}\n'),
    /PLAN_GROUP_CYCLE .*x > y > z > x/,
  );
  single(t, 'group in itself', hosts('groups: {x: {groups: [▶x]}}\n'), /PLAN_GROUP_CYCLE .*x > x/);
  single(t, 'host and group', hosts('groups: {▶a: []}\n'), /PLAN_DUPLICATE_NAME/);
  single(t, 'group all', hosts('groups: {▶all: {vars: {}}}\n'), /PLAN_RESERVED_NAME .*own vars/);
  single(t, 'no hosts', inventory('hosts: ▶{}\n'), /PLAN_EMPTY_GROUP The inventory has no hosts/);
  single(
    t,
    'ssh value',
    hosts('ssh: {port: ▶"22"}\n'),
    /PLAN_TYPE port must be a number, not "22". \| Write it without quotes: 22/,
  );
  single(t, 'ssh choice', hosts('ssh: {host_keys: ▶strickt}\n'), /PLAN_TYPE .*\| Did you mean "strict"\?/);
  single(
    t,
    'ssh: true',
    hosts('  b: {address: 10.0.0.2, ssh: ▶true}\n'),
    /PLAN_TYPE ssh must be a map or false, not true/,
  );
  single(
    t,
    'a password is not shown',
    hosts('ssh: {password_file: ▶1234}\n'),
    /PLAN_TYPE password_file must be a text, not a number\./,
  );
  single(t, 'template', hosts('vars: {x: ▶"{{ y }}"}\n'), /PLAN_EXPRESSION .*never evaluated.*!text/);
  single(t, 'variable name', hosts('vars: {▶my-var: 1}\n'), /PLAN_TYPE "my-var" is no valid name in vars/);
  single(t, 'given variable', hosts('vars: {▶facts: 1}\n'), /PLAN_RESERVED_NAME/);
});

t.test('faults of playbooks and roles', async (t) => {
  single(
    t,
    'missing playbook',
    plan(PLAN.replace('site.yaml', '▶./side.yaml')),
    /PLAN_UNKNOWN_PLAYBOOK .*Looked for: side.yaml/,
  );
  single(
    t,
    'unknown role',
    site('- {name: main, hosts: all, roles: [▶rr, r]}\n'),
    /PLAN_UNKNOWN_ROLE .*Did you mean "r"/,
  );
  single(t, 'role outside', site('- {name: main, hosts: all, roles: [▶../r]}\n'), /PLAN_TYPE .*folder below roles/);
  single(
    t,
    'unknown group',
    site('- {name: main, hosts: ▶wrker, roles: [r]}\n'),
    /PLAN_UNKNOWN_GROUP .*Did you mean "worker"/,
  );
  const empty = {
    ...inventory(`${HOSTS}groups: {edge: []}\n`),
    ...site('- {name: main, hosts: [▶edge], roles: [r]}\n'),
  };
  single(t, 'empty group', empty, /PLAN_EMPTY_GROUP No host is selected by: edge/);
  single(t, 'nobody left', site('- {name: main, hosts: [▶all, "!a", "!b"], roles: [r]}\n'), /PLAN_EMPTY_GROUP/);
  t.ok(
    'plan' in parsePlan(sourcesOf(site('- {name: main, hosts: worker, roles: [r]}\n'))),
    'a known group may be empty',
  );
  single(
    t,
    'play name',
    site('- {name: m, hosts: all, roles: [r]}\n- {name: ▶m, hosts: all, roles: [r]}\n'),
    /PLAN_DUPLICATE_NAME .*site.yaml:1/,
  );
  single(
    t,
    'play named like a role',
    site('- {name: r, hosts: all, roles: [r], ▶tasks: [{debug: x}]}\n'),
    /PLAN_DUPLICATE_NAME/,
  );
  single(t, 'nothing to do', site('- ▶{name: main, hosts: all}\n'), /PLAN_MISSING .*neither roles nor tasks/);
  single(t, 'play word', play('▶gather_facts: false'), /PLAN_UNKNOWN_KEY/);
  single(t, 'serial', play('serial: [1, ▶"130%"]'), /PLAN_TYPE .*percentage/);
  single(t, 'after', play('after: ▶any'), /PLAN_TYPE after must be "all"/);
  single(t, 'playbook', site('plays: ▶main\n'), /PLAN_TYPE plays must be a list/);
  single(t, 'tasks', tasks('▶tasks: []\n'), /PLAN_TYPE Tasks must be a list. \| Remove "tasks:"/);
  single(
    t,
    'defaults',
    { ...tasks('- debug: "{{ anything }}"\n'), 'roles/r/defaults.yaml': '▶- a\n' },
    /PLAN_TYPE defaults must be a map/,
  );
  single(t, 'include', tasks('- include_tasks: ▶more.yaml\n'), /PLAN_MISSING The task file roles\/r\/more.yaml/);
  single(
    t,
    'include cycle',
    { ...tasks('- include_tasks: more.yaml\n'), 'roles/r/more.yaml': '- include_tasks: ▶tasks.yaml\n' },
    /PLAN_INCLUDE_CYCLE .*tasks.yaml > roles\/r\/more.yaml > /,
  );
  single(
    t,
    'include in a loop',
    { ...tasks('- {include_tasks: more.yaml, ▶loop: [1]}\n'), 'roles/r/more.yaml': '[]' },
    /PLAN_UNKNOWN_KEY "loop" cannot be given/,
  );

  const known = '- {match: "^full (?<disk>.*)$", cause: "$<disk> is full", remedy: make room}\n';
  const remedies = (name: string, list: string) => ({
    ...tasks(`- command: {shell: ls, remedies: ${name}}\n`),
    'roles/known.yaml': list,
  });
  const given = parsePlan(sourcesOf(remedies('../known.yaml', known)));
  t.match(planOf(given).roles['r']?.tasks[0]?.inputs, {
    remedies: [{ match: '^full (?<disk>.*)$', cause: '$<disk> is full', remedy: 'make room' }],
  });
  single(t, 'remedies', remedies('▶nosuch.yaml', known), /PLAN_MISSING The file of remedies roles\/r\/nosuch.yaml/);
  single(t, 'remedies by a template', remedies('▶"{{ node_name }}"', known), /PLAN_TYPE A file of remedies/);
  single(t, 'pattern', remedies('../known.yaml', '- {match: ▶"(", cause: a, remedy: b}\n'), /regular expression/);
  single(
    t,
    'a pattern in place',
    tasks('- command: {shell: ls, remedies: [{match: ▶"(", cause: a, remedy: b}]}\n'),
    /PLAN_ACTION_INPUT .*regular expression/,
  );
});

t.test('faults of tasks', async (t) => {
  single(t, 'no action', tasks('- ▶{name: x}\n'), /PLAN_MISSING The task has no action/);
  single(t, 'misspelt action', tasks('- ▶comand: ls\n'), /PLAN_UNKNOWN_ACTION .*Did you mean "command"\?/);
  single(t, 'action of another tool', tasks('- ▶shell: ls\n'), /PLAN_UNKNOWN_ACTION .*Use command/);
  single(t, 'misspelt word', tasks('- {command: ls, ▶retrys: 3}\n'), /PLAN_UNKNOWN_KEY .*Did you mean "retries"\?/);
  single(t, 'two actions', tasks('- {command: ls, ▶debug: x}\n'), /PLAN_UNKNOWN_KEY .*more than one action/);
  single(t, 'action/with', tasks('- {action: ▶fil, with: {}}\n'), /PLAN_UNKNOWN_ACTION .*Did you mean "file"/);
  single(t, 'with alone', tasks('- {debug: x, ▶with: {}}\n'), /PLAN_MISSING "with" has no "action"/);
  single(t, 'no map', tasks('- ▶command\n'), /PLAN_TYPE A task must be a map/);
  single(t, 'input missing', tasks('- ▶file: {content: x}\n'), /PLAN_ACTION_INPUT file lacks its input "path"/);
  single(t, 'input unknown', tasks('- file: {path: /x, ▶contents: x}\n'), /PLAN_ACTION_INPUT .*Did you mean "content"/);
  single(
    t,
    'input wrong',
    tasks('- wait_for: {port: ▶70000}\n'),
    /PLAN_ACTION_INPUT wait_for.port must be at most 65535, not 70000/,
  );
  single(
    t,
    'inputs that exclude each other',
    tasks('- ▶command: {argv: [ls], shell: ls}\n'),
    /PLAN_ACTION_INPUT command: give exactly one/,
  );
  single(t, 'no shorthand', tasks('- file: ▶/etc/motd\n'), /PLAN_ACTION_INPUT file takes a map/);
  single(
    t,
    'rule',
    tasks('- check: ▶memry\n'),
    /PLAN_ACTION_INPUT There is no precheck rule "memry". \| Did you mean "memory"\?/,
  );
  single(
    t,
    'parameters of a rule',
    tasks('- check: {rule: swap, with: {▶in_us: warn, in_use: warn}}\n'),
    /PLAN_ACTION_INPUT .*"with.in_us"/,
  );
  t.ok(
    'plan' in parsePlan(sourcesOf(tasks('- wait_for: {port: "{{ version }}"}\n'))),
    'what a template gives is not judged',
  );
  single(
    t,
    'template file',
    tasks('- file: {path: /x, template: ▶motd.j2}\n'),
    /PLAN_MISSING .*roles\/r\/templates\/motd.j2/,
  );
  single(t, 'duplicate id', tasks('- {id: x, debug: a}\n- ▶{id: x, debug: b}\n'), /PLAN_DUPLICATE_NAME .*line 1/);
  single(
    t,
    'boolean of YAML 1.1',
    tasks('- {debug: a, run_once: ▶yes}\n'),
    /PLAN_TYPE run_once must be true or false, not "yes". \| Write true/,
  );
  single(t, 'duration', tasks('- {debug: a, timeout: ▶5 minutes}\n'), /PLAN_TYPE timeout cannot be "5 minutes".*"10m"/);
  single(t, 'loop', tasks('- {debug: a, loop: ▶version}\n'), /PLAN_TYPE loop must be a list.*"{{ version }}"/);
  single(
    t,
    'pattern',
    tasks('- {command: ls, register: {name: x, pattern: ▶"("}}\n'),
    /PLAN_TYPE .*regular expression/,
  );
  single(t, 'on', tasks('- {debug: a, on: [a, ▶bb]}\n'), /PLAN_UNKNOWN_GROUP .*"bb"/);
  single(
    t,
    'need',
    tasks('- {id: first, debug: a}\n- {debug: b, needs: [▶frist]}\n'),
    /PLAN_NEED_UNKNOWN .*Did you mean "first"/,
  );
  single(
    t,
    'need of a play',
    tasks('- {debug: b, needs: [{play: ▶mian, of: all}]}\n'),
    /PLAN_NEED_UNKNOWN .*Did you mean "main"/,
  );
  single(t, 'of', tasks('- {id: x, debug: a}\n- {debug: b, needs: [{task: x, of: ▶each}]}\n'), /PLAN_TYPE of must be /);
  single(t, 'serial', tasks('- {debug: a, ▶serial: 1}\n'), /PLAN_NOT_YET "serial" is not supported yet/);
});

t.test('tasks of the controller: a closed list of actions, and words that make sense there', async (t) => {
  const make = 'secret.make: {name: a, kind: password}';
  const local = (more: string) => tasks(`- {on: controller, ${make}, ${more}}\n`);
  single(t, 'no other action', tasks('- {debug: a, on: ▶controller}\n'), /PLAN_TYPE The controller does no debug/);
  single(
    t,
    'not on nodes',
    tasks(`- ▶${make}\n`),
    /PLAN_TYPE secret.make is done by the controller .*Add on: controller/,
  );
  single(t, 'not on a group', tasks(`- {on: ▶all, ${make}}\n`), /PLAN_TYPE secret.make is done by the controller/);
  single(t, 'per on nodes', tasks('- {debug: a, ▶per: all}\n'), /PLAN_NOT_YET "per" is for tasks of the controller/);
  single(t, 'per nobody', local('per: ▶al'), /PLAN_UNKNOWN_GROUP .*Did you mean "a"/);
  for (const word of ['alone: true', 'lock: a', 'permit: a', 'on_interrupt: rerun', 'run_once: true'])
    single(t, word, local(`▶${word}`), /PLAN_TYPE ".*" makes no sense in a task of the controller/);
  single(
    t,
    'retries',
    tasks('- {on: controller, confirm: Sure?, ▶retries: 3}\n'),
    /"retries" makes no sense in a question/,
  );
  for (const word of ['loop: [1]', 'until: "true"', 'changed_when: false', 'rollback: [{debug: a}]'])
    single(t, word, local(`▶${word}`), /PLAN_NOT_YET ".*" is not supported in a task of the controller yet/);
  single(t, 'in a block', tasks(`- {block: [{on: ▶controller, ${make}}]}\n`), /PLAN_NOT_YET .*cannot be in a block/);
  single(t, 'a block', tasks('- {block: [debug: a], on: ▶controller}\n'), /PLAN_TYPE The controller does no block/);
  single(t, 'inputs', tasks('- {on: controller, secret.make: {name: a, kind: ▶pin}}\n'), /PLAN_ACTION_INPUT/);
  single(t, 'unknown input', tasks('- {on: controller, confirm: {message: a, ▶to: b}}\n'), /PLAN_ACTION_INPUT/);
  const parsed = parsePlan(sourcesOf(tasks('- {on: [controller], per: all, timeout: 1m, confirm: Sure?}\n')));
  if ('problems' in parsed) return t.fail('it has problems', parsed);
  const [task] = Object.values(parsed.plan.roles)[0]?.tasks ?? [];
  t.match(task, { place: 'controller', per: ['all'], on: undefined, inputs: { message: 'Sure?' }, timeout: 60 });
});

t.test('blocks: a task of its own before its tasks, which know their part', async (t) => {
  const parsed = parsePlan(
    sourcesOf({
      'roles/r/tasks.yaml': `- name: Upgrade
  when: version is defined
  tags: up
  vars: {seen: "{{ old.stdout }}"}
  lock: packages
  permit: drain
  ignore_errors: true
  block:
    - {id: read, command: kubelet --version, register: old, ignore_errors: false}
    - include_tasks: more.yaml
      when: version != 'v0'
  rescue:
    - {debug: "{{ seen }} stays"}
  always:
    - block: [{id: inner, debug: end, lock: other}]
      any_errors_fatal: true
`,
      'roles/r/more.yaml': '- {id: more, debug: a}\n- block: [{id: deep, debug: b}]\n',
    }),
  );
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  const list = parsed.plan.roles['r']?.tasks ?? [];
  t.strictSame(
    list.map(({ id, action, within }) => [id, action, within && `${within.block.id} ${within.part}`]),
    [
      ['upgrade', 'block', undefined],
      ['read', 'command', 'upgrade block'],
      ['more', 'debug', 'upgrade block'],
      ['block', 'block', 'upgrade block'],
      ['deep', 'debug', 'block block'],
      ['debug', 'debug', 'upgrade rescue'],
      ['block-2', 'block', 'upgrade always'],
      ['inner', 'debug', 'block-2 block'],
    ],
  );
  const [upgrade, read, more, block, deep, , outer, inner] = list;
  t.match(upgrade, { permit: { name: 'drain', count: 1 }, when: [{ text: 'version is defined' }] });
  t.match(read, { ignoreErrors: false, lock: 'packages', when: [], permit: undefined });
  t.match(more, { when: [{ text: "version != 'v0'" }], ignoreErrors: true, tags: ['up'], vars: { seen: String } });
  t.match([block?.when, deep?.when], [[{ text: "version != 'v0'" }], []], 'a condition is asked of the block, once');
  t.match(
    [outer?.anyErrorsFatal, inner?.anyErrorsFatal, inner?.lock, read?.anyErrorsFatal],
    [true, true, 'other', false],
  );

  single(t, 'rescue alone', tasks('- ▶{rescue: [{debug: a}]}\n'), /PLAN_MISSING a block lacks "block"/);
  single(
    t,
    'action of a block',
    tasks('- {▶debug: a, block: [{debug: a}]}\n'),
    /PLAN_UNKNOWN_KEY A block has no action/,
  );
  single(
    t,
    'word of a task',
    tasks('- {▶loop: [1], block: [{debug: a}]}\n'),
    /PLAN_UNKNOWN_KEY "loop" cannot be given to/,
  );
  single(t, 'slip', tasks('- {block: [{debug: a}], ▶resque: []}\n'), /PLAN_UNKNOWN_KEY .*Did you mean "rescue"/);
  single(
    t,
    'for its tasks',
    tasks('- {block: [{debug: a}], ▶rollback: []}\n'),
    /PLAN_UNKNOWN_KEY "rollback" cannot be given/,
  );
  single(t, 'no tasks', tasks('- {block: ▶[]}\n'), /PLAN_TYPE block/);
  single(
    t,
    'its condition comes before its tasks',
    tasks('- {block: [{debug: a, register: x}], when: ▶x.changed}\n'),
    /PLAN_UNDEFINED_VARIABLE/,
  );
  single(
    t,
    'run_once in a rescue',
    tasks('- {block: [{debug: a}], rescue: [{block: [{debug: b, ▶run_once: true}]}]}\n'),
    /PLAN_TYPE run_once cannot be in a rescue/,
  );
  single(
    t,
    'permit within permit',
    tasks('- {permit: p, block: [{debug: a, ▶permit: {name: p, count: 2}}]}\n'),
    /PLAN_TYPE The block "block" around it holds the permit "p"/,
  );
});

t.test('recover: simple tasks that may be repeated', async (t) => {
  const read = parsePlan(
    sourcesOf(
      tasks(`- id: init
  command: kubeadm init --config {{ item }}
  loop: [a, b]
  recover:
    - {command: {shell: "ls {{ item }}", unless: "false"}, register: left, when: version is defined, timeout: 5}
    - {file: {path: /x, content: "{{ left.stdout }} {{ why }}"}, vars: {why: interrupted}}
`),
    ),
  );
  if ('problems' in read) throw new Error(JSON.stringify(read.problems));
  t.match(read.plan.roles['r']?.tasks[0]?.recover, [
    { action: 'command', register: { name: 'left' }, timeout: 5, when: [{ text: 'version is defined' }] },
    { action: 'file', vars: { why: 'interrupted' }, places: { '/inputs/content': [6, 35] } },
  ]);
  const recover = (task: string) => tasks(`- command: a\n  recover:\n    - ${task}\n`);
  single(t, 'not repeatable', recover('▶{command: rm x}'), /PLAN_NOT_REPEATABLE .*`creates` or `unless`/);
  single(t, 'no loop', recover('{debug: a, ▶loop: [1]}'), /PLAN_NOT_YET "loop" is not supported in a recover task/);
  single(t, 'no other node', recover('{debug: a, ▶on: a}'), /PLAN_NOT_YET "on"/);
  single(t, 'no block', recover('{debug: a, ▶always: []}'), /PLAN_NOT_YET "always"/);
  single(t, 'pointless', recover('▶{set_fact: {a: 1}}'), /PLAN_TYPE set_fact cannot be in recover/);
  single(t, 'undefined', recover('{debug: "{{ ▶nothing }}"}'), /PLAN_UNDEFINED_VARIABLE/);
  single(t, 'needs be map', recover('▶text'), /PLAN_TYPE A task must be a map/);
  single(
    t,
    'beside on_interrupt',
    tasks('- {command: a, ▶on_interrupt: rerun, recover: [{debug: a}]}\n'),
    /PLAN_TYPE on_interrupt: rerun has no effect beside recover/,
  );
});

t.test('expressions and the variables they name', async (t) => {
  const undefinedIn = (name: string, text: string, rest = /./) =>
    single(t, name, tasks(text), new RegExp(`PLAN_UNDEFINED_VARIABLE .*${rest.source}`));
  single(t, 'syntax', tasks('- debug: "a ▶{{ version"\n'), /PLAN_EXPRESSION .*never closed/);
  single(t, 'unknown filter', tasks('- debug: "{{ version | ▶uper }}"\n'), /PLAN_EXPRESSION .*Did you mean "upper"/);
  single(t, 'braces in a condition', tasks('- {debug: a, when: "▶{{ version }}"}\n'), /PLAN_EXPRESSION .*without/);
  undefinedIn('unknown', '- debug: "{{ ▶versoin }}"\n', /Did you mean "version"/);
  undefinedIn('no idea', '- debug: "{{ ▶something_else }}"\n', /default/);
  undefinedIn('in a block text', '- command: |\n    echo {{ version }}\n    echo {{ ▶nope_at_all }}\n');
  undefinedIn('in a condition', '- {debug: a, when: "version == ▶nope_at_all"}\n');
  undefinedIn('in vars', '- {debug: a, vars: {x: ["{{ ▶nope_at_all }}"]}}\n');
  undefinedIn('in a loop', '- {debug: "{{ item }}", loop: ["{{ ▶nope_at_all }}"]}\n');
  undefinedIn('item without loop', '- debug: "{{ ▶item }}"\n', /only in a task with loop/);
  undefinedIn('item in the loop itself', '- {debug: a, loop: "{{ ▶item }}"}\n');
  undefinedIn('register of a later task', '- debug: "{{ ▶found_out }}"\n- {command: ls, register: found_out}\n');
  undefinedIn('own register before the action', '- {command: ls, register: found_out, when: ▶found_out.code == 0}\n');
  undefinedIn(
    'register of another node',
    "- {command: ls, register: found_out, on: a}\n- {debug: '{{ ▶found_out }}', on: b}\n",
    /node\('a'\).found_out/,
  );
  undefinedIn('a fact', '- debug: "{{ ▶facts.memroy }}"\n', /Did you mean "memory"/);
  undefinedIn('a part of a fact', '- debug: "{{ ▶facts.memory.totl }}"\n', /Did you mean "total"/);
  undefinedIn('a group', '- debug: "{{ ▶groups.wroker }}"\n', /Did you mean "worker"/);
  single(
    t,
    'in a template file',
    {
      ...tasks('- file: {path: /x, template: a.j2}\n'),
      'roles/r/templates/a.j2': 'one\n{% for x in version %}{{ x }}{{ ▶nope_at_all }}{% endfor %}\n',
    },
    /PLAN_UNDEFINED_VARIABLE/,
  );
  single(t, 'in vars of a play', play('vars: {x: "{{ ▶nope_at_all }}"}'), /PLAN_UNDEFINED_VARIABLE/);

  const fine = `
- {command: ls, register: found_out, until: found_out.code == 0, failed_when: [found_out.code > 1, false]}
- set_fact: {made: "{{ found_out.stdout.head }}"}
- debug: "{{ made }} {{ version }} {{ only_b }} {{ node_name }} {{ groups.etcd }} {{ nodes.a.address }} {{ facts.system.vendor }}"
- {debug: "{{ item }} {{ loop_index }}", loop: "{{ group_names }}", when: item != 'all'}
- debug: "{{ nope | default('x') }} {{ node('a').found_out.code }} {{ given }}"
- debug: "{% set x = 1 %}{{ x }}{% for y in [1] %}{{ y }}{{ loop.index }}{% endfor %}"
`;
  planOf(parsePlan(sourcesOf(tasks(fine)), { runVars: { given: 1 } }));
  const withGap = {
    ...site('- {name: main, hosts: all, roles: [gone, r]}\n'),
    ...tasks('- debug: "{{ bound_by_gone }} {{ versoin }}"\n'),
  };
  t.match(
    problemsOf(parsePlan(sourcesOf(withGap))).map(({ code }) => code),
    ['PLAN_UNDEFINED_VARIABLE', 'PLAN_UNKNOWN_ROLE'],
    'beside a missing role only slips are told: the rest may be bound there',
  );
});

t.test('loading', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'kk-plan-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const write = async (path: string, text: string | Uint8Array) => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  };
  const file = join(folder, 'plan.yaml');
  await t.rejects(loadSources(file), { code: 'PLAN_NOT_FOUND' });
  await t.rejects(loadSources(folder), { code: 'PLAN_UNREADABLE', message: /folder/ });

  await write('plan.yaml', PLAN.replace('[site.yaml]', '[site, own/site.yaml]'));
  await write('inventory.yaml', HOSTS);
  await write('builtin/site.yaml', '- {name: built-in, hosts: all, roles: [r]}\n');
  await write('builtin/roles/r/tasks.yaml', '- debug: built-in\n');
  await write('own/site.yaml', '- {name: own, hosts: all, roles: [r]}\n');
  const builtins = join(folder, 'builtin');
  const load = async (playbookPath: string[] = []) => parsePlan(await loadSources(file, { builtins, playbookPath }));
  t.match(planOf(await load()).roles['r']?.tasks[0], {
    inputs: { message: 'built-in' },
    at: { file: 'kk:roles/r/tasks.yaml' },
  });

  await write('user/site.yaml', '- {name: of the user, hosts: all, roles: [r]}\n');
  await write('user/roles/r/tasks.yaml', '- {file: {path: /x, source: sub/a.txt}}\n');
  await write('user/roles/r/files/sub/a.txt', 'hello');
  const plan = planOf(await load([join(folder, 'user')]));
  t.strictSame(
    plan.plays.map((play) => play.name),
    ['of the user', 'own'],
    "the user's folder comes first",
  );
  t.strictSame(plan.roles['r']?.files, { 'r/files/sub/a.txt': 'hello' });

  await write('user/roles/r/files/sub/b.bin', Uint8Array.of(0xff, 0xfe, 0));
  await write('user/roles/r/tasks.yaml', '- {copy: {src: sub, dest: /x}}\n');
  t.match(planOf(await load([join(folder, 'user')])).roles['r']?.tasks[0]?.blobs, {
    'sub/a.txt': { size: 5 },
    'sub/b.bin': { size: 3, sha256: /^[0-9a-f]{64}$/ },
  });
  await write('user/roles/r/tasks.yaml', '- {file: {path: /x, source: sub/b.bin}}\n- {copy: {src: sub/c, dest: /x}}\n');
  t.match(problemsOf(await load([join(folder, 'user')])), [
    { code: 'PLAN_MISSING', message: /no text/, remedy: /copy/ },
    { code: 'PLAN_MISSING', message: /"sub\/c" is not there/, remedy: /sub\/b\.bin/ },
  ]);
  // files of other roles: what is only taken from is loaded, too, and the user's folder comes first there as well
  await write('builtin/roles/deep/lender/tasks.yaml', '[]\n');
  await write('builtin/roles/deep/lender/files/a.sh', 'built-in');
  await write('builtin/roles/deep/lender/files/sub/b.sh', 'b');
  await write('builtin/roles/deep/lender/templates/t.j2', '{{ ofBorrower }} {{ missing }}');
  await write('user/roles/r/defaults.yaml', 'ofBorrower: 1\n');
  const borrowing = (more: string) =>
    write(
      'user/roles/r/tasks.yaml',
      `- block:\n    - script: deep/lender:a.sh\n      rollback: [script: {source: "r:sub/a.txt", beside: ["deep/lender:sub/b.sh"]}]\n${more}`,
    );
  await borrowing('');
  const lent = () => load([join(folder, 'user')]).then((parsed) => planOf(parsed).roles['r']?.files);
  t.strictSame(await lent(), {
    'r/files/sub/a.txt': 'hello',
    'r/files/deep/lender:a.sh': 'built-in',
    'r/files/r:sub/a.txt': 'hello',
    'r/files/deep/lender:sub/b.sh': 'b',
  });
  await write('user/roles/deep/lender/tasks.yaml', '[]\n');
  await write('user/roles/deep/lender/files/a.sh', "the user's");
  await write('user/roles/deep/lender/files/sub/b.sh', 'b');
  t.match(await lent(), { 'r/files/deep/lender:a.sh': "the user's" });
  await rm(join(folder, 'user/roles/deep'), { recursive: true });
  await borrowing(
    '- file: {path: /x, template: "deep/lender:t.j2"}\n- script: deep/lender:../../../r/tasks.yaml\n- script: deep/lendr:a.sh\n- script: ../../r:a.sh\n',
  );
  t.match(
    problemsOf(await load([join(folder, 'user')])).map(({ code, message, remedy, position }) => [
      code,
      position?.file.replace(folder, ''),
      position?.line,
      message,
      remedy,
    ]),
    [
      ['PLAN_MISSING', '/user/roles/r/tasks.yaml', 5, /\.\.\/r\/tasks\.yaml" is not there/, /deep\/lender:a\.sh/],
      ['PLAN_UNKNOWN_ROLE', '/user/roles/r/tasks.yaml', 6, 'There is no role "deep/lendr".', /"deep\/lender"/],
      ['PLAN_UNKNOWN_ROLE', '/user/roles/r/tasks.yaml', 7, 'There is no role "../../r".', /Looked for/],
      ['PLAN_UNDEFINED_VARIABLE', 'kk:roles/deep/lender/templates/t.j2', 1, /"missing"/],
    ],
  );
  await write('plan.yaml', PLAN.replace('[site.yaml]', '[sitee]'));
  t.match(problemsOf(await load()), [{ code: 'PLAN_UNKNOWN_PLAYBOOK', remedy: /Did you mean "site"/ }]);
});

t.test('whatever is in the files: a plan or problems, never a crash', async () => {
  const good = await loadSources(`${FIXTURES}/good/plan.yaml`);
  const paths = Object.keys(good.texts);
  const scrap = fc.constantFrom(
    ...'{}[]:-&*!|>%@`"\'#,?\n\t 0~<',
    '{{ ',
    ' }}',
    '{% if %}',
    '- ',
    ': ',
    '&a ',
    '*a',
    '<<',
    '__proto__',
    'constructor',
    'null',
    '.inf',
    '0x',
  );
  const edit = fc.record({
    path: fc.constantFrom(...paths),
    at: fc.nat(),
    cut: fc.nat(12),
    put: fc.array(scrap, { maxLength: 3 }),
  });
  const check = (texts: Record<string, string>) => {
    const parsed = parsePlan({ ...good, texts });
    if ('plan' in parsed) return true;
    return (
      parsed.problems.length > 0 &&
      parsed.problems.every((p) => p.remedy !== '' && (p.position?.line ?? 0) > 0 && (p.position?.column ?? 0) > 0)
    );
  };
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      const texts = { ...good.texts };
      for (const { path, at, cut, put } of edits) {
        const text = texts[path] ?? '';
        const start = at % (text.length + 1);
        texts[path] = text.slice(0, start) + put.join('') + text.slice(start + cut);
      }
      return check(texts);
    }),
    { numRuns: 150 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.json({ depthSize: 'small' }), (path, text) =>
      check({ ...good.texts, [path]: text }),
    ),
    { numRuns: 50 },
  );
});

t.test('the schema for editors is current', async (t) => {
  const written: unknown = JSON.parse(await readFile('docs/reference/plan.schema.json', 'utf8'));
  t.strictSame(written, JSON.parse(JSON.stringify(planJsonSchema())), 'npm run generate');
});

t.test('the example of the documentation is a plan', async (t) => {
  const text = await readFile('docs/plan.md', 'utf8');
  const texts: Record<string, string> = {};
  for (const [, path = '', body = ''] of text.matchAll(/^```\w+\n# (\S+)\n([\s\S]*?)^```$/gm)) texts[path] = body;
  const builtIn = await loadSources('examples/precheck.yaml');
  const found = planOf(parsePlan({ plan: 'plan.yaml', texts: { ...builtIn.texts, ...texts } }));
  t.match(
    found.plays.map(({ name, nodes }) => [name, nodes]),
    [
      ['precheck', ['cp1', 'w1', 'w2']],
      ['welcome', ['cp1', 'w1']],
    ],
  );
  const site = '- {name: up, hosts: all, roles: [kubelet]}\n';
  const kubelet = sourcesOf({ 'site.yaml': site, 'roles/kubelet/tasks.yaml': texts['roles/kubelet/tasks.yaml'] ?? '' });
  const upgrade = planOf(parsePlan(kubelet, { runVars: { kubelet_version: '1' } }));
  t.equal(upgrade.roles['kubelet']?.tasks.length, 7, 'blocks');
  t.match(found.roles['motd'], { defaults: { greeting: 'Hello' }, files: { 'motd/templates/motd.j2': /Linux/ } });
});

t.test('plays that go on beside each other', async (t) => {
  const text = (needs: string) => `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: p}
spec:
  inventory: {hosts: {a: {address: 10.0.0.1}}}
  playbooks:
    - name: before
      plays: [{name: zero, hosts: a, tasks: [debug: z]}]
    - name: site
      plays:
        - {name: os, hosts: a, needs: [], tasks: [debug: a]}
        - {name: etcd, hosts: a, needs: os, tasks: [debug: b]}
        - {name: runtime, hosts: a, needs: [${needs}], tasks: [debug: c]}
        - {name: init, hosts: a, tasks: [debug: d]}
  hooks:
    - before: runtime
      scripts: {all: here.sh}
    - after: os
      scripts: {all: here.sh}
`;
  const read = (needs: string) =>
    parsePlan({ plan: 'plan.yaml', texts: { 'plan.yaml': text(needs), 'here.sh': 'echo' } });
  const [problem] = problemsOf(read('ecd'));
  t.match(problem, { code: 'PLAN_UNKNOWN_PLAY', position: { line: 13, column: 45 }, remedy: 'Did you mean "etcd"?' });
  const compiled = compile(planOf(read('os')));
  if ('problems' in compiled) throw new Error('it compiles');
  const { tasks, plays } = compiled.graph;
  const nameOf = (task: number): string => plays[tasks[task]?.play ?? -1]?.name ?? '';
  t.same(Object.fromEntries(tasks.map(({ index, edges }) => [nameOf(index), edges.map(({ task }) => nameOf(task))])), {
    zero: [],
    os: ['zero'],
    'after os: all here.sh': ['os'],
    etcd: ['after os: all here.sh'],
    'before runtime: all here.sh': ['after os: all here.sh'],
    runtime: ['before runtime: all here.sh'],
    init: ['runtime', 'etcd'],
  });
});

t.test('hooks: what they name must be there, and is told at its place', async (t) => {
  const text = `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: p}
spec:
  inventory:
    hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2}}
    groups: {etcd: [a], idle: [b]}
  playbooks:
    - name: site
      plays:
        - {name: install, hosts: a, tasks: [{debug: x}]}
  hooks:
    - before: instal
      scripts: {all: here.sh}
    - scripts: {all: here.sh}
    - after: install
      scripts:
        all: [here.sh, gone.sh]
        groups:
          idle: here.sh
          etdc: lost.sh
      env: {bad-name: x}
      timeout: soon
    - before: install
      skripts: {}
`;
  const problems = problemsOf(parsePlan({ plan: 'plan.yaml', texts: { 'plan.yaml': text, 'here.sh': 'echo' } }));
  const told = problems.map((problem) => line(problem).replace(/^plan\.yaml:/, ''));
  for (const expected of [
    /^13:15 PLAN_UNKNOWN_PLAY There is no play "instal".*install/,
    /^15:7 PLAN_MISSING The hook says neither before nor after/,
    /^18:24 PLAN_MISSING The script gone\.sh is not there/,
    /^20:11 PLAN_EMPTY_GROUP The play "install" runs on no node of "idle"/,
    /^21:17 PLAN_MISSING The script lost\.sh is not there/,
    /^21:11 PLAN_UNKNOWN_GROUP .*"etdc"/,
    /^22:13 PLAN_ACTION_INPUT .*bad-name/,
    /^23:16 PLAN_TYPE .*timeout/,
    /^25:7 PLAN_UNKNOWN_KEY .*skripts.*scripts/,
  ])
    t.ok(
      told.some((one) => expected.test(one)),
      `${expected} in\n${told.join('\n')}`,
    );
  const good = text.replace(
    / {2}hooks:[\s\S]*/,
    '  hooks:\n    - {before: install, scripts: {all: [here.sh, here.sh]}}\n',
  );
  const plan = planOf(parsePlan({ plan: 'plan.yaml', texts: { 'plan.yaml': good, 'here.sh': 'echo' } }));
  t.same(
    plan.plays.map(({ name, nodes }) => [name, nodes]),
    [
      ['before install: all here.sh', ['a']],
      ['before install: all here.sh (2)', ['a']],
      ['install', ['a']],
    ],
    'the same script twice is two plays',
  );
  const tagged = good.replace('{name: install,', '{name: install, tags: [web],');
  const marked = planOf(parsePlan({ plan: 'plan.yaml', texts: { 'plan.yaml': tagged, 'here.sh': 'echo' } }));
  t.same(
    marked.plays.map(({ roles }) => roles.map(({ tags }) => tags)),
    [[['web']], [['web']], [['web']]],
    'the tags that select the play select its hooks',
  );
  t.same(
    marked.plays.map(({ hookOf }) => hookOf),
    ['install', 'install', undefined],
  );
});
