import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, stat, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import Fastify from 'fastify';
import t from 'tap';
import { parse as parseYaml } from 'yaml';
import type { CliParts } from '../../controller/cli/cli.ts';
import { Client } from '../../controller/cli/client.ts';
import { readSettings, socketPath } from '../../controller/config/settings.ts';
import { BUILD_HEADER } from '../../controller/config/version.ts';
import { listenOnSocket } from '../../controller/server/listen-on-socket.ts';
import { openRequests } from '../../controller/server/open-requests.ts';
import { operatorApi } from '../../controller/server/operator-api.ts';
import { pendingView } from '../../controller/views/node-view.ts';
import { DONE, desk, deskParts, FAILED, lines, PLAN, SOURCES } from '../support/cli-desk.ts';
import { FakeOperations, fakeRun, graphOf } from '../support/fake-operations.ts';
import { Pipe, Screen } from '../support/screen.ts';

t.test('every command explains itself, with examples', async (t) => {
  const { run } = await desk(t, false);
  const help = await run(['--help']);
  t.equal(help.code, 0);
  const commands = [...help.out.matchAll(/^ {2}([a-z-]+) .*?\S/gm)].map(([, name]) => name ?? '');
  const wanted =
    'apply plan precheck status runs logs cancel pause resume retry skip nodes join-command bootstrap token revoke exec facts actions inventory config serve backup restore version completion';
  for (const name of wanted.split(' ')) {
    t.ok(commands.includes(name), `${name} is listed`);
    const own = await run([name, '--help']);
    t.match([own.code, own.out], [0, /Examples:\n {2}\S*.*kk-controller/], `${name} --help has examples`);
    if (!['serve', 'completion', 'token', 'config', 'inventory'].includes(name))
      t.match(own.out, /--output <format>.*table.*json.*yaml/s, name);
  }
  const scripts = await Promise.all(['bash', 'zsh', 'fish'].map((shell) => run(['completion', shell])));
  for (const { code, out } of scripts) {
    t.equal(code, 0);
    for (const name of wanted.split(' ')) t.ok(out.includes(name), `completion knows ${name}`);
    t.match(out, /skip-prechecks/);
  }
  const [bash] = scripts;
  const complete = (...words: string[]): string => {
    const program = 'kk-controller() { echo "asked $*" >&2; echo "$* cp1 w1"; }';
    const line = `COMP_WORDS=(kk-controller ${words.join(' ')}); COMP_CWORD=${words.length}; _kk_controller; echo "\${COMPREPLY[@]}"`;
    return spawnSync('bash', ['-c', `${bash?.out}\n${program}\n${line}`], { encoding: 'utf8' }).stdout.trim();
  };
  t.equal(complete('token', 'cr'), 'create');
  t.equal(complete('facts', '-o', 'ya'), 'yaml');
  t.equal(complete('revoke', 'w'), 'w1', 'names of nodes are asked for');
  t.equal(complete('--state', '/srv', 'logs', '--node', "''"), '--state /srv completion nodes cp1 w1', 'of that state');
  t.match(complete('cancel', "''"), /completion runs/);
  t.match(complete('actions', "''"), /completion actions/);
  t.equal(complete('exec', '--fo'), '--forks', 'and not for an option');
  const typo = await run(['aply']);
  t.match([typo.code, typo.err], [1, /error USAGE\n {2}Unknown command 'aply'\.\n {2}do: Did you mean apply\?/]);
  const bare = await run(['apply']);
  t.match([bare.code, bare.err], [1, /error USAGE\n.*plan\.yaml.*\n {2}do: See `kk-controller apply --help`/]);
});

t.test('the tab key in real shells', async (t) => {
  const { run } = await desk(t, false);
  const folder = t.testdir({
    'kk-controller': t.fixture('file', '#!/bin/sh\nfor name in cp1 "w1"; do echo "$name"; done\necho "of-$2"\n'),
    functions: {},
  });
  await chmod(join(folder, 'kk-controller'), 0o755);
  const env = { PATH: `${folder}:${process.env['PATH']}`, HOME: folder, TERM: 'xterm' };
  const isHere = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0;
  const by = (program: string, ...args: string[]): string[] => {
    const { stdout } = spawnSync(program, args, { encoding: 'utf8', env, timeout: 100_000 });
    return stdout.replace(/\n$/, '').split('\n');
  };
  await t.test('zsh', { skip: isHere('zsh') ? false : 'there is no zsh here' }, async (t) => {
    const { out } = await run(['completion', 'zsh']);
    await writeFile(join(folder, 'functions', '_kk-controller'), out);
    const asFile = `fpath=(${folder}/functions $fpath); autoload -U compinit; compinit -u -D`;
    const sourced = `autoload -U compinit; compinit -u -D; source ${folder}/functions/_kk-controller`;
    const typed: Record<string, string> = {
      'kk-controller token cr': 'kk-controller token create ',
      'kk-controller exec --fo': 'kk-controller exec --forks ',
      'kk-controller facts -o ya': 'kk-controller facts -o yaml ',
      'kk-controller revoke w': 'kk-controller revoke w1 ',
      'kk-controller --state /srv logs --node of': 'kk-controller --state /srv logs --node of-/srv ',
    };
    const lines = by('zsh', '-f', join(import.meta.dirname, '../support/tab.zsh'), asFile, ...Object.keys(typed));
    t.same(lines, Object.values(typed));
    const [first = ''] = Object.keys(typed);
    t.same(by('zsh', '-f', join(import.meta.dirname, '../support/tab.zsh'), sourced, first), [typed[first]]);
  });
  await t.test('fish', { skip: isHere('fish') ? false : 'there is no fish here' }, async (t) => {
    await writeFile(join(folder, 'functions', 'kk.fish'), (await run(['completion', 'fish'])).out);
    const offered = (line: string): string[] => {
      const script = `source ${folder}/functions/kk.fish; complete -C '${line}'`;
      return by('fish', '--no-config', '-c', script).map((one) => one.split('\t')[0] ?? '');
    };
    t.same(offered('kk-controller token '), ['create', 'delete', 'list']);
    t.same(offered('kk-controller exec --fo'), ['--forks']);
    t.same(offered('kk-controller facts -o ya'), ['yaml']);
    t.same(offered('kk-controller revoke w'), ['w1']);
    t.same(offered('kk-controller --state /srv logs --node of'), ['of-/srv']);
    t.same(offered('kk-controller exec token '), ['cp1', 'of-nodes', 'w1'], 'a node may be called as a command');
  });
});

t.test('looking: tables for people, JSON and YAML for programs', async (t) => {
  const { run, operations } = await desk(t);
  t.same(lines((await run(['nodes'])).out), [
    'NODE  STATE      ADDRESS   ARCH  VERSION  SEEN  AGE   CERTIFICATE  HELD FOR',
    'cp1   connected  10.0.0.1  x64   0.1.0    now   1d1h  2030-01-06',
    'w1    away       -         x64   0.1.0    3m    1d1h  2030-01-06',
  ]);
  t.match(JSON.parse((await run(['nodes', '-o', 'json'])).out), [{ name: 'cp1', connected: true }, { name: 'w1' }]);
  t.match(parseYaml((await run(['nodes', '-o', 'yaml'])).out), [{ name: 'cp1', connected: true }, { name: 'w1' }]);
  t.match((await run(['status'])).out, /^controller {2}0\.1\.0, pid 42, up 1h30m\n(.*\n)*nodes +1 of 2 connected/);
  t.match(JSON.parse((await run(['status', '-o', 'json'])).out), { fleetId: 'f1', nodes: { known: 2 } });
  t.match((await run(['runs'])).out, /No runs yet\./);
  t.equal((await run(['completion', 'nodes'])).out, 'all\ncp1\nw1\n');
  t.match((await run(['completion', 'actions'])).out, /^file$/m);
  operations.runsById.set('r1', fakeRun('r1', graphOf(SOURCES), DONE));
  t.match(
    (await run(['runs'])).out,
    /^RUN +NAME +KIND +STATUS +AGE +DURATION +BY\nr1 +lab +plan +running +1m +1m +ada\n$/,
  );
  t.match(JSON.parse((await run(['version', '-o', 'json'])).out), { client: '0.1.0', controller: '0.1.0' });
  t.match((await run(['revoke', 'w1'])).out, /w1 +revoked/);
  const unknown = await run(['revoke', 'x1']);
  t.match([unknown.code, unknown.err], [1, 'error NODE_UNKNOWN\n  There is no node "x1".\n  do: See nodes.\n']);
});

t.test('the catalogue of actions, and what can be set: no controller is asked', async (t) => {
  const { run, plan } = await desk(t, false);
  t.match((await run(['actions'])).out, /^ACTION +CHANGES[\s\S]*^file +yes +restores +a file with this content/m);
  const one = await run(['actions', 'file']);
  t.match(one.out, /^ {2}path +text; required\n[\s\S]*template +text\n +A path below the role's templates\//m);
  t.match(
    one.out,
    /state +present \| absent; default "present"[\s\S]*What register keeps[\s\S]*Example\n {2}- file:\n/,
  );
  t.match(one.out, /a rollback +brings back what was there before/);
  const all = JSON.parse((await run(['actions', '-o', 'json'])).out) as {
    action: string;
    example: unknown;
    inputs: { name: string }[];
  }[];
  const command = all.find(({ action }) => action === 'command');
  t.match(command, { changes: true, repeatable: 'by inputs', undo: 'cannot', shorthand: true });
  t.match(command?.inputs[0], { name: 'argv', about: /no shell/ });
  const grace = command?.inputs.find(({ name }) => name === 'grace_seconds');
  t.match(grace, { default: 10, type: 'number 0 to 3600' });
  t.notOk(
    all.some(({ action }) => action === 'undo'),
    'what nobody may write is not there',
  );
  t.match(await run(['actions', 'fiel']), { code: 1, err: /ACTION_UNKNOWN[\s\S]*Did you mean "file"\?/ });

  t.match(
    (await run(['config', 'defaults'])).out,
    /^# Role precheck, from kk:.*\n# Every number[\s\S]*install_fio: true/m,
  );
  t.match(JSON.parse((await run(['config', 'defaults', '-o', 'json'])).out), { precheck: { etcd: { data_dir: /./ } } });
  t.equal((await run(['config', 'defaults', plan])).out, '# The roles of this plan have no defaults.\n');
  t.match(JSON.parse((await run(['config', 'schema'])).out), { title: 'kk plan', $defs: { inventory: {} } });
  t.match(await run(['config', 'validate', plan]), {
    code: 0,
    out: /plan\.yaml is valid: 2 nodes, 2 plays, 4 tasks\.\n/,
  });
  t.match(JSON.parse((await run(['config', 'validate', plan, '-o', 'json'])).out), { valid: true, nodes: 2 });
  await writeFile(plan, PLAN.replace('hosts: [w1]', 'hosts: [w9]'));
  t.match(await run(['config', 'validate', plan]), { code: 1, out: '', err: /plan\.yaml:10:24/ });
});

t.test('an inventory is shown, written out, and made of a table', async (t) => {
  const { run, plan, folder } = await desk(t, false);
  t.same(lines((await run(['inventory', 'show', plan])).out), [
    'NODE  ADDRESS   GROUPS  SSH  VARIABLES',
    'cp1   10.0.0.1  -       -    -',
    'w1    10.0.0.2  worker  -    -',
  ]);
  const csv = join(folder, 'nodes.csv');
  await writeFile(csv, 'name,address,groups,ssh.user,ssh.port,vars.key\nn[1:2],10.0.0.[1:2],worker,ops,2222,s3cret\n');
  const shown = await run(['inventory', 'show', csv]);
  t.match(shown.out, /^n2 +10\.0\.0\.2 +worker +ops@10\.0\.0\.2:2222 +key$/m);
  t.match(JSON.parse((await run(['inventory', 'show', csv, '-o', 'json'])).out), {
    nodes: [{ name: 'n1', vars: { key: 's3cret' } }, {}],
    groups: { worker: { nodes: ['n1', 'n2'] } },
  });
  const made = await run(['inventory', 'from-csv', csv]);
  t.match(parseYaml(made.out), {
    ...{ apiVersion: 'kk.dev/v1', kind: 'Inventory', groups: { worker: ['n1', 'n2'] } },
    hosts: { n1: { address: '10.0.0.1', ssh: { user: 'ops', port: 2222 } }, n2: {} },
  });
  const inventory = join(folder, 'inventory.yaml');
  await writeFile(inventory, made.out);
  t.equal((await run(['inventory', 'expand', inventory])).out, made.out, 'what is made is an inventory again');
  const absent = await run(['inventory', 'from-csv', `${csv}.old`]);
  t.match(absent.err, /There is no table of hosts .*nodes\.csv\.old\.[\s\S]*do: Give the path of a table of hosts/);
  await writeFile(csv, 'name,address\nn1,10.0.0.300\n');
  const bad = await run(['inventory', 'from-csv', csv]);
  t.match([bad.code, bad.err], [1, /nodes\.csv:2:4\n[\s\S]*no usable IP address[\s\S]*\|\s+\^/]);
  await writeFile(plan, PLAN.replace('{address: 10.0.0.2}', '{address: 10.0.0.1}'));
  t.match(await run(['inventory', 'show', plan]), { code: 1, err: /PLAN_DUPLICATE_ADDRESS/ });
});

t.test('tokens and the join line: what is pasted goes alone to standard output', async (t) => {
  const { run, operations } = await desk(t);
  const made = await run(['token', 'create', '--ttl', '1h30m', '--uses', '3', '--name', 'w1']);
  t.same(made, { code: 0, out: 'kk1.t1.secret\n', err: 'Token t1: good for w1, for 1h30m.\n' });
  t.match(operations.asked.pop(), { token: { ttlSeconds: 5400, uses: 3, name: 'w1' } });
  t.match((await run(['token', 'list'])).out, /t1 +any +no +3 +10m/);
  t.equal((await run(['token', 'delete', 't1'])).out, 'token t1 deleted.\n');
  const join = await run(['join-command', '--endpoint', 'https://203.0.113.7:9443']);
  t.equal(join.out, 'curl https://203.0.113.7:9443/join.sh | sh\n');
  t.match((await run(['join-command', '--endpoint', 'https://203.0.113.7'])).out, 'https://203.0.113.7:443/join.sh');
  const vague = await run(['join-command', '--endpoint', '203.0.113.7']);
  t.match([vague.code, vague.err], [1, /Write https:\/\/host:port/]);
  for (const ttl of ['0', '366d'])
    t.match((await run(['token', 'create', `--ttl=${ttl}`])).err, /Write a duration from 1s to 365d/);
  for (const ttl of ['soon', '5x', '-1']) {
    const bad = await run(['token', 'create', `--ttl=${ttl}`]);
    t.match([bad.code, bad.err], [1, /Write a duration such as 30s/]);
  }
});

t.test('a broken plan is told whole, with its lines, before any controller is asked', async (t) => {
  const { run, plan } = await desk(t, false);
  await writeFile(plan, PLAN.replace('hosts: [w1]', 'hosts: [w9]').replace('serial: 1', 'serail: 1'));
  for (const command of ['apply', 'plan', 'precheck', 'bootstrap']) {
    const { code, out, err } = await run([command, plan]);
    t.match([code, out], [1, ''], command);
    t.match(lines(err).slice(0, 3), [
      /^error PLAN_UNKNOWN_\w+ .*plan\.yaml:10:24$/,
      /w9/,
      '  10 |       worker: {hosts: [w9]}',
    ]);
    t.equal(lines(err)[3], `     |${' '.repeat(24)}^`);
    t.match(err, /plan\.yaml:21:11[\s\S]*serail[\s\S]*do: [\s\S]*serial[\s\S]*\n2 problems\.\n$/);
  }
  const json = await run(['plan', plan, '-o', 'json']);
  t.match(JSON.parse(json.err), { problems: [{ position: { line: 10, column: 24 } }, { position: { line: 21 } }] });
  const missing = await run(['apply', 'nowhere.yaml']);
  t.match([missing.code, missing.err], [1, /PLAN_NOT_FOUND/]);
});

t.test('machines that wait, and agents that are replaced', async (t) => {
  const { run, operations } = await desk(t);
  const { out } = await run(['nodes', 'approve', 'w9']);
  t.match(
    lines(out)[1],
    /^w9 +approved +10\.0\.0\.9 +x64 +0\.1\.0 +- +1m +- +SHA256:\S+ w9, Debian 12, 4 CPUs, 8 GiB$/,
  );
  t.match(operations.asked.at(-1), { decide: 'w9', what: 'approved', by: 'ada' });
  t.match(JSON.parse((await run(['nodes', 'reject', 'w9', '-o', 'json'])).out), [{ pending: { state: 'rejected' } }]);
  t.match((await run(['nodes', 'approve'])).err, /names or --all/);
  t.match((await run(['nodes', 'approve', '--all'])).out, /No machine waits/);
  const waiting = pendingView(operations.pending);
  operations.nodes = async () => [waiting];
  for (const which of ['w9', '--all']) {
    await run(['nodes', 'approve', which]);
    t.match(
      operations.asked.at(-1),
      { decide: 'w9', fingerprint: waiting.pending?.fingerprint },
      'the key that was shown',
    );
  }
  await run(['nodes', 'approve', 'w9', '--fingerprint', 'SHA256:other']);
  t.match(operations.asked.at(-1), { decide: 'w9', fingerprint: 'SHA256:other' }, 'the key that a person has compared');
  t.match((await run(['nodes', 'approve', '--all', '--fingerprint', 'SHA256:x'])).err, /of one node/);
  const wish = ['--uses', '9', '--names', 'w*', '--groups', 'a,b', '--cidr', '10.0.0.0/8', '--approve'];
  const made = await run(['token', 'create', ...wish]);
  t.match(operations.asked.at(-1), {
    token: { uses: 9, names: 'w*', groups: ['a', 'b'], cidrs: ['10.0.0.0/8'], approve: true },
  });
  t.match(made.err, /good for 9 nodes named w\*, for 1h; into a b, from 10\.0\.0\.0\/8, to be approved\./);

  t.match(await run(['nodes', 'remove', 'w1']), { code: 0, out: /w1 is no node any more: its agent has left\./ });
  t.match(operations.asked.at(-1), { remove: 'w1', force: false, by: 'ada' });
  t.match((await run(['nodes', 'remove', 'w1', '--force'])).out, /is forgotten.*kk-agent uninstall --yes/);

  operations.upgradeLines = [
    { node: 'cp1', phase: 'has the newest', done: true, result: 'newest' },
    { node: 'w1', phase: 'fetching', done: false },
    {
      ...{ node: 'w1', phase: 'failed', done: true, result: 'failed' as const },
      error: { code: 'UPGRADE_NOT_CONNECTED', message: 'It did not come.', remedy: 'Look at it.' },
    },
    { node: 'w2', phase: 'left as it is: an earlier one failed', done: true, result: 'left' },
  ];
  const failed = await run(['nodes', 'upgrade', 'worker:!w3', '--batch', '1', '--limit', '2m']);
  t.equal(failed.code, 3);
  t.match(operations.asked.at(-1), { upgrade: { selector: ['worker:!w3'], batch: 1, limitSeconds: 120 } });
  t.match(failed.out, /w1: failed\n.*UPGRADE_NOT_CONNECTED[\s\S]*do: Look at it/);
  t.match(failed.out, /Failed on w1; 0 agents upgraded, 1 had the newest; 1 node not begun\.\n$/);
  operations.upgradeLines = [{ node: 'w1', phase: 'runs 0.2.0-1', done: true, result: 'upgraded' }];
  t.match(await run(['nodes', 'upgrade']), { code: 0, out: /Done: 1 agent upgraded, 0 had the newest\./ });
  const json = (await run(['nodes', 'upgrade', '-o', 'json'])).out;
  t.match(JSON.parse(json), { node: 'w1', result: 'upgraded' }, 'its own -o, not that of the list');
});

t.test('plan: what would run where and in which order', async (t) => {
  const { run, plan } = await desk(t, false);
  t.match(await run(['plan', plan, '--phase', 'look']), { code: 0, out: /^lab: 2 nodes, 1 play, 2 steps\n/ });
  t.match(await run(['plan', plan, '--phase', 'instal']), { code: 1, err: /PHASE_UNKNOWN[\s\S]*"install"/ });
  t.same(lines((await run(['plan', plan])).out), [
    'lab: 2 nodes, 2 plays, 7 steps',
    '',
    '1. look on cp1, w1; every later change waits for it',
    '   look',
    '     swap is off [check]',
    '',
    '2. install on cp1, w1; after all prechecks; 2 batches',
    '   batch 1: cp1',
    '   batch 2: w1',
    '   install',
    '     config [file]',
    '     start [systemd]; 1 at a time (x)',
    '     join [command]; on w1; after "start" on all of its nodes',
  ]);
  const view = JSON.parse((await run(['plan', plan, '-o', 'json', '--skip-prechecks'])).out);
  t.match(view, { plays: [{ play: 'install', afterPrechecks: false, batches: [['cp1'], ['w1']] }] });
});

t.test('nobody answers: exit 5 and what to do; a controller that cannot start shows its log', async (t) => {
  const { run, plan, folder } = await desk(t, false);
  for (const args of [['status'], ['nodes'], ['exec', 'all', '--', 'true'], ['logs'], ['token', 'list']]) {
    const { code, err } = await run(args);
    t.match([code, err], [5, /CONTROLLER_UNREACHABLE[\s\S]*do: Start one with `kk-controller serve`/], args.join(' '));
  }
  t.equal((await run(['version'])).out, 'kk-controller 0.1.0\nno controller is running\n');
  const { code, err } = await run(['apply', plan]);
  t.equal(code, 1);
  t.match(
    err,
    /CONTROLLER_START_FAILED\n.*exit code 9[\s\S]*saw: .*no-such-option-of-node[\s\S]*do: Mend what the log says/,
  );
  t.equal((await stat(join(folder, 'controller.log'))).mode & 0o777, 0o600);
});

t.test(
  'apply on a terminal: live lines within its height, failures stay above, Ctrl-C asks and then lets go',
  async (t) => {
    const { run, plan, operations } = await desk(t);
    operations.next = fakeRun('r1', graphOf(SOURCES), FAILED.slice(0, -1));
    let interrupt: () => void = () => {};
    operations.beforeEnd = (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
    const screen = new Screen(100, 12);
    const ended = run(['apply', plan], {
      out: screen,
      onInterrupt(handler) {
        interrupt = handler;
        return () => {};
      },
    });
    await screen.until(/5\/5/);
    t.match(lines(screen.text).slice(-5), [
      'lab  run r1  1m',
      /^look {5}━{16} {2}2\/2$/,
      /^install {2}━+ {2}5\/5 {2}1 failed$/,
      /^cp1 {2}failed +3\/3, 1 changed$/,
      /^w1 {3}blocked +4\/4$/,
    ]);
    t.match(screen.text, /cp1 install\/install\/start failed after 10ms\n.*UNIT_FAILED/);
    const cancelled = new Promise<void>((resolve) => (operations.onCancel = resolve));
    interrupt();
    await cancelled;
    interrupt();
    const { code, err } = await ended;
    t.match([code, err], [4, /Left alone: the run goes on\. See it with `kk-controller logs r1 -f`/]);
    t.match(screen.text, /Cancelling: commands at work are stopped\. Ctrl-C again/);
    t.match(operations.asked.at(-1), { cancel: 'r1', by: 'ada' });
  },
);

t.test('serve is told its options; environment gives the defaults', async (t) => {
  const { run, folder } = await desk(t, false);
  const served: unknown[] = [];
  const runServe: CliParts['runServe'] = async (options) => served.push(options);
  await run(['serve', '--listen', '[::1]:9000', '--lease', '4h', '--until-idle'], { runServe });
  await run(['serve', '--advertise', 'https://a:1', '--advertise', 'https://b:2', '--state', '/srv/kk'], { runServe });
  t.match(served, [
    { stateFolder: folder, listen: { host: '::1', port: 9000 }, leaseSeconds: 14_400, untilIdle: true, advertise: [] },
    { stateFolder: '/srv/kk', listen: { host: '0.0.0.0', port: 9443 }, advertise: ['https://a:1', 'https://b:2'] },
  ]);
  const parts = deskParts(folder, new Pipe(), new Pipe());
  const odd = await run(['serve'], { settings: { ...parts.settings, listen: 'everywhere' } });
  t.match([odd.code, odd.err], [1, /SETTING_INVALID\n.*KK_LISTEN is "everywhere"\.\n {2}do: Write host:port/]);
  const settings = readSettings({ KK_STATE: '/x', KK_ADVERTISE: 'https://a:1', NO_COLOR: '1' }, WHO);
  t.match(settings, { stateFolder: '/x', advertise: ['https://a:1'], color: false, live: true, user: 'ada' });
  t.match(readSettings({}, WHO), { stateFolder: '/home/ada/.local/state/kk-controller', listen: undefined });
  t.match(readSettings({ SUDO_USER: 'ada' }, { ...WHO, uid: 0 }), {
    stateFolder: '/var/lib/kk-controller',
    user: 'ada (sudo)',
  });
  for (const args of [
    ['--listen', 'x'],
    ['--advertise', 'http://a'],
    ['--lease', 'x'],
  ])
    t.equal((await run(['serve', ...args])).code, 1);
});

const WHO = { uid: 1000, user: 'ada', home: '/home/ada' };

t.test('the operator socket: for its owner only, stale ones replaced, live ones respected', async (t) => {
  const { folder } = await desk(t);
  const path = socketPath(folder);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  await t.rejects(listenOnSocket(operatorApi(new FakeOperations()), path), { code: 'CONTROLLER_RUNNING' });
  await t.rejects(listenOnSocket(operatorApi(new FakeOperations()), `/tmp/${'x'.repeat(110)}/s`), {
    code: 'SOCKET_PATH_TOO_LONG',
  });
  const stale = join(folder, 'stale.sock');
  spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  t.ok((await stat(stale)).isSocket(), 'a killed process leaves its socket file');
  const app = operatorApi(new FakeOperations());
  await listenOnSocket(app, stale);
  await app.close();
  await t.rejects(stat(stale), { code: 'ENOENT' });
});

t.test('what another build answers is read closely, what this one answers is taken as it is', async (t) => {
  const { folder, operations } = await desk(t, { [BUILD_HEADER]: 'one' });
  operations.nodes = async () => [{ name: 7 }] as never;
  t.same(await new Client(socketPath(folder), 'one').nodes(), [{ name: 7 }]);
  await t.rejects(new Client(socketPath(folder), 'two').nodes(), { code: 'CONTROLLER_ANSWER' });
  await t.rejects(new Client(socketPath(folder)).nodes(), { code: 'CONTROLLER_ANSWER' }, 'sources have no build');
});

t.test('the operator API refuses in coded errors', async (t) => {
  const app = operatorApi(new FakeOperations());
  const post = async (url: string, payload: unknown) => {
    const { statusCode, body } = await app.inject({ method: 'POST', url, payload: payload as object });
    return [statusCode, JSON.parse(body)];
  };
  t.match(await post('/v1/runs', { sources: { plan: 1 } }), [
    400,
    { error: { code: 'REQUEST_INVALID', message: /sources\.plan/ } },
  ]);
  t.match(await post('/v1/exec', { selector: [], argv: ['x'] }), [400, { error: { code: 'REQUEST_INVALID' } }]);
  t.match(await post('/v1/tokens', { ttlSeconds: 60, extra: 1 }), [400, { error: { message: /extra/ } }]);
  t.match(await post('/v1/tokens', { ttlSeconds: 60, name: 'x'.repeat(2_000_000) }), [
    413,
    { error: { code: 'REQUEST_TOO_LARGE' } },
  ]);
  t.match(await post('/v1/nope', {}), [404, { error: { code: 'REQUEST_INVALID' } }]);
  t.match(await post('/v1/nodes/x/revoke', {}), [404, { error: { code: 'NODE_UNKNOWN' } }]);
  const unknown = await app.inject({ url: '/v1/runs/x/stream' });
  t.match([unknown.statusCode, unknown.json()], [404, { error: { code: 'RUN_UNKNOWN' } }]);
});

t.test('a controller that would end when idle knows of each open request', async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  let ring = (): void => {};
  const requests = openRequests(app, () => ring());
  const came = new Promise<void>((resolve) => {
    app.get('/long', (_request, reply) => {
      reply.raw.write('a line');
      resolve();
    });
  });
  app.get('/short', async () => 'done');
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const closed = () => new Promise<void>((resolve) => (ring = resolve));
  const first = closed();
  await (await fetch(`${url}/short`)).text();
  await first;
  t.equal(requests.size, 0, 'answered');
  const asked = get(`${url}/long`);
  await Promise.all([came, once(asked, 'response')]);
  t.equal(requests.size, 1, 'an answer that is still told');
  const second = closed();
  asked.on('error', () => {}).destroy();
  await second;
  t.equal(requests.size, 0, 'nobody listens any more');
});
