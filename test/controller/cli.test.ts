import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse as parseYaml } from 'yaml';
import type { CliParts, Output } from '../../controller/cli/cli.ts';
import { colorsFor } from '../../controller/cli/output/colors.ts';
import { progressFrame } from '../../controller/cli/output/frame.ts';
import { Progress } from '../../controller/cli/output/progress.ts';
import { reportLines } from '../../controller/cli/output/report.ts';
import { runCli } from '../../controller/cli/program.ts';
import { readSettings, socketPath } from '../../controller/config/settings.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import { listenOnSocket } from '../../controller/server/listen-on-socket.ts';
import { operatorApi } from '../../controller/server/operator-api.ts';
import { streamLines } from '../../controller/views/stream-lines.ts';
import { FakeOperations, fakeRun, graphOf, NOW, viewOf } from '../support/fake-operations.ts';
import { Pipe, Screen } from '../support/screen.ts';

const PLAN = `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: lab}
spec:
  inventory:
    hosts:
      cp1: {address: 10.0.0.1}
      w1: {address: 10.0.0.2}
    groups:
      worker: {hosts: [w1]}
  playbooks:
    - name: site
      plays:
        - name: look
          hosts: all
          precheck: true
          tasks:
            - {name: swap is off, check: {rule: swap, with: {in_use: fail}}}
        - name: install
          hosts: all
          serial: 1
          tasks:
            - {name: config, file: {path: /etc/x, content: "a"}, needs: []}
            - {name: start, systemd: {unit: x.service, state: started}, permit: {name: x, count: 1}}
            - {name: join, command: [join], on: worker, needs: [{task: start, of: all}]}
`;
const SOURCES = { plan: 'plan.yaml', texts: { 'plan.yaml': PLAN } };
const [CP1, W1] = [0, 1];
const [SWAP, CONFIG, START, JOIN] = [0, 1, 2, 3];

const ok = (node: number, task: number, changed = false): RunEvent => ({
  kind: 'ended',
  at: NOW - 50_000,
  node,
  task,
  outcome: 'ok',
  result: { changed },
  durationMs: 10,
});
const begun = (node: number, task: number): RunEvent => ({
  kind: 'begun',
  at: NOW - 55_000,
  node,
  task,
  attempt: 1,
  items: 0,
});
const finished = (status: 'done' | 'failed' | 'precheck_failed' | 'cancelled'): RunEvent => ({
  kind: 'finished',
  at: NOW,
  status,
});
const verdict = (node: number, outcome: 'pass' | 'fail'): RunEvent => ({
  ...(ok(node, SWAP) as RunEvent & { kind: 'ended' }),
  verdict: {
    check: 'swap',
    outcome,
    message: outcome === 'pass' ? 'No swap.' : '2 GB of swap are in use.',
    remedy: outcome === 'pass' ? '' : 'Run swapoff -a.',
    evidence: null,
  },
});
const DIFF = { path: '/etc/x', before: '', after: '', unified: '@@ -1 +1 @@\n-old\n+new' };
const FAILED: RunEvent[] = [
  { kind: 'started', at: NOW - 60_000 },
  { kind: 'accepted', at: NOW - 59_000, node: CP1, revision: 1 },
  { kind: 'accepted', at: NOW - 59_000, node: W1, revision: 1 },
  verdict(CP1, 'pass'),
  verdict(W1, 'pass'),
  begun(CP1, CONFIG),
  { ...(ok(CP1, CONFIG, true) as RunEvent & { kind: 'ended' }), result: { changed: true, diffs: [DIFF] } },
  begun(CP1, START),
  {
    ...(ok(CP1, START) as RunEvent & { kind: 'ended' }),
    outcome: 'failed',
    result: {
      changed: false,
      error: {
        code: 'UNIT_FAILED',
        message: 'x.service did not start.',
        remedy: 'See journalctl -u x.',
        evidence: Array.from({ length: 30 }, (_, line) => `line ${line} \u001b[31mred`).join('\n'),
      },
    },
  },
  {
    kind: 'blocked',
    at: NOW - 40_000,
    node: W1,
    tasks: [CONFIG, START, JOIN],
    cause: 'install/install/start on cp1, failed: UNIT_FAILED: x.service did not start.',
    cancelled: false,
  },
  finished('failed'),
];
const DONE: RunEvent[] = [
  { kind: 'started', at: NOW - 60_000 },
  verdict(CP1, 'pass'),
  verdict(W1, 'pass'),
  ok(CP1, CONFIG),
  ok(CP1, START),
  ok(W1, CONFIG),
  ok(W1, START),
  ok(W1, JOIN),
  finished('done'),
];

interface Ran {
  code: number;
  out: string;
  err: string;
}

interface Desk {
  folder: string;
  plan: string;
  operations: FakeOperations;
  run(args: string[], parts?: Partial<CliParts>): Promise<Ran>;
}

const deskParts = (folder: string, out: Output, err: Output): CliParts => ({
  out,
  err,
  settings: { stateFolder: folder, listen: '0.0.0.0:9443', advertise: [], color: false, live: true, user: 'ada' },
  now: () => NOW,
  version: '0.1.0',
  self: { command: process.execPath, args: ['--no-such-option-of-node'] },
  onInterrupt: () => () => {},
  onStop: () => () => {},
  runServe: async () => 0,
});

/** A command line before a controller made of fakes; `served: false`: nobody answers. */
async function desk(t: Test, served = true): Promise<Desk> {
  const folder = await mkdtemp(join(tmpdir(), 'kk-cli-'));
  const operations = new FakeOperations();
  const app = operatorApi(operations);
  if (served) await listenOnSocket(app, socketPath(folder));
  t.teardown(async () => {
    await app.close();
    await rm(folder, { recursive: true });
  });
  const plan = join(folder, 'plan.yaml');
  await writeFile(plan, PLAN);
  return {
    folder,
    plan,
    operations,
    async run(args, parts = {}) {
      const [out, err] = [new Pipe(), new Pipe()];
      const code = await runCli(args, { ...deskParts(folder, out, err), ...parts });
      return { code, out: out.text, err: err.text };
    },
  };
}

const lines = (text: string) => text.trimEnd().split('\n');
const jsonLines = (text: string) => lines(text).map((line) => JSON.parse(line) as { type: string });

t.test('every command explains itself, with examples', async (t) => {
  const { run } = await desk(t, false);
  const help = await run(['--help']);
  t.equal(help.code, 0);
  const commands = [...help.out.matchAll(/^ {2}([a-z-]+) .*?\S/gm)].map(([, name]) => name ?? '');
  const wanted =
    'apply plan precheck status runs logs cancel nodes join-command bootstrap token revoke exec serve version completion';
  for (const name of wanted.split(' ')) {
    t.ok(commands.includes(name), `${name} is listed`);
    const own = await run([name, '--help']);
    t.match([own.code, own.out], [0, /Examples:\n {2}\S*.*kk-controller/], `${name} --help has examples`);
    if (!['serve', 'completion', 'token'].includes(name))
      t.match(own.out, /--output <format>.*table.*json.*yaml/s, name);
  }
  const scripts = await Promise.all(['bash', 'zsh', 'fish'].map((shell) => run(['completion', shell])));
  for (const { code, out } of scripts) {
    t.equal(code, 0);
    for (const name of wanted.split(' ')) t.ok(out.includes(name), `completion knows ${name}`);
    t.match(out, /skip-prechecks/);
  }
  const [bash] = scripts;
  const words = 'COMP_WORDS=(kk-controller token cr); COMP_CWORD=2; _kk_controller; echo $COMPREPLY';
  t.equal(spawnSync('bash', ['-c', `${bash?.out}\n${words}`], { encoding: 'utf8' }).stdout, 'create\n');
  const typo = await run(['aply']);
  t.match([typo.code, typo.err], [1, /Did you mean apply/]);
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

t.test('tokens and the join line: what is pasted goes alone to standard output', async (t) => {
  const { run, operations } = await desk(t);
  const made = await run(['token', 'create', '--ttl', '1h30m', '--uses', '3', '--name', 'w1']);
  t.same(made, { code: 0, out: 'kk1.t1.secret\n', err: 'Token t1: good for w1, for 1h30m.\n' });
  t.match(operations.asked.pop(), { token: { ttlSeconds: 5400, uses: 3, name: 'w1' } });
  t.match((await run(['token', 'list'])).out, /t1 +any +no +3 +10m/);
  t.equal((await run(['token', 'delete', 't1'])).out, 'token t1 deleted.\n');
  const join = await run(['join-command', '--endpoint', 'https://203.0.113.7:9443']);
  t.equal(join.out, 'curl https://203.0.113.7:9443/join.sh | sh\n');
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

t.test('plan: what would run where and in which order', async (t) => {
  const { run, plan } = await desk(t, false);
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

t.test('apply in a pipe: a line for what is worth it, then the report; exit codes', async (t) => {
  const { run, plan, operations } = await desk(t);
  const graph = graphOf(SOURCES);
  operations.next = fakeRun('r1', graph, FAILED);
  const failed = await run(['apply', plan, '--set', 'a.b=3', '--set', 'a.c=x', '--tags', 'one,two']);
  t.equal(failed.code, 3);
  t.match(operations.asked.at(-1), { options: { runVars: { a: { b: 3, c: 'x' } }, tags: ['one', 'two'], by: 'ada' } });
  const [live = '', report = ''] = failed.out.split('\nPrechecks\n');
  t.match(lines(live).slice(0, 4), [
    '11:59:00Z run r1 lab: 2 nodes',
    '11:59:05Z role install begun (install)',
    '11:59:10Z cp1 install/install/config changed',
    '11:59:10Z cp1 install/install/start failed after 10ms',
  ]);
  t.match(live, /UNIT_FAILED\n.*x\.service did not start\.\n.*saw: line 0 red\n/);
  t.match(live, /saw: … 18 more lines\n.*do: See journalctl -u x\.\n/);
  t.match(live, /w1 3 steps blocked: install\/install\/start on cp1/);
  t.notOk(failed.out.includes('\u001b'), 'no colours, no escape sequences, not even those of a node');
  t.match(report, /CHECK {2}CP1 {3}W1\n {2}swap {3}pass {2}pass\n/);
  t.match(
    report,
    /Changes \(1\)\n {2}cp1: install\/install\/config\n {4}\/etc\/x \(\+1 -1\)\n {6}@@ -1 \+1 @@\n {6}-old\n {6}\+new\n/,
  );
  t.match(report, /Failures\n {2}cp1: install\/install\/start failed, which blocked 3 more steps\n/);
  t.match(report, /cp1 +failed +2 +1 +0 +0 +1 +0\n {2}w1 +blocked +1 +0 +0 +0 +0 +3\n/);
  t.match(report, /Failed on 1 of 2 nodes, 3 ok, 1 changed, 1m\. \(run r1\)\nLook: kk-controller logs r1 --node cp1\n/);

  operations.next = fakeRun('r2', graph, DONE);
  const done = await run(['apply', plan]);
  t.match([done.code, done.out], [0, /Done: 2 nodes, 7 ok, 0 changed, 1m\. \(run r2\)\n$/]);
  operations.next = fakeRun('r3', graph, [verdict(CP1, 'pass'), verdict(W1, 'fail'), finished('precheck_failed')]);
  const refused = await run(['precheck', plan]);
  t.equal(refused.code, 2);
  t.match(operations.asked.at(-1), { options: { prechecksOnly: true } });
  t.match(
    refused.out,
    /swap {3}pass {2}fail\n\n {2}fail swap on w1: 2 GB of swap are in use\.\n {4}do: Run swapoff -a\.\n/,
  );
  t.match(refused.out, /2 checks: 1 pass, 1 fail\.\n[\s\S]*Prechecks failed: nothing was changed\./);
  operations.next = fakeRun('r4', graph, [finished('cancelled')]);
  t.equal((await run(['apply', plan])).code, 4);
  const detached = await run(['apply', plan, '--detach', '-o', 'json']);
  t.same([detached.code, JSON.parse(detached.out)], [0, { run: 'r4' }]);
  const json = await run(['apply', plan, '-o', 'json']);
  t.match(jsonLines(json.out), [{ type: 'run' }, { type: 'finished', run: { status: 'cancelled' } }]);
  const yaml = await run(['apply', plan, '-o', 'yaml']);
  t.match(parseYaml(yaml.out.split('---\n')[1] ?? ''), { type: 'run', run: { id: 'r4' } });
  operations.next = undefined;
  t.match((await run(['apply', plan])).err, /error SELECTOR_UNKNOWN\n/);
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

t.test('thousands of nodes fit on a small terminal', (t) => {
  const names = Array.from({ length: 3000 }, (_, i) => `n${i}`);
  const graph = graphOf({
    plan: 'plan.yaml',
    texts: {
      'plan.yaml': PLAN.replace(/hosts:\n[\s\S]*?groups:/, `hosts:\n${hosts(names)}    groups:`).replace(
        '[w1]',
        '[n1]',
      ),
    },
  });
  const run = fakeRun('r1', graph, []);
  const progress = new Progress();
  progress.add({ type: 'run', run: viewOf(run) });
  const events = names.slice(0, 100).flatMap((_, node): RunEvent[] => [verdict(node, 'pass'), begun(node, CONFIG)]);
  for (const event of events) for (const line of streamLines(graph, event)) progress.add(line);
  const frame = progressFrame(progress, { nowMs: NOW, columns: 80, rows: 10, colors: colorsFor(false) });
  t.ok(frame.length <= 8, `${frame.length} lines on a terminal of 10`);
  t.ok(frame.every((line) => line.length < 80));
  t.match(frame, [
    /^lab {2}run r1/,
    /^look .* 100\/3000$/,
    /^install .* on n0, n1, n2 and 97 more$/,
    '3000 nodes: 100 working, 2900 waiting',
  ]);
  t.match(frame.at(-1), /^n\d+ +working +1\/\d +config 55s$/);
  t.end();
});

const hosts = (names: readonly string[]) =>
  names.map((name, i) => `      ${name}: {address: 10.1.${i >> 8}.${i & 255}}\n`).join('');

t.test('a controller that dies under apply is waited for, and nothing is told twice', async (t) => {
  const { run, plan, operations } = await desk(t);
  operations.next = fakeRun('r1', graphOf(SOURCES), FAILED);
  operations.breaks = 2;
  const { code, out } = await run(['apply', plan]);
  t.equal(code, 3);
  t.equal(out.match(/The controller is gone; the nodes go on/g)?.length, 2);
  for (const once of [/run r1 lab/g, /config changed/g, /start failed after/g])
    t.equal(out.match(once)?.length, 1, String(once));
});

t.test('exec: output behind the name of its node, results together, exit 3 when one failed', async (t) => {
  const { run, operations } = await desk(t);
  const log = (node: string, offset: number, text: string, stream: 'stdout' | 'stderr' = 'stdout') => ({
    ...{ type: 'log' as const, at: '2030-01-01T11:59:08.000Z', node, task: 'look/look/swap-is-off' },
    ...{ stream, offset, text },
  });
  const ended = ok(W1, SWAP) as RunEvent & { kind: 'ended' };
  const captured = (head: string) => ({ head, tail: '', bytes: head.length });
  const results: RunEvent[] = [
    {
      ...ended,
      node: CP1,
      result: { changed: true, output: { code: 0, stdout: captured('ignored'), stderr: captured('') } },
    },
    {
      ...ended,
      outcome: 'failed',
      result: {
        changed: false,
        output: { code: 7, stdout: captured('only at the end\n'), stderr: captured('') },
        error: { code: 'COMMAND_FAILED', message: 'The command exited with 7.', remedy: 'See its output.' },
      },
    },
    finished('failed'),
  ];
  operations.next = {
    ...fakeRun('x1', graphOf(SOURCES), results),
    logs: [log('cp1', 0, 'on'), log('cp1', 2, 'e\ntwo\nlast'), log('cp1', 0, 'on'), log('cp1', 0, 'err\n', 'stderr')],
  };
  const ran = await run(['exec', 'all,!w2', '--timeout', '30s', '--', 'df', '-h', '--x']);
  t.same(lines(ran.out), ['cp1 | one', 'cp1 | two', 'cp1 | err', 'cp1 | last', 'w1  | only at the end']);
  t.same([ran.code, lines(ran.err)], [3, ['exit 0: cp1', 'exit 7: w1']]);
  t.match(operations.asked.pop(), {
    exec: { selector: ['all', '!w2'], argv: ['df', '-h', '--x'], timeoutSeconds: 30, by: 'ada' },
  });
  await run(['exec', 'all', '--', 'a | b']);
  t.match(operations.asked.pop(), { exec: { argv: ['/bin/sh', '-c', 'a | b'] } });
  t.match(jsonLines((await run(['exec', 'all', '-o', 'json', '--', 'true'])).out).at(-1), { type: 'finished' });

  const logs = await run(['logs']);
  t.equal(logs.code, 0, 'without -f the past only, and no verdict on it');
  t.match(logs.out, /11:59:08Z cp1 \| one\n/);
  t.notMatch((await run(['logs', 'x1', '--node', 'w1'])).out, /cp1 \|/);
  const follow = await run(['logs', 'x1', '-f', '--task', 'swap']);
  t.match([follow.code, follow.out], [3, /cp1 \| two\n[\s\S]*run x1 failed after 1m\n/]);
  t.match((await run(['cancel', 'last'])).out, /run x1 is asked to cancel/);
  t.match((await run(['logs', 'nope'])).err, /RUN_UNKNOWN/);
});

t.test('bootstrap: phases as they come, failures with their remedy', async (t) => {
  const { run, plan, operations } = await desk(t);
  const error = { code: 'SSH_UNREACHABLE', message: 'w1 refused the connection.', remedy: 'Start sshd.' };
  operations.bootstrapLines = [
    { node: 'cp1', phase: 'installing', done: false },
    { node: 'cp1', phase: 'connected', done: true },
    { node: 'w1', phase: 'connecting', done: true, error },
  ];
  const piped = await run(['bootstrap', plan, 'cp1', 'w1']);
  t.match([piped.code, operations.asked.at(-1)], [3, { bootstrap: ['cp1', 'w1'] }]);
  t.match(
    piped.out,
    /cp1: installing\ncp1: connected\nw1: failed\n.*SSH_UNREACHABLE\n[\s\S]*Failed on w1; 1 of 2 nodes ready\.\n$/,
  );
  const screen = new Screen();
  await run(['bootstrap', plan], { out: screen });
  t.match(screen.text, /^w1: failed\n[\s\S]*Failed on w1/, 'the live table is gone, the failure stays');
  t.match(jsonLines((await run(['bootstrap', plan, '-o', 'json'])).out), [
    { node: 'cp1' },
    {},
    { error: { code: error.code } },
  ]);
  t.match((await run(['bootstrap', plan, 'w3'])).err, /NODE_UNKNOWN[\s\S]*Use one of: cp1, w1\./);
});

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
  const settings = readSettings({ KK_STATE: '/x', KK_ADVERTISE: 'https://a:1', NO_COLOR: '1' }, WHO);
  t.match(settings, { stateFolder: '/x', advertise: ['https://a:1'], color: false, live: true, user: 'ada' });
  t.match(readSettings({}, WHO), { stateFolder: '/home/ada/.local/state/kk-controller', listen: '0.0.0.0:9443' });
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

t.test('views: causes once, the same on many nodes together, nodes that were lost', (t) => {
  const graph = graphOf(SOURCES);
  const error = { code: 'NODE_LOST', message: 'w1 was not heard of for 60 s.', remedy: 'Look at w1.' };
  const run = viewOf(
    fakeRun('r1', graph, [
      { kind: 'started', at: NOW },
      verdict(CP1, 'fail'),
      verdict(W1, 'fail'),
      { ...(ok(CP1, CONFIG, true) as RunEvent & { kind: 'ended' }), outcome: 'failed' },
      { kind: 'given_up', at: NOW, node: W1, error },
      finished('failed'),
    ]),
  );
  t.match(run.failures, [
    { node: 'cp1', task: 'install/install/config', blocks: 0 },
    { node: 'w1', task: '', outcome: 'unreachable', blocks: 3, error: { code: 'NODE_LOST' } },
  ]);
  t.same(run.changes, [], 'what failed is no change');
  t.match(run.nodes, [
    { state: 'failed', failed: 1 },
    { state: 'unreachable', blocked: 3, pending: 0 },
  ]);
  t.match(run.roles, [
    { role: 'look', steps: 2, ended: 2 },
    { role: 'install', steps: 5, ended: 4, failed: 4 },
  ]);
  const report = reportLines(run, { colors: colorsFor(false), columns: 100, diff: false }).join('\n');
  t.match(report, /fail swap on cp1, w1: 2 GB of swap are in use\./);
  t.match(report, /w1: unreachable, which blocked 3 more steps\n +error NODE_LOST\n +w1 was not heard of/);
  t.end();
});
