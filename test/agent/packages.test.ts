import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t from 'tap';
import { parseDatabase, parsePolicy, parseSimulation } from '../../agent/actions/packages/apt.ts';
import { parseList, parseLocks, parseTransaction } from '../../agent/actions/packages/dnf.ts';
import { lockedBy, packageFailure } from '../../agent/actions/packages/failures.ts';
import { fingerprintsOf } from '../../agent/actions/packages/openpgp.ts';
import { aptLists, readSources } from '../../agent/actions/packages/repository-file.ts';
import { parseSearch, parseSummary } from '../../agent/actions/packages/zypper.ts';
import type { CommandResult, Host, RunOutput } from '../../agent/host/host.ts';
import { ACTIONS } from '../../shared/actions/index.ts';
import { realHost } from '../support/real-host.ts';
import { failure, Node } from '../support/undo-node.ts';

/** What real programs said, by their command line without options that set up the test repository. */
function recorded(file: string): Map<string, RunOutput> {
  const text = readFileSync(join(import.meta.dirname, '../fixtures/packages', file), 'utf8');
  const found = new Map<string, RunOutput>();
  for (const [, line = '', stdout = '', stderr = '', code] of text.matchAll(
    /^### (.*)\n<<< stdout\n([\s\S]*?)<<< stderr\n([\s\S]*?)<<< rc (\d+)$/gm,
  ))
    if (!found.has(line)) found.set(line, { code: Number(code), stdout, stderr });
  return found;
}
const KEY = join(import.meta.dirname, '../fixtures/packages/key.asc');
/** As gpg --show-keys tells it. */
const FINGERPRINT = 'AD7BFA7FC3DB566DCE5D52F779FC25BE3CFE1965';
const DNF = recorded('dnf-4.14.txt');
const ZYPPER = recorded('zypper-1.14.txt');

function said(all: Map<string, RunOutput>, line: string): RunOutput {
  const found = all.get(line);
  if (found === undefined) throw new Error(`nothing is recorded of: ${line}`);
  return found;
}

t.test('dnf 4.14: transactions, failures, lists', (t) => {
  const foreseen = (line: string) => parseTransaction(said(DNF, `dnf ${line}`).stdout);
  t.same(foreseen('install --assumeno toola a-package-with-quite-a-long-name-of-its-own'), {
    steps: [
      { name: 'a-package-with-quite-a-long-name-of-its-own', version: '1.0-1' },
      { name: 'toola', version: '2.0-1' },
      { name: 'liba', version: '1.0-1' },
    ],
    downgrades: [],
  });
  t.same(foreseen('upgrade --assumeno toola').steps, [{ name: 'toola', version: '2.0-1' }]);
  t.same(foreseen('install --assumeno toola-1.0'), {
    steps: [{ name: 'toola', version: '1.0-1' }],
    downgrades: ['toola'],
  });
  t.same(foreseen('remove --assumeno liba').steps, [
    { name: 'liba', version: '' },
    { name: 'toola', version: '' },
  ]);
  t.same(foreseen('install --assumeno --allowerasing anti').steps, [
    { name: 'anti', version: '1.0-1' },
    { name: 'toola', version: '' },
  ]);
  t.same(foreseen('install --assumeno toola').steps, [], 'nothing is to do');
  const failed = (line: string) => packageFailure(['dnf'], said(DNF, `dnf ${line}`));
  t.match(failed('install --assumeno nope'), { code: 'PACKAGE_NOT_FOUND', message: /has nope\./ });
  t.match(failed('install --assumeno toola-9.9'), { code: 'PACKAGE_NOT_FOUND', message: /toola-9\.9/ });
  t.match(failed('install --assumeno anti'), { code: 'PACKAGE_UNMET_DEPENDENCIES' });
  t.match(failed('install --assumeno broken'), { code: 'PACKAGE_UNMET_DEPENDENCIES', report: { evidence: /nowhere/ } });
  t.match(failed('versionlock list'), { code: 'PACKAGE_HOLD_UNAVAILABLE' });
  t.match(failed('makecache'), { code: 'REPOSITORY_UNREACHABLE' });
  // dnf(8) and yum(8) of other versions, as their sources print it; not recorded.
  const long = ' kernel-a-very-long-name-that-fills-its-column\n        x86_64   5:14.0-1.el9   baseos   1.2 M\n';
  t.same(
    parseTransaction(`Installing:\n${long}Installing for dependencies:\n b noarch 1-2 @x 0\n\nTransaction Summary\n`)
      .steps,
    [
      { name: 'kernel-a-very-long-name-that-fills-its-column', version: '5:14.0-1.el9' },
      { name: 'b', version: '1-2' },
    ],
  );
  t.same(
    parseLocks('kubelet-0:1.28.2-0.*\n!bad-0:1-1.*\n# a remark\nPackage name: kubeadm\nevr = 1.2-3\n'),
    new Set(['kubelet', 'kubeadm']),
  );
  const list =
    'Installed Packages\ntoola.noarch  1.0-1  @t\nAvailable Packages\ntoola.noarch  1.0-1  t\ntoola.noarch  1:2.0-1  t\n';
  t.same(parseList(list), new Map([['toola', '1:2.0-1']]));
  t.end();
});

t.test('zypper 1.14: summaries, failures, searches', (t) => {
  const foreseen = (line: string) => parseSummary(said(ZYPPER, `zypper ${line}`).stdout);
  t.same(
    foreseen('install --dry-run toola a-package-with-quite-a-long-name-of-its-own').steps.map(({ name }) => name),
    ['a-package-with-quite-a-long-name-of-its-own', 'liba', 'toola'],
  );
  t.same(foreseen('update --dry-run toola'), { steps: [{ name: 'toola', version: '2.0-1' }], downgrades: [] });
  t.same(foreseen('install --dry-run --oldpackage toola=1.0'), {
    steps: [{ name: 'toola', version: '1.0-1' }],
    downgrades: ['toola'],
  });
  t.same(
    foreseen('remove --dry-run liba').steps.map(({ version }) => version),
    ['', ''],
  );
  const failed = (line: string) => packageFailure(['zypper'], said(ZYPPER, `zypper ${line}`));
  t.match(failed('install --dry-run nope'), { code: 'PACKAGE_NOT_FOUND', message: /has nope/ });
  t.match(failed('install --dry-run toola=9.9'), { code: 'PACKAGE_NOT_FOUND', message: /toola=9\.9/ });
  t.match(failed('install --dry-run --oldpackage toola=1.0 while it is locked'), { code: 'PACKAGE_HELD' });
  t.match(failed('install --dry-run anti'), {
    code: 'PACKAGE_UNMET_DEPENDENCIES',
    report: { evidence: /conflicts with toola/ },
  });
  t.match(failed('refresh of one that is not there'), { code: 'REPOSITORY_UNREACHABLE' });
  t.same(
    parseSearch(said(ZYPPER, 'zypper search --match-exact --details --type package toola').stdout),
    new Map([['toola', '2.0-1']]),
  );
  t.end();
});

t.test('apt and dpkg: what they say', (t) => {
  const rows = [
    'libc6\tamd64\tinstall\tinstalled\t2.36-9',
    'libc6\ti386\tinstall\tinstalled\t2.36-9',
    'k\tall\thold\tinstalled\t1',
  ];
  const rest = [
    'gone\tamd64\tdeinstall\tconfig-files\t3',
    'half\tamd64\tinstall\thalf-configured\t4',
    'no\tamd64\tunknown\tnot-installed\t',
  ];
  const found = parseDatabase([...rows, ...rest].join('\n'), 'amd64', new Set(['libc6']));
  t.same([...found.keys()], ['libc6', 'libc6:i386', 'k', 'gone', 'half']);
  t.match(
    [...found.values()],
    [{ auto: true }, { auto: false }, { held: true }, { rest: 'configuration' }, { rest: 'unfinished' }],
  );
  const simulated =
    'Remv toola [2.0]\nInst liba [0.9] (1.0 localhost [all]) []\nInst libc6:i386 (2.36-9 Debian:12 [i386])\nPurg x [1]\nConf liba (1.0)\n';
  t.same(parseSimulation(simulated, []).steps, [
    { name: 'toola', version: '' },
    { name: 'liba', version: '1.0' },
    { name: 'libc6:i386', version: '2.36-9' },
    { name: 'x', version: '' },
  ]);
  const policy =
    'toola:\n  Installed: (none)\n  Candidate: 2.0\n  Version table:\nawk:\n  Installed: (none)\n  Candidate: (none)\n';
  t.same(parsePolicy(policy), new Map([['toola', '2.0']]));
  const codes: Record<string, string> = {
    'E: Unable to locate package nope': 'PACKAGE_NOT_FOUND',
    "E: Version '9' for 'toola' was not found": 'PACKAGE_VERSION_NOT_FOUND',
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.":
      'PACKAGE_DATABASE_BROKEN',
    "E: You don't have enough free space in /var/cache/apt/archives/.": 'PACKAGE_NO_ROOM',
    'dpkg: error processing archive x (--unpack):\n cannot copy extracted data for y to z: failed to write (No space left on device)':
      'PACKAGE_NO_ROOM',
    'E: Failed to fetch http://x/y  Could not connect to x:80': 'REPOSITORY_UNREACHABLE',
    "W: GPG error: http://x: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 12":
      'REPOSITORY_NOT_TRUSTED',
    " trying to overwrite '/usr/bin/x', which is also in package y 1.0": 'PACKAGE_FILE_CONFLICT',
    'The following packages have unmet dependencies:\n a : Depends: b but it is not installable':
      'PACKAGE_UNMET_DEPENDENCIES',
    'installed kk-broken package post-installation script subprocess returned error exit status 3':
      'PACKAGE_SCRIPT_FAILED',
    'E: Held packages were changed and -y was used without --allow-change-held-packages.': 'PACKAGE_HELD',
    'something else': 'PACKAGE_FAILED',
  };
  for (const [stderr, code] of Object.entries(codes))
    t.equal(packageFailure(['apt-get'], { code: 100, stdout: '', stderr }).code, code, stderr);
  t.match(
    packageFailure(['apt-get'], { code: 100, stdout: '', stderr: 'dpkg was interrupted' }).remedy,
    /dpkg --configure -a/,
  );
  const locks: Record<string, number | undefined> = {
    'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1234 (unattended-upgr)': 1234,
    'dpkg: error: dpkg frontend lock was locked by another process with pid 77': 77,
    'Existing lock /var/run/yum.pid: another copy is running as pid 9.': 9,
    'System management is locked by the application with pid 42 (zypper).': 42,
    'E: Could not get lock /var/lib/dpkg/lock - open (11: Resource temporarily unavailable)': undefined,
  };
  for (const [stderr, pid] of Object.entries(locks))
    t.same(lockedBy({ code: 100, stdout: '', stderr }), { pid }, stderr);
  t.equal(lockedBy({ code: 100, stdout: '', stderr: 'E: Unable to locate package' }), undefined);
  t.end();
});

t.test('the inputs are refused where they make no sense', (t) => {
  const refuses = (input: object, why: RegExp) =>
    t.match(ACTIONS.package.input.safeParse(input).error?.message, why, JSON.stringify(input));
  refuses({}, /say what is wanted/);
  refuses({ name: 'a', files: '/x.deb' }, /at most one/);
  refuses({ name: 'a b' }, /not the name/);
  refuses({ name: '-y' }, /not the name/);
  refuses({ name: 'a', version: '1;rm' }, /not the version/);
  refuses({ name: 'a', version: '1', state: 'latest' }, /version belongs/);
  refuses({ name: 'a', state: 'absent', hold: true }, /hold belongs/);
  refuses({ files: 'x.deb' }, /absolute/);
  t.end();
});

function ended({ code, stdout, stderr }: RunOutput): CommandResult {
  const stream = (text: string) => ({
    head: Buffer.from(text),
    tail: Buffer.alloc(0),
    bytes: Buffer.byteLength(text),
    file: '',
  });
  const streams = { stdout: stream(stdout), stderr: stream(stderr) };
  return { code, timedOut: false, cancelled: false, durationMs: 1, ...streams };
}

/** A host whose programs answer at once; `saw` is told of those that outlive the agent. */
function answering(answer: (argv: readonly string[]) => RunOutput, saw: (argv: readonly string[]) => void): Host {
  const real = realHost();
  return {
    ...real,
    // Whoever waits looks again at once.
    files: { ...real.files, changed: async () => {} },
    run: async (argv) => answer(argv),
    commands: {
      ...real.commands,
      async start(folder, { argv }) {
        mkdirSync(folder, { recursive: true });
        saw(argv);
        return ended(answer(argv));
      },
    },
  };
}

/** A machine of Red Hat's kind whose dnf answers as the recorded one did, and knows what it has installed. */
function dnfNode(dir: string) {
  const root = join(dir, 'root');
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  writeFileSync(join(root, 'usr/bin/dnf'), '');
  const installed = new Map<string, string>();
  const locks = new Set<string>();
  const ran: string[] = [];
  let locked = 0;
  let locksLooks = false;
  let isRefused = false;
  const ok = (stdout = ''): RunOutput => ({ code: 0, stdout, stderr: '' });
  const install = (words: string[]): RunOutput => {
    if (words.includes('nope')) return said(DNF, 'dnf install --assumeno nope');
    const key = `dnf install --assumeno ${words
      .join(' ')
      .replace(/(\.\d)-1$/, '$1')
      .replace(/^toola$/, 'toola a-package-with-quite-a-long-name-of-its-own')}`;
    return DNF.get(key) ?? ok();
  };
  const answer = (argv: readonly string[]): RunOutput => {
    const words = argv.slice(1).filter((word) => !word.startsWith('-'));
    const [verb = '', ...names] = words;
    const sets = !argv.includes('--assumeno') && !argv.includes('-q');
    if (argv[0] === 'rpm')
      return ok([...installed].map(([name, v]) => `${name}\t0\t${v.replace('-', '\t')}\n`).join(''));
    if ((sets || locksLooks) && locked > 0) {
      locked -= 1;
      return {
        code: 200,
        stdout: '',
        stderr: `Existing lock /run/dnf.pid: another copy is running as pid ${process.pid}.\n`,
      };
    }
    if (verb === 'versionlock') {
      const [what, ...held] = names;
      if (what === 'list') return ok([...locks].map((name) => `${name}-0:1.0-1.*\n`).join(''));
      for (const name of held) what === 'add' ? locks.add(name) : locks.delete(name);
      return ok();
    }
    if (verb === 'makecache') return isRefused ? { ...said(DNF, 'dnf makecache'), code: 1 } : ok();
    const output = verb === 'install' ? install(names) : said(DNF, `dnf ${verb} --assumeno ${names.join(' ')}`);
    if (!sets) return output;
    for (const { name, version } of parseTransaction(output.stdout).steps)
      version === '' ? installed.delete(name) : installed.set(name, version);
    return ok();
  };
  const host = answering(answer, (argv) => ran.push(argv.filter((word) => !word.startsWith('--setopt')).join(' ')));
  const node = new Node(dir, host);
  return {
    node,
    host,
    installed,
    locks,
    ran: () => ran.splice(0),
    /** `looks`: also for those who only look, as with dnf. */
    lock: (times: number, looks = false) => {
      locked = times;
      locksLooks = looks;
    },
    refuse: (value: boolean) => {
      isRefused = value;
    },
    root: dirname(root),
  };
}

t.test('dnf: installed with what it needs, held, downgraded, refused, and brought back', async (t) => {
  const { node, installed, locks, ran, lock } = dnfNode(t.testdir());
  const toola = { name: 'toola', hold: true };
  const first = await node.do('r1', 'package', toola, 'x');
  t.match(first.output, { manager: 'dnf', packages: { toola: '2.0-1' } });
  t.match(first.output.done, [/a-package/, 'liba 1.0-1 installed', 'toola 2.0-1 installed', 'toola held']);
  t.match(first.diffs, [{ path: 'packages', after: /liba 1\.0-1\ntoola 2\.0-1, held\n/ }]);
  t.same(ran(), ['dnf -y --disableplugin=versionlock install toola', 'dnf versionlock add toola']);
  t.match(await node.do('r2', 'package', toola, 'x'), { changed: false });
  t.match(
    await node.do('r2', 'package', { name: 'toola', version: '2.0' }, 'x'),
    { changed: false },
    'without its release',
  );
  t.same(ran(), []);

  const low = { name: 'toola', version: '1.0' };
  t.match(await failure(node.do('r3', 'package', low, 'x')), {
    code: 'PACKAGE_DOWNGRADE',
    message: /toola 2\.0-1 → 1\.0-1/,
  });
  t.match(await failure(node.do('r3', 'package', { ...low, allow_downgrade: true }, 'x')), { code: 'PACKAGE_HELD' });
  await node.do('r3', 'package', { ...low, allow_downgrade: true, hold: false }, 'x');
  t.same([installed.get('toola'), [...locks]], ['1.0-1', []]);
  t.match(await failure(node.do('r4', 'package', { name: 'anti' }, 'x')), { code: 'PACKAGE_UNMET_DEPENDENCIES' });
  t.match(await failure(node.do('r4', 'package', { name: 'liba', state: 'absent' }, 'x')), {
    code: 'PACKAGE_REMOVES_OTHERS',
    message: /toola would be removed for liba/,
  });
  ran();
  t.match(await failure(node.do('r4', 'package', { name: 'nope' }, 'x')), { code: 'PACKAGE_NOT_FOUND' });
  t.same(ran(), ['dnf -y makecache'], 'the repositories were asked once more');
  t.match(await failure(node.do('r4', 'package', { name: 'nope', update_cache: false }, 'x')), {
    code: 'PACKAGE_NOT_FOUND',
  });
  t.same(ran(), []);

  lock(1);
  await node.do('r5', 'package', { name: 'toola', version: '2.0' }, 'x');
  t.equal(ran().length, 2, 'it waits, and tries again');
  lock(9);
  const busy = await failure(
    node.do('r6', 'package', { name: 'liba', state: 'absent', allow_removal: true, lock_wait_seconds: 0 }, 'x'),
  );
  t.match(busy, { code: 'PACKAGE_LOCK_HELD', message: new RegExp(`process ${process.pid} \\(.*node`) });
  lock(9, true);
  t.match(await failure(node.do('r6', 'package', { ...low, lock_wait_seconds: 0 }, 'x')), {
    code: 'PACKAGE_LOCK_HELD',
    message: new RegExp(`process ${process.pid} \\(.*node`),
  });
  lock(9, true);
  t.match(await failure(node.do('r6', 'package', low, 'x')), { code: 'PACKAGE_DOWNGRADE' }, 'a look waits, too');
  lock(0);
  installed.set('toola', '3.0-1');
  t.match(await failure(node.undo('r5', 'x')), {
    code: 'UNDO_CONFLICT',
    message: /toola is 3\.0-1; the run left 2\.0-1/,
  });
  installed.set('toola', '2.0-1');
  lock(9, true);
  t.match((await node.undo('r5', 'x')).output.restored, ['packages toola']);
  t.same([installed.get('toola'), [...locks]], ['1.0-1', []]);
  await node.undo('r3', 'x');
  t.same([installed.get('toola'), [...locks]], ['2.0-1', ['toola']]);
});

interface Deb {
  version: string;
  held?: boolean;
  /** Only its configuration is there. */
  left?: boolean;
}

/** A machine of Debian's kind: what its apt-get foresees is told by the test, by its words without options, and done when it runs. */
function aptNode(dir: string, foresees: Record<string, string>) {
  const root = join(dir, 'root');
  for (const folder of ['usr/bin', 'usr/sbin', 'etc', 'var/lib/dpkg', 'var/lib/apt/lists/partial'])
    mkdirSync(join(root, folder), { recursive: true });
  for (const file of ['usr/bin/apt-get', 'var/lib/dpkg/status', 'var/lib/apt/lists/x_Packages'])
    writeFileSync(join(root, file), '');
  const installed = new Map<string, Deb>();
  const ran: string[] = [];
  const updates: RunOutput = { code: 0, stdout: '', stderr: '' };
  const ok = (stdout = ''): RunOutput => ({ code: 0, stdout, stderr: '' });
  const row = ([name, { version, held, left }]: [string, Deb]): string => {
    const [want, status] = left ? ['deinstall', 'config-files'] : [held ? 'hold' : 'install', 'installed'];
    return `${name}\tamd64\t${want}\t${status}\t${version}\n`;
  };
  const apt = (argv: readonly string[]): RunOutput => {
    const words = argv.slice(1).filter((word, at) => !word.startsWith('-') && argv[at] !== '-o');
    if (words[0] === 'update') return updates;
    const simulated = foresees[words.join(' ')];
    if (words[0] !== 'purge' && simulated === undefined)
      return { code: 100, stdout: '', stderr: `E: Unable to locate package ${words[1]}\n` };
    if (argv.includes('--simulate')) return ok(simulated);
    for (const name of words[0] === 'purge' ? words.slice(1) : []) installed.delete(name);
    // It lets go what is held.
    for (const { name, version } of parseSimulation(simulated ?? '', []).steps)
      installed.set(name, version === '' ? { version: installed.get(name)?.version ?? '', left: true } : { version });
    return ok();
  };
  const answer = (argv: readonly string[]): RunOutput => {
    const [program, verb, ...names] = argv;
    if (program === 'apt-get') return apt(argv);
    if (program === 'dpkg') return ok('amd64\n');
    if (program === 'touch') utimesSync(names.at(-1) ?? '', 0, Number(names[0]?.split('@')[1]));
    if (program === 'apt-mark' && verb?.endsWith('hold'))
      for (const name of names) installed.set(name, { version: '', ...installed.get(name), held: verb === 'hold' });
    if (program !== 'dpkg-query') return ok();
    if (!names[0]?.includes('Conffiles')) return ok([...installed].map(row).join(''));
    const md5 = createHash('md5').update('as it came').digest('hex');
    return ok(
      names
        .slice(1)
        .map((name) => `${name}\n\n /etc/${name}.conf ${md5}\n`)
        .join(''),
    );
  };
  const host = answering(answer, (argv) => ran.push(argv.join(' ')));
  return { node: new Node(dir, host), host, installed, ran: () => ran.splice(0), updates, root };
}

t.test('apt: a way back spares what came since, purges nobody else, and keeps what was edited', async (t) => {
  const { node, installed, ran, root } = aptNode(t.testdir(), {
    'install lib=2.0': 'Inst lib [1.0] (2.0 x [amd64])\n',
    'install lib=1.0': 'Remv later [1.0]\nInst lib [2.0] (1.0 x [amd64])\n',
    'install lib=1.0 new-': 'Remv later [1.0]\nInst lib [2.0] (1.0 x [amd64])\nRemv new [1.0]\n',
    'install old=2.0': 'Inst old [1.0] (2.0 x [amd64])\nInst new (1.0 x [amd64])\n',
    'install old=1.0': 'Inst old [2.0] (1.0 x [amd64])\n',
    'install old=1.0 new-': 'Inst old [2.0] (1.0 x [amd64])\nRemv new [1.0]\n',
    'install new': 'Inst new (1.0 x [amd64])\n',
    'remove new': 'Remv new [1.0]\n',
  });
  installed.set('lib', { version: '1.0' });
  installed.set('old', { version: '1.0' });
  await node.do('r1', 'package', { name: 'lib', version: '2.0' }, 'x');
  installed.set('later', { version: '1.0' });
  ran();
  const back = await node.undo('r1', 'x');
  t.match(back.output.left, [/^lib is not brought back to 1\.0, because of later, which needs what is there$/]);
  t.same([ran(), installed.get('lib'), installed.get('later')], [[], { version: '2.0' }, { version: '1.0' }]);

  writeFileSync(join(root, 'etc/new.conf'), 'as it came');
  await node.do('r2', 'package', { name: 'old', version: '2.0' }, 'x');
  ran();
  t.same((await node.undo('r2', 'x')).output.left, []);
  t.same([installed.get('old'), installed.has('new')], [{ version: '1.0' }, false]);
  const [first, second] = ran();
  t.notMatch(first, /purge/, 'nothing is purged beside what is installed');
  t.match(second, / purge new$/);

  await node.do('r3', 'package', { name: 'new' }, 'x');
  writeFileSync(join(root, 'etc/new.conf'), 'as a person wants it');
  t.match((await node.undo('r3', 'x')).output.left, ['/etc/new.conf of new is left, because it was changed']);
  t.match(installed.get('new'), { left: true });
});

t.test('apt: holds of others stay, and a name may say the architecture', async (t) => {
  const { node, installed, ran } = aptNode(t.testdir(), {
    'install kubeadm=2.0': 'Inst kubelet [1.0] (2.0 x [amd64])\nInst kubeadm [1.0] (2.0 x [amd64])\n',
    'install kubeadm=2.0 kubelet=2.0': 'Inst kubelet [1.0] (2.0 x [amd64])\nInst kubeadm [1.0] (2.0 x [amd64])\n',
    'install tool': 'Inst tool (1.0 x [amd64])\n',
  });
  for (const name of ['kubeadm', 'kubelet']) installed.set(name, { version: '1.0', held: true });
  const input = { version: '2.0', hold: true };
  t.match(await failure(node.do('r1', 'package', { ...input, name: 'kubeadm' }, 'x')), {
    code: 'PACKAGE_HELD',
    message: /^kubelet is held/,
  });
  t.same(installed.get('kubelet'), { version: '1.0', held: true });
  await node.do('r1', 'package', { ...input, name: ['kubeadm', 'kubelet'] }, 'x');
  t.same([...installed.values()], Array(2).fill({ version: '2.0', held: true }));

  await node.do('r2', 'package', { name: 'tool:amd64' }, 'x');
  ran();
  t.match(await node.do('r3', 'package', { name: 'tool:amd64' }, 'x'), {
    changed: false,
    output: { packages: { tool: '1.0' } },
  });
  t.same(ran(), []);
});

t.test('apt: a refresh that reached nobody is none', async (t) => {
  const foresees: Record<string, string> = {};
  const { node, updates, ran, root } = aptNode(t.testdir(), foresees);
  updates.stderr =
    'W: Failed to fetch http://x/InRelease  Could not connect\nW: Some index files failed to download.\n';
  const refresh = { update_cache: true, cache_valid_seconds: 3600 };
  const partial = join(root, 'var/lib/apt/lists/partial');
  utimesSync(partial, 1, 1);
  t.match(await failure(node.do('r1', 'package', refresh, 'x')), { code: 'REPOSITORY_UNREACHABLE' });
  utimesSync(partial, 1, 1);
  updates.code = 0;
  t.match(await failure(node.do('r1', 'package', { name: 'tool' }, 'x')), { code: 'REPOSITORY_UNREACHABLE' });
  t.equal(statSync(partial).mtimeMs, 0, 'the next task asks again');
  foresees['install tool'] = 'Inst tool (1.0 x [amd64])\n';
  await node.do('r2', 'package', { name: 'tool' }, 'x');
  ran();
  updates.stderr = '';
  t.match(await node.do('r3', 'package', refresh, 'x'), { changed: false });
  t.match(ran(), [/update$/]);
  utimesSync(partial, 7, 7);
  await node.do('r4', 'repository', { name: 'k8s', uris: ['https://x.example/'], trusted: true }, 'y');
  t.equal(statSync(partial).mtimeMs, 7000, 'to ask one repository is not to ask all');
});

t.test('apt: a new agent first follows what its former life began', async (t) => {
  const { node, host, installed, ran, root } = aptNode(t.testdir(), {
    'install serve': 'Inst serve (1.0 x [amd64])\n',
  });
  const policy = join(root, 'usr/sbin/policy-rc.d');
  const input = { name: 'serve', start_services: false };
  let left: Buffer | undefined;
  const start = host.commands.start;
  host.commands.start = async (folder, spec, options) => {
    left = readFileSync(policy);
    return start(folder, spec, options);
  };
  await node.do('r1', 'package', input, 'x');
  t.notOk(existsSync(policy));
  // As it was while that ran; it is at it still.
  writeFileSync(policy, left ?? '');
  installed.delete('serve');
  ran();
  let isGuarded = false;
  const result = Promise.withResolvers<CommandResult>();
  const followed: string[] = [];
  host.commands.recover = async (folder, bootId) => {
    followed.push(`${basename(folder)} of ${bootId}`);
    setImmediate(() => {
      isGuarded = existsSync(policy);
      installed.set('serve', { version: '1.0' });
      result.resolve(ended({ code: 0, stdout: '', stderr: '' }));
    });
    return { state: 'running', result: result.promise };
  };
  node.recovering = { bootId: 'b1' };
  t.match((await node.do('r1', 'package', input, 'x')).output, { packages: { serve: '1.0' } });
  t.same([followed, isGuarded, ran()], [['packages-1 of b1'], true, []]);
  t.notOk(existsSync(policy), 'and nothing keeps services from starting after it');
});

t.test('fingerprints of keys are those that gpg tells', (t) => {
  const key = readFileSync(KEY);
  t.same(fingerprintsOf(key), [FINGERPRINT]);
  const binary = Buffer.from(key.toString().split('\n').slice(2, -3).join(''), 'base64');
  t.same(fingerprintsOf(binary), [FINGERPRINT], 'its binary form');
  t.same(fingerprintsOf(Buffer.concat([binary, binary])), [FINGERPRINT, FINGERPRINT], 'a ring of keys');
  t.same(fingerprintsOf(binary.subarray(0, 20)), [], 'a part of it');
  t.same(fingerprintsOf(Buffer.from('<html>not found</html>')), []);
  t.end();
});

t.test('repository: a .repo with its key, once; refused with another key; gone with the rollback', async (t) => {
  const { node, ran, root, refuse } = dnfNode(t.testdir());
  const file = join(root, 'root/etc/yum.repos.d/k8s.repo');
  const input = {
    name: 'k8s',
    uris: ['https://pkgs.example/v1/rpm/'],
    key_file: KEY,
    fingerprints: [FINGERPRINT.toLowerCase()],
    options: { priority: 10 },
  };
  const other = { ...input, fingerprints: ['0'.repeat(40)] };
  t.match(await failure(node.do('r1', 'repository', other, 'x')), {
    code: 'REPOSITORY_KEY_DIFFERS',
    message: new RegExp(FINGERPRINT),
  });
  t.match(await failure(node.do('r1', 'repository', { ...input, key_file: file }, 'x')), {
    code: 'REPOSITORY_KEY_MISSING',
  });
  const page = { ...input, key_file: undefined, key: '<html>not found</html>' };
  t.match(await failure(node.do('r1', 'repository', page, 'x')), { code: 'REPOSITORY_KEY_INVALID' });
  refuse(true);
  t.match(await failure(node.do('r1', 'repository', input, 'x')), { code: 'REPOSITORY_UNREACHABLE' });
  t.notOk(existsSync(file), 'the next run tries again');
  refuse(false);
  ran();
  const done = await node.do('r1', 'repository', input, 'x');
  t.match(done, { changed: true, output: { fingerprints: [FINGERPRINT], refreshed: true } });
  t.same(ran(), ['dnf -y --disablerepo=* --enablerepo=k8s makecache']);
  t.equal(
    readFileSync(file, 'utf8'),
    '[k8s]\nname=k8s\nbaseurl=https://pkgs.example/v1/rpm/\nenabled=1\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/kk-k8s\npriority=10\n',
  );
  t.match(await node.do('r2', 'repository', input, 'x'), { changed: false });
  t.same(ran(), [], 'nothing is asked where nothing is changed');
  chmodSync(file, 0o600);
  refuse(true);
  const moved = { ...input, uris: ['https://other.example/'] };
  t.match(await failure(node.do('r2', 'repository', moved, 'x')), { code: 'REPOSITORY_UNREACHABLE' });
  t.equal(statSync(file).mode & 0o777, 0o600, 'what was there is back as it was');
  refuse(false);
  chmodSync(file, 0o644);
  await node.do('r3', 'repository', { name: 'k8s', state: 'absent' }, 'x');
  t.notOk(existsSync(file));
  await node.undo('r3', 'x');
  t.ok(existsSync(file));
  await node.undo('r1', 'x');
  t.notOk(existsSync(file));
  t.notOk(existsSync(join(root, 'root/etc/pki/rpm-gpg/kk-k8s')));
  const refuses = (wrong: object, why: RegExp) =>
    t.match(ACTIONS.repository.input.safeParse(wrong).error?.message, why, JSON.stringify(wrong));
  refuses({ name: '../x', uris: ['https://x/'] }, /not a name/);
  refuses({ name: 'x' }, /uris belongs/);
  refuses({ name: 'x', uris: ['https://me:secret@x/'] }, /password/);
  refuses({ name: 'x', uris: ['https://x/\nTrusted: yes'] }, /blanks/);
  refuses({ name: 'x', uris: ['https://x/'], fingerprints: ['x'] }, /fingerprint/);
});

t.test('repository: an agent that is killed between its file and its answer leaves nothing half', async (t) => {
  const dir = t.testdir();
  const input = { name: 'k8s', uris: ['https://pkgs.example/v1/rpm/'] };
  const file = join(dir, 'root/etc/yum.repos.d/k8s.repo');
  /** The agent dies while it asks. */
  const killed = async (run: string, wanted: object) => {
    const { node, host } = dnfNode(dir);
    await new Promise<void>((resolve) => {
      host.commands.start = () => {
        resolve();
        return new Promise(() => {});
      };
      void node.do(run, 'repository', wanted, 'x');
    });
  };
  await killed('r1', input);
  t.ok(existsSync(file));
  const { node, refuse, ran } = dnfNode(dir);
  refuse(true);
  const unreachable = { code: 'REPOSITORY_UNREACHABLE', remedy: /./ };
  t.match(await failure(node.do('r2', 'repository', input, 'x')), unreachable, 'another run does not take it for done');
  t.notOk(existsSync(file), 'no package manager asks in vain');
  refuse(false);
  t.match(await node.do('r3', 'repository', input, 'x'), { changed: true, output: { refreshed: true } });
  ran();
  t.match(await node.do('r4', 'repository', input, 'x'), { changed: false });

  await killed('r5', { ...input, uris: ['https://moved.example/'] });
  const after = dnfNode(dir);
  after.refuse(true);
  after.node.recovering = { bootId: 'b1' };
  const moved = { ...input, uris: ['https://moved.example/'] };
  t.match(await failure(after.node.do('r5', 'repository', moved, 'x')), unreachable, 'its own run, taken up again');
  t.match(readFileSync(file, 'utf8'), 'pkgs.example', 'the one before is back');
  after.node.recovering = undefined;
  t.match(await after.node.undo('r5', 'x'), { changed: false }, 'there is nothing left to undo');
  await killed('r6', moved);
  await dnfNode(dir).node.undo('r6', 'x');
  t.match(readFileSync(file, 'utf8'), 'pkgs.example');
  await dnfNode(dir).node.undo('r3', 'x');
  t.notOk(existsSync(file));
});

t.test('apt: an undo that a restart of the agent cuts short is followed, and ended', async (t) => {
  const dir = t.testdir();
  const foresees = {
    'install serve': 'Inst serve (1.0 x [amd64])\n',
    'remove serve': 'Remv serve [1.0]\n',
  };
  const first = aptNode(dir, foresees);
  await first.node.do('r1', 'package', { name: 'serve' }, 'x');
  await new Promise<void>((resolve) => {
    first.host.commands.start = (folder) => {
      mkdirSync(folder, { recursive: true });
      resolve();
      return new Promise(() => {});
    };
    void first.node.undo('r1', 'x');
  });
  const { node, host, installed, ran } = aptNode(dir, foresees);
  installed.set('serve', { version: '1.0' });
  const result = Promise.withResolvers<CommandResult>();
  host.commands.recover = async () => {
    setImmediate(() => {
      installed.set('serve', { version: '1.0', left: true });
      result.resolve(ended({ code: 0, stdout: '', stderr: '' }));
    });
    return { state: 'running', result: result.promise };
  };
  t.match(await node.undo('r1', 'x'), { changed: true });
  t.match(ran(), [/ purge serve$/], 'nothing is removed twice; what was left to do is done');
  t.notOk(installed.has('serve'));
  t.same(readdirSync(join(node.state, 'undo-packages')), []);
});

t.test('what apt names the lists of a repository', (t) => {
  t.same(aptLists({ uris: ['http://deb.debian.org/debian'], suites: ['bookworm'] }), [
    'deb.debian.org_debian_dists_bookworm_',
  ]);
  t.same(aptLists({ uris: ['file:/srv/kk-repo'], suites: ['./'] }), ['_srv_kk-repo_._']);
  t.same(aptLists({ uris: ['https://pkgs.k8s.io/core:/stable:/v1.30/deb/'], suites: ['/'] }), [
    'pkgs.k8s.io_core:_stable:_v1.30_deb_',
  ]);
  t.same(readSources('Types: deb\nURIs: http://a http://b\nSuites: x\n'), {
    uris: ['http://a', 'http://b'],
    suites: ['x'],
  });
  t.end();
});
