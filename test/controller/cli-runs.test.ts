import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parse as parseYaml } from 'yaml';
import { colorsFor } from '../../controller/cli/output/colors.ts';
import { progressFrame } from '../../controller/cli/output/frame.ts';
import { Progress } from '../../controller/cli/output/progress.ts';
import { reportLines } from '../../controller/cli/output/report.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import { streamLines } from '../../controller/views/stream-lines.ts';
import {
  begun,
  CONFIG,
  CP1,
  DONE,
  desk,
  FAILED,
  finished,
  jsonLines,
  lines,
  ok,
  PLAN,
  SOURCES,
  SWAP,
  verdict,
  W1,
} from '../support/cli-desk.ts';
import { fakeRun, graphOf, NOW, viewOf } from '../support/fake-operations.ts';
import { Screen } from '../support/screen.ts';

t.test('a question that nobody can be asked is told before anything is started', async (t) => {
  const { folder, run, operations } = await desk(t);
  const file = join(folder, 'asks.yaml');
  const tasks = (...confirms: string[]) =>
    writeFile(
      file,
      PLAN.replace(
        '          tasks:\n            - {name: config',
        `          vars: {sure: true}\n          tasks:\n${confirms.map((one) => `            - {on: controller, ${one}}\n`).join('')}            - {name: config`,
      ),
    );
  await tasks(
    'confirm: "Wipe {{ groups.worker | join }}?"',
    'confirm: "And {{ size }}?", vars: {size: 3}, when: sure',
    'confirm: Not this one?, when: not sure',
    'confirm: "{{ facts.hostname }} too?"',
  );
  const refused = await run(['apply', file]);
  t.equal(refused.code, 1);
  t.match(
    refused.err,
    /CONFIRM_NEEDED\n {2}Nothing was started, for a person has to confirm: Wipe w1\? And 3\?\n.*--yes.*--detach/,
  );
  t.strictSame(operations.asked, [], 'the controller was told nothing');

  const graph = graphOf(SOURCES);
  operations.next = fakeRun('r1', graph, DONE);
  t.equal((await run(['apply', file, '--yes'])).code, 0);
  t.equal((await run(['apply', file, '--check'])).code, 0, 'a dry run asks nothing');
  t.equal((await run(['apply', file, '--detach'])).code, 0, 'it may wait');
  t.equal((await run(['apply', file], { ask: async () => 'n' })).code, 0, 'it will be asked in its turn');
  await tasks('confirm: "{{ facts.hostname }} too?"');
  t.equal((await run(['apply', file])).code, 0, 'what the run has to find out first is asked then');
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
  t.equal(live.match(/w1 blocked: install\/install\/start on cp1/g)?.length, 1, 'once, however many steps find it out');
  t.notOk(failed.out.includes('\u001b'), 'no colours, no escape sequences, not even those of a node');
  t.match(report, /CHECK {2}CP1 {3}W1\n {2}swap {3}pass {2}pass\n/);
  t.match(
    report,
    /Changes \(1\)\n {2}cp1: install\/install\/config\n {4}\/etc\/x \(\+1 -1\)\n {6}@@ -1 \+1 @@\n {6}-old\n {6}\+new\n/,
  );
  t.match(report, /Failures\n {2}cp1: install\/install\/start failed, which blocked 3 more steps\n/);
  t.match(report, /cp1 +failed +2 +1 +0 +0 +1 +0\n {2}w1 +blocked +1 +0 +0 +0 +0 +3\n/);
  t.match(report, /Failed on 1 of 2 nodes, 3 ok, 1 changed, 1m\. \(run r1\)\nLook: kk-controller logs r1 --node cp1\n/);
  t.match(report, /kk-controller retry r1\nor with a mended plan: kk-controller apply --resume r1 plan\.yaml\n/);

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
  t.match(refused.out, /2 checks: 1 pass, 1 fail\.\n[\s\S]*Prechecks failed: no node was changed\./);
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

t.test('thousands of nodes fit on a small terminal', (t) => {
  const names = Array.from({ length: 3000 }, (_, i) => `n${i}`);
  const graph = graphOf({
    plan: 'plan.yaml',
    texts: {
      'plan.yaml': PLAN.replace(/hosts:\n[\s\S]*?groups:/, `hosts:\n${hosts(names)}    groups:`).replace(
        '[w1]',
        '[n2999]',
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
    logs: [
      log('cp1', 0, 'on'),
      log('cp1', 2, 'e\ntwo\n'),
      log('cp1', 0, 'on'),
      log('cp1', 0, 'err\n', 'stderr'),
      log('cp1', 108, 'last'),
    ],
  };
  const ran = await run(['exec', 'all,!w2', '--timeout', '30s', '--', 'df', '-h', '--x']);
  const gap = 'cp1 | … 100 bytes are only on the node …';
  t.same(lines(ran.out), ['cp1 | one', 'cp1 | two', 'cp1 | err', gap, 'cp1 | last', 'w1  | only at the end']);
  t.same([ran.code, lines(ran.err)], [3, ['exit 0: cp1', 'exit 7: w1']]);
  t.match(operations.asked.pop(), {
    exec: { selector: ['all,!w2'], argv: ['df', '-h', '--x'], timeoutSeconds: 30, by: 'ada' },
  });
  await run(['exec', 'all', '--', 'a | b']);
  t.match(operations.asked.pop(), { exec: { argv: ['a | b'] } });
  t.match(jsonLines((await run(['exec', 'all', '-o', 'json', '--', 'true'])).out).at(-1), { type: 'finished' });

  const logs = await run(['logs']);
  t.equal(logs.code, 0, 'without -f the past only, and no verdict on it');
  t.match(logs.out, /11:59:08Z cp1 \| one\n/);
  t.notMatch((await run(['logs', 'x1', '--node', 'w1'])).out, /cp1 \|/);
  const elsewhere = await run(['logs', 'x1', '--node', 'w9']);
  t.match([elsewhere.code, elsewhere.err], [1, /NODE_NOT_IN_RUN[\s\S]*do: Its nodes: .*cp1/]);
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

t.test('verbs: what is asked, what is told before it starts, what follows', async (t) => {
  const { run, plan, operations } = await desk(t);
  const graph = graphOf(SOURCES);
  operations.next = fakeRun('r1', graph, DONE);
  operations.again = [
    { task: 'install/install/start', nodes: ['cp1'], why: 'not done', repeatable: true },
    { task: 'install/install/join', nodes: ['w1'], why: 'changed', repeatable: false },
  ];
  const resumed = await run(['apply', '--resume', plan, '--rerun', 'start,join']);
  t.equal(resumed.code, 0);
  t.match(operations.asked.at(-1), { resume: [/plan/], options: { rerun: ['start', 'join'], wait: true, by: 'ada' } });
  t.notOk('run' in (operations.asked.at(-1) as { options: object }).options, 'the last one of the plan');
  const [head, first, second] = lines(resumed.out);
  t.equal(head, 'run r1, revision 2 runs again:');
  t.equal(first, '  install/install/start on cp1 (not done)');
  t.match(second, /join on w1 \(changed; it was done and cannot be repeated safely: only with --rerun\)/);
  t.match(resumed.out, /Done: 2 nodes/, 'and is followed');
  await run(['apply', '--resume', '7f3a', plan]);
  t.match(operations.asked.at(-1), { options: { run: '7f3a' } });

  const retried = await run(['retry', '--node', 'cp1,w1', '--task', 'start', '--detach']);
  t.match(operations.asked.at(-1), { retry: 'last', nodes: ['cp1', 'w1'], tasks: ['start'], by: 'ada' });
  t.match(retried.out, /run r1 goes on, revision 2\. Watch it with/);
  const json = await run(['retry', 'r1', '--detach', '-o', 'json']);
  t.match(JSON.parse(json.out), { run: 'r1', revision: 2, again: [{}, {}] });
  t.match(await run(['retry', '--failed', '--task', 'x']), { code: 1, err: /USAGE/ });
  t.match(await run(['apply', '--resume', 'last']), { code: 1, err: /kk-controller apply --resume last plan\.yaml/ });

  await run(['skip', 'start', '--reason', 'by hand', '--run', 'r1', '--node', 'cp1']);
  t.match(operations.asked.at(-1), { skip: 'r1', task: 'start', reason: 'by hand', nodes: ['cp1'] });
  t.match(await run(['skip', 'start']), { code: 1, err: /--reason/ });

  t.match((await run(['pause', 'r1'])).out, /run r1 is paused\. It goes on with: kk-controller resume r1/);
  t.equal((await run(['resume', 'r1'])).code, 0);
  t.match(operations.asked.slice(-2), [{ pause: 'r1' }, { unpause: 'r1', by: 'ada' }]);
  await run(['cancel', 'r1', '--force']);
  t.match(operations.asked.at(-1), { cancel: 'r1', force: true });
  t.match((await run(['runs', 'adopt'])).out, /Adopted: r1\./);
  t.match((await run(['runs', 'permit-release', 'last', 'etcd'])).out, /The permit etcd of run r1 is free\./);
  t.match(operations.asked.at(-1), { releasePermit: 'r1', name: 'etcd', by: 'ada' });

  await run(['apply', plan, '--no-wait', '--check']);
  t.match(operations.asked.at(-1), { options: { wait: false, check: true } });
  t.match(await run(['apply', plan, '--rerun', 'x']), { code: 1, err: /--resume/ });
  t.match(await run(['backup', 'x.tar.gz', '--no-logs']), {
    code: 0,
    out: /The backup of fleet f1 is in \/.*x\.tar\.gz/,
  });
  t.match(operations.asked.at(-1), { backup: /^\/.*x\.tar\.gz$/, logs: false });
  t.match(await run(['restore', 'x.tar.gz']), { code: 0, out: /Restored fleet f1 as of 2030-01-01/ });
});

t.test('a dry run and a queued run tell what they are', (t) => {
  const style = { colors: colorsFor(false), columns: 100, diff: false };
  const dry = viewOf(fakeRun('c1', { ...graphOf(SOURCES), kind: 'check' }, [ok(CP1, CONFIG, true), finished('done')]));
  const unknown = [{ node: 'cp1', task: 'install/install/start', why: 'It needs what join would print.' }];
  const told = reportLines({ ...dry, unknown }, style).join('\n');
  t.match(told, /Would change \(1\)\n {2}cp1: install\/install\/config/);
  t.match(told, /Unknown \(1\)\n {2}cp1: install\/install\/start\n {4}It needs what join would print\./);
  t.match(told, /Dry run: nothing was changed; 1 step would change/);
  const waitingFor = [{ run: 'r9', name: 'lab', by: 'eve', since: '2030-01-01T11:02:00.000Z', nodes: ['cp1', 'w1'] }];
  const progress = new Progress();
  progress.add({ type: 'run', run: { ...dry, waitingFor } });
  t.match(
    progressFrame(progress, { nowMs: NOW, columns: 200, rows: 10, colors: colorsFor(false) })[0],
    /waits for run r9 \(lab, by eve since 11:02:00Z\), which holds cp1, w1/,
  );
  t.end();
});
