import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { ActionContext, ActionExecutor } from '../../agent/actions/executor.ts';
import { commandFailure, createExecutors, createResourceKinds } from '../../agent/actions/index.ts';
import { scriptExecutor } from '../../agent/actions/script.ts';
import { systemdExecutor } from '../../agent/actions/systemd.ts';
import { UndoStore } from '../../agent/undo/store.ts';
import { ACTIONS, type ActionInput, type ActionKind, type ActionOutput } from '../../shared/actions/index.ts';
import { type ErrorReport, reportOf } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import { fakeSystemd } from '../support/fake-systemd.ts';
import { contextWith, isWritten, realHost, until } from '../support/real-host.ts';

const host = realHost();
const facts = { hostname: 'n1' } as never;
const executors = createExecutors({
  stateFolder: '/tmp/kk-test-unused',
  scripts: `${'/tmp/kk-test-unused'}/scripts`,
  undo: new UndoStore({ folder: '/tmp/kk-test-unused/undo', kinds: createResourceKinds('/tmp/kk-test-unused'), host }),
  files: {} as never,
  gather: {
    facts: async () => facts,
    forRule: async (rule) =>
      rule === 'swap' ? { facts: { swap: 1 } } : { facts: null, trouble: 'RULE_UNKNOWN: no such rule' },
  },
});

interface Done<K extends ActionKind> {
  already: boolean;
  changed: boolean;
  output: ActionOutput<K>;
  diffs: Diff[];
}

/** The error that a person sees. */
async function failure(work: Promise<unknown>): Promise<ErrorReport | undefined> {
  return work.then(() => undefined, reportOf);
}

/** What the agent does with a step: check the input by the contract, look, and work where something is left to do. */
async function step<K extends ActionKind>(
  kind: K,
  input: unknown,
  context: ActionContext,
  executor = executors[kind] as unknown as ActionExecutor<K>,
): Promise<Done<K>> {
  const parsed = ACTIONS[kind].input.parse(input) as ActionInput<K>;
  const inspected = await executor.inspect(parsed, context);
  if (inspected.already) return { already: true, changed: false, output: inspected.output, diffs: [] };
  const { output, changed, diffs } = await executor.apply(parsed, context);
  ACTIONS[kind].output.parse(output);
  return { already: false, changed: changed ?? true, output, diffs: diffs ?? [] };
}

t.test('every contract: example and shorthand fit, unknown keys and contradictions do not', async (t) => {
  for (const { kind, input, example } of Object.values(ACTIONS)) t.ok(input.safeParse(example).success, kind);
  const refuses = (kind: ActionKind, input: unknown) =>
    t.notOk(ACTIONS[kind].input.safeParse(input).success, JSON.stringify(input));
  refuses('command', {});
  refuses('command', { argv: ['a'], shell: 'b' });
  refuses('command', { argv: [] });
  refuses('command', { shell: 'x', chdr: '/' });
  refuses('file', { path: 'relative' });
  refuses('file', { path: '/a/../b' });
  refuses('file', { path: '/a', content: '', source: 'x' });
  refuses('file', { path: '/a', content: '', state: 'absent' });
  refuses('directory', { path: '/a', recursive: true });
  refuses('systemd', { unit: 'a' });
  refuses('systemd', { unit: '../a', enabled: true });
  refuses('wait_for', { port: 1, path: '/a' });
  refuses('wait_for', { url: 'ftp://x' });
  for (const mode of [644, '0644', '755', 1777])
    t.ok(ACTIONS.file.input.safeParse({ path: '/a', mode }).success, String(mode));
  for (const mode of [0o644, 0o600, 0o755, '9', '644x', -1]) refuses('file', { path: '/a', mode });
  t.same(ACTIONS.command.shorthand?.('ls'), { shell: 'ls' });
  t.same(ACTIONS.command.shorthand?.(['ls']), { argv: ['ls'] });
  t.same(ACTIONS.directory.shorthand?.('/a'), { path: '/a' });
  const { repeatable } = ACTIONS.command;
  const repeats = (input: object) =>
    typeof repeatable === 'function' && repeatable(ACTIONS.command.input.parse({ shell: 'x', ...input }));
  t.same([repeats({}), repeats({ creates: '/a' }), repeats({ unless: 'true' })], [false, true, true]);
});

t.test('command: output, failure rule, creates and unless', async (t) => {
  const dir = t.testdir();
  let number = 0;
  const log: string[] = [];
  const context = () =>
    contextWith(host, join(dir, `attempt-${++number}`), { log: (_, __, data) => log.push(String(data)) });
  const done = await step('command', { argv: ['printf', '%s|', 1, true, 'ü'], env: { N: 3 } }, context());
  t.match(done, { already: false, changed: true, output: { code: 0, started: true, stdout: { head: '1|true|ü|' } } });
  t.same(log, ['1|true|ü|']);
  t.equal(commandFailure(done.output), undefined);

  const failed = await step(
    'command',
    { shell: 'echo out; for i in $(seq 50); do echo line $i >&2; done; exit 4' },
    context(),
  );
  t.match(commandFailure(failed.output), {
    code: 'COMMAND_FAILED',
    message: /exited with 4/,
    evidence: /^line 31\n.*line 50$/s,
  });
  const killed = await step('command', { shell: 'kill -9 $$' }, context());
  t.match(commandFailure(killed.output), { message: /ended by SIGKILL/ });
  const slow = step(
    'command',
    { shell: 'echo got here >&2; sleep 600', grace_seconds: 0 },
    { ...context(), timeoutMs: 300 },
  );
  t.match(await failure(slow), { code: 'COMMAND_TIMEOUT', evidence: 'got here' });

  const made = join(dir, 'made');
  t.match(await step('command', { shell: `echo x > '${made}'`, creates: made }, context()), { already: false });
  const second = await step('command', { shell: `echo x > '${made}'`, creates: made }, context());
  t.match(second, { already: true, output: { started: false } });
  t.equal(commandFailure(second.output), undefined);
  const unless = { shell: `echo $USER > who`, unless: ['test', '-s', 'who'], chdir: dir, user: 'nobody' };
  chmodSync(dir, 0o777);
  t.match(await step('command', unless, context()), { already: false, output: { code: 0 } });
  t.equal(readFileSync(join(dir, 'who'), 'utf8'), 'nobody\n');
  t.match(await step('command', unless, context()), { already: true });
  t.match(await step('command', { shell: 'true', unless: 'exit 1' }, context()), { already: false });
});

t.test('command: text of streams that are not whole or not UTF-8', async (t) => {
  const dir = t.testdir();
  const context = contextWith(host, join(dir, 'a'));
  // The limit of the head, 16 KiB, cuts through a character of two bytes.
  const { output } = await step('command', { shell: `printf x; for i in $(seq 9000); do printf ü; done` }, context);
  t.equal(output.stdout.head + output.stdout.tail, `x${'ü'.repeat(9000)}`);
  const long = await step(
    'command',
    { shell: `printf x; yes ü | tr -d '\\n' | head -c 80000` },
    contextWith(host, join(dir, 'b')),
  );
  t.equal(long.output.stdout.bytes, 80_001);
  t.notMatch(long.output.stdout.head + long.output.stdout.tail, '\ufffd');
  const binary = await step('command', { shell: `printf 'a\\377\\000b'` }, contextWith(host, join(dir, 'c')));
  t.equal(binary.output.stdout.head, 'a\ufffd\u0000b');
});

t.test('command: an attempt that the agent did not live to see end is taken up', async (t) => {
  const dir = t.testdir();
  const recovering = { bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() };
  const shell = `echo ran >> '${dir}/ran'; echo x > '${dir}/made'`;
  const folder = join(dir, 'attempt');
  await step('command', { shell }, contextWith(host, folder));
  const again = await step('command', { shell, creates: join(dir, 'made') }, contextWith(host, folder, { recovering }));
  t.match(again, { already: false, output: { started: true, code: 0 } }, 'its real result, although creates is there');
  t.equal(readFileSync(join(dir, 'ran'), 'utf8'), 'ran\n', 'and it did not run again');

  const fresh = join(dir, 'fresh');
  t.match(await step('command', { shell }, contextWith(host, fresh, { recovering })), { output: { code: 0 } });
  t.equal(readFileSync(join(dir, 'ran'), 'utf8'), 'ran\nran\n', 'one that never started is started');
  const lost = contextWith(host, join(dir, 'lost'), { recovering: { bootId: 'an earlier boot' } });
  await t.rejects(step('command', { shell }, lost), { code: 'INTERRUPTED' });
  t.match(await step('command', { shell, creates: join(dir, 'made') }, lost), {
    changed: false,
    output: { started: false },
  });
});

t.test('command: one that a cancel forestalled has no result that could be taken for success', async (t) => {
  const dir = t.testdir();
  const abort = new AbortController();
  const starting = () => abort.abort(new Error('cancelled in the last moment'));
  const context = contextWith(host, join(dir, 'attempt'), { signal: abort.signal, starting });
  await t.rejects(step('command', { shell: `touch '${dir}/ran'` }, context), /last moment/);
  t.notOk(existsSync(join(dir, 'ran')));
});

t.test('a failure that is known says its cause and its remedy', async (t) => {
  const dir = t.testdir();
  let number = 0;
  const remedies = [
    { match: '^lock: held by (?<who>\\w+)$', cause: '$<who> holds the lock.', remedy: 'End $<who>, then apply again.' },
    { match: 'lock', cause: 'another.', remedy: 'another' },
  ];
  const run = async (shell: string, other: Partial<ActionContext> = {}) =>
    (await step('command', { shell, remedies }, contextWith(host, join(dir, `attempt-${++number}`), other))).output;
  const failed = await run('echo begun; echo "lock: held by apt" >&2; exit 4');
  t.match(commandFailure(failed), {
    code: 'COMMAND_FAILED',
    message: 'The command exited with 4: apt holds the lock.',
    remedy: 'End apt, then apply again.',
    evidence: 'lock: held by apt',
  });
  const secret = commandFailure(await run('echo "lock: held by apt"; exit 1', { sensitive: true }));
  t.match(secret, { message: /: … holds the lock\.$/, remedy: 'End …, then apply again.' }, 'nothing that was printed');
  t.match(commandFailure(await run('echo something else; exit 1')), { remedy: /failed_when/ });
  t.notOk((await run('echo "lock: held by apt"')).known, 'it went well');
  const long = 'a'.repeat(40);
  const endless = [{ match: '(a+)+$', cause: 'endless.', remedy: 'none' }];
  const slow = contextWith(host, join(dir, 'slow'));
  const { output } = await step('command', { shell: `echo ${long}!; exit 1`, remedies: endless }, slow);
  t.notOk(output.known, 'a pattern that does not come to an end tells nothing, and holds nobody up for long');
  const wide = contextWith(host, join(dir, 'wide'));
  const shell = `head -c 60000 /dev/zero | tr '\\0' a; echo; echo "lock: held by apt"; exit 1`;
  t.match((await step('command', { shell, remedies: [...remedies.slice(0, 1), ...endless] }, wide)).output, {
    known: { cause: 'apt holds the lock.' },
  });
  const late = failure(run('echo "lock: held by apt"; exec sleep 60', { timeoutMs: 300 }));
  t.match(await late, { code: 'COMMAND_TIMEOUT', message: /apt holds the lock/, remedy: /^End apt/ });
});

t.test('script: shipped, run by its interpreter as a command is, and taken away', async (t) => {
  const dir = t.testdir();
  const scripts = join(dir, 'scripts');
  chmodSync(dir, 0o755);
  const executor = scriptExecutor(scripts);
  let number = 0;
  const files: Record<string, string> = {
    'files/sub/look.sh': '#!/bin/sh -e\necho "$0 got $# $1 $N"; stat -c "%a %U" "$0" "$(dirname "$0")"; id -un\n',
    'files/perl.pl': '#!/usr/bin/env perl\nprint "perl $ARGV[0]";\n',
    'files/caller.sh': '. "${0%/*}/said.sh"\nsaid "$0"\n',
    'files/other/role:sub/said.sh': 'said() { stat -c "%a %U" "${1%/*}"/*; ls "${1%/*}"; }\n',
    'files/plain': 'echo "it is $(readlink /proc/$$/exe | grep -c sh)"; exit 6\n',
  };
  const run = (input: object, other: Partial<ActionContext> = {}) => {
    const context = contextWith(host, join(dir, `attempt-${++number}`), { roleFile: (path) => files[path], ...other });
    return step('script', input, context, executor);
  };
  const left = () => (existsSync(scripts) ? readdirSync(scripts) : []);

  const asUser = await run({ source: 'sub/look.sh', args: ['a b', 2], env: { N: 3 }, user: 'nobody' });
  t.match(asUser, { changed: true, output: { code: 0, started: true } });
  t.match(asUser.output.stdout.head, /\/look\.sh got 2 a b 3\n400 nobody\n700 nobody\nnobody\n$/, 'for its user alone');
  t.same(left(), [], 'and gone');
  t.match(await run({ source: 'perl.pl', args: ['x'] }), { output: { stdout: { head: 'perl x' } } });
  const calling = await run({ source: 'caller.sh', beside: ['other/role:sub/said.sh'], user: 'nobody' });
  t.equal(calling.output.stdout.head, '400 nobody\n400 nobody\ncaller.sh\nsaid.sh\n', 'what it reads lies beside it');
  t.same(left(), []);
  t.notOk(ACTIONS.script.input.safeParse({ source: 'a.sh', beside: ['r:a.sh'] }).success, 'each by its own name');
  t.match(await failure(run({ source: 'caller.sh', beside: ['absent.sh'] })), { code: 'ROLE_FILE_MISSING' });
  const plain = await run({ source: 'plain' });
  t.match(plain.output.stdout.head, 'it is 1');
  t.match(commandFailure(plain.output), { code: 'COMMAND_FAILED', message: /exited with 6/ });
  t.match(await run({ content: 'print("here")', interpreter: ['perl', '-w'] }), {
    output: { stdout: { head: 'here' } },
  });
  t.match(await failure(run({ content: 'x', interpreter: '/no/such' })), { code: 'COMMAND_NOT_FOUND' });
  t.match(await failure(run({ content: 'x', user: 'no-such-user' })), { code: 'COMMAND_NO_SUCH_USER' });
  t.match(await failure(run({ source: 'absent' })), { code: 'ROLE_FILE_MISSING' });
  t.match(await failure(run({ content: 'echo on; sleep 60', grace_seconds: 0 }, { timeoutMs: 300 })), {
    code: 'COMMAND_TIMEOUT',
  });
  t.same(left(), [], 'however it ends');

  const made = join(dir, 'made');
  const once = { content: `echo x > '${made}'`, creates: made };
  t.match(await run(once), { already: false });
  t.match(await run(once), { already: true, output: { started: false } });
  t.match(ACTIONS.script.repeatable, Function);

  const recovering = { bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() };
  const folder = join(dir, 'taken-up');
  const ran = { content: `echo ran >> '${dir}/ran'` };
  await step('script', ran, contextWith(host, folder), executor);
  t.match(await step('script', ran, contextWith(host, folder, { recovering }), executor), { output: { code: 0 } });
  t.equal(readFileSync(join(dir, 'ran'), 'utf8'), 'ran\n', 'a later life of the agent does not run it again');
});

t.test('file: written whole with its diff, then already; touched by hand, mended', async (t) => {
  const dir = t.testdir();
  const path = join(dir, 'app.conf');
  const context = contextWith(host, dir);
  const input = { path, content: 'a = 1\nb = 2\n', mode: '0640', owner: 'root', group: 0 };
  const first = await step('file', input, context);
  t.match(first, {
    changed: true,
    output: { sha256: createHash('sha256').update(input.content).digest('hex'), mode: '0640' },
  });
  t.match(first.diffs, [
    { path, before: '', after: input.content, unified: /^--- \/dev\/null\n\+\+\+ .*app\.conf\n@@.*\n\+a = 1/ },
  ]);
  t.equal(statSync(path).mode & 0o7777, 0o640);
  t.match(await step('file', input, context), { already: true, output: { mode: '0640' } });

  writeFileSync(path, 'a = 9\nb = 2\n');
  chmodSync(path, 0o666);
  const mended = await step('file', input, context);
  t.match(mended.diffs, [{ unified: /-a = 9\n\+a = 1\n b = 2\n/ }, { before: 'mode: 0666', after: 'mode: 0640' }]);
  t.equal(readFileSync(path, 'utf8'), input.content);
  t.equal(statSync(path).mode & 0o7777, 0o640);

  const kept = await step('file', { path, content: 'c\n' }, context);
  t.match(kept.output, { mode: '0640' }, 'an unstated mode stays as it is');
  const only = await step('file', { path, mode: 600, owner: 'nobody' }, context);
  t.match(only.diffs, [{ unified: /-mode: 0640\n.*\+mode: 0600\n/s }]);
  t.equal(readFileSync(path, 'utf8'), 'c\n');
  t.equal(statSync(path).uid, 65534);
  t.match(await step('file', { path, mode: 600, owner: 'nobody' }, context), { already: true });

  t.match(await step('file', { path, state: 'absent' }, context), {
    changed: true,
    diffs: [{ before: '[2 bytes, not shown: not everybody may read the file]', after: '' }],
  });

  // A password of an earlier run, of which this one knows nothing.
  const secret = { path, content: 'password = hunter2\nport = 1\n', mode: '0600' };
  await step('file', secret, context);
  const without = { path, content: 'port = 1\n', mode: '0644' };
  const removed = await step('file', without, context);
  t.match(removed.diffs, [{ path, before: /28 bytes/, after: /9 bytes/ }, { after: 'mode: 0644' }]);
  t.notMatch(JSON.stringify(removed.diffs), /hunter2/);
  await step('file', secret, context);
  const edited = await step('line_in_file', { path, line: 'port = 2', regexp: '^port' }, context);
  t.equal(edited.changed, true);
  t.notMatch(JSON.stringify(edited.diffs), /hunter2/);
  const gone = await step('file', { path, state: 'absent' }, context);
  t.equal(gone.changed, true);
  t.notMatch(JSON.stringify(gone.diffs), /hunter2/);
  t.match(await step('file', { path, state: 'absent' }, context), { already: true });
  t.same(await host.files.list(dir), [], 'no temporary file is left');
});

t.test('file: templates and files of the role, bounded diffs, and what stands in the way', async (t) => {
  const dir = t.testdir({ sub: {} });
  const shipped: Record<string, string> = { 'templates/a.conf': 'name = {{ name }}\n', 'files/raw': '{{ raw }}\n' };
  const context = contextWith(host, dir, {
    roleFile: (path) => shipped[path],
    render: (text, file) => text.replace('{{ name }}', `n1 from ${file}`),
  });
  const path = join(dir, 'x');
  await step('file', { path, template: 'a.conf' }, context);
  t.equal(readFileSync(path, 'utf8'), 'name = n1 from templates/a.conf\n');
  await step('file', { path, source: 'raw' }, context);
  t.equal(readFileSync(path, 'utf8'), '{{ raw }}\n');
  await t.rejects(step('file', { path, template: 'none' }, context), { code: 'ROLE_FILE_MISSING' });

  writeFileSync(path, Buffer.from([0, 255, 1]));
  const binary = await step('file', { path, content: 'text' }, context);
  t.match(binary.diffs, [{ before: /^\[3 bytes, sha256 /, unified: /-\[3 bytes, sha256 [0-9a-f]{64}\]\n\+\[4 bytes/ }]);
  const lines = (word: string) => Array.from({ length: 20_000 }, (_, i) => `${word} ${i}\n`).join('');
  await step('file', { path, content: lines('old') }, context);
  const [huge] = (await step('file', { path, content: lines('new') }, context)).diffs;
  t.ok(Buffer.byteLength(JSON.stringify(huge)) < 64 * 1024, 'a diff is bounded');

  symlinkSync('/etc/hostname', join(dir, 'link'));
  await t.rejects(step('file', { path: join(dir, 'link'), content: 'x' }, context), { code: 'FILE_NOT_REGULAR' });
  await t.rejects(step('file', { path: join(dir, 'sub'), state: 'absent' }, context), { code: 'FILE_NOT_REGULAR' });
  await t.rejects(step('file', { path: join(dir, 'no/such/x'), content: 'x' }, context), { code: 'FOLDER_MISSING' });
  await t.rejects(step('file', { path, owner: 'no-such-user' }, context), { code: 'NO_SUCH_USER' });
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  const files = { ...host.files, writeAtomic: () => Promise.reject(full) };
  const onFullDisk = contextWith({ ...host, files }, dir);
  await t.rejects(step('file', { path, content: 'x' }, onFullDisk), { code: 'DISK_FULL' });
});

t.test('what a killed agent had written beside a file is gone with the next write', async (t) => {
  const dir = t.testdir();
  const path = join(dir, 'large');
  let beside = '';
  const broken = async function* () {
    yield Buffer.from('half');
    [beside = ''] = readdirSync(dir);
    await host.files.writeAtomic(path, Buffer.from('of another step'));
    throw new Error('ended');
  };
  await t.rejects(host.files.writeAtomic(path, broken()), { message: 'ended' });
  t.equal(readFileSync(path, 'utf8'), 'of another step', 'two at once do not disturb each other');
  t.same(readdirSync(dir), ['large']);
  writeFileSync(join(dir, beside), 'half');
  await host.files.writeAtomic(path, Buffer.from('whole'));
  t.same([readdirSync(dir), readFileSync(path, 'utf8')], [['large'], 'whole']);
});

t.test('directory: made with its parents, already, mended, removed only when that is meant', async (t) => {
  const dir = t.testdir();
  const path = join(dir, 'a/b');
  const context = contextWith(host, dir);
  t.match(await step('directory', { path, mode: '0750' }, context), { changed: true, output: { mode: '0750' } });
  t.equal(statSync(path).mode & 0o7777, 0o750);
  t.equal(statSync(join(dir, 'a')).mode & 0o7777, 0o755);
  t.match(await step('directory', { path, mode: '0750' }, context), { already: true });
  chmodSync(path, 0o777);
  t.match(await step('directory', { path, mode: '0750' }, context), { diffs: [{ before: 'mode: 0777' }] });
  symlinkSync(path, join(dir, 'link'));
  t.match(
    await step('directory', { path: join(dir, 'link') }, context),
    { already: true },
    'a link to a directory is one',
  );

  writeFileSync(join(path, 'content'), 'x');
  await t.rejects(step('directory', { path, state: 'absent' }, context), { code: 'DIRECTORY_NOT_EMPTY' });
  t.match(await step('directory', { path, state: 'absent', recursive: true }, context), {
    changed: true,
    diffs: [{ before: /content/ }],
  });
  t.match(await step('directory', { path, state: 'absent', recursive: true }, context), { already: true });
  for (const root of ['/', '/etc', '/usr/', '/var//lib', '/./root']) {
    await t.rejects(
      step('directory', { path: root, state: 'absent', recursive: true }, context),
      { code: 'DIRECTORY_PROTECTED' },
      root,
    );
  }
  mkdirSync(join(dir, 'with mount'));
  const table = Buffer.from(
    `36 35 98:0 / ${join(dir, 'with mount', 'data').replaceAll(' ', '\\040')} rw - ext4 /dev/sdb rw\n`,
  );
  const read = (file: string) => (file === '/proc/self/mountinfo' ? Promise.resolve(table) : host.files.read(file));
  const mounted = contextWith({ ...host, files: { ...host.files, read } }, dir);
  await t.rejects(step('directory', { path: join(dir, 'with mount'), state: 'absent', recursive: true }, mounted), {
    code: 'DIRECTORY_HAS_MOUNTS',
  });
  symlinkSync(dir, join(dir, 'moved'));
  await t.rejects(
    step('directory', { path: join(dir, 'moved/with mount'), state: 'absent', recursive: true }, mounted),
    { code: 'DIRECTORY_HAS_MOUNTS' },
    'also below a folder that was moved with a symlink',
  );
  symlinkSync('/', join(dir, 'slash'));
  await t.rejects(step('directory', { path: join(dir, 'slash/etc'), state: 'absent' }, context), {
    code: 'DIRECTORY_PROTECTED',
  });
  writeFileSync(join(dir, 'file'), '');
  await t.rejects(step('directory', { path: join(dir, 'file') }, context), { code: 'DIRECTORY_IS_OTHER' });
});

t.test('owner and mode never go through a symlink that a user may have put there', async (t) => {
  const dir = t.testdir({ secret: 'x', folder: {} });
  const context = contextWith(host, dir);
  chmodSync(join(dir, 'secret'), 0o600);
  chmodSync(join(dir, 'folder'), 0o700);
  // What the action sees is a file; when it changes it, somebody has put a symlink there.
  symlinkSync(join(dir, 'secret'), join(dir, 'swapped'));
  const stat = () => host.files.stat(join(dir, 'secret'));
  const swapped = contextWith({ ...host, files: { ...host.files, stat } }, dir);
  await t.rejects(step('file', { path: join(dir, 'swapped'), mode: '0666' }, swapped), { code: 'PATH_IS_SYMLINK' });
  t.equal(statSync(join(dir, 'secret')).mode & 0o777, 0o600);

  symlinkSync(join(dir, 'folder'), join(dir, 'link'));
  await step('directory', { path: join(dir, 'link'), mode: '0750' }, context);
  t.equal(statSync(join(dir, 'folder')).mode & 0o777, 0o750, 'the administrator may have moved a folder');
  lchownSync(join(dir, 'link'), 65_534, 65_534);
  await t.rejects(step('directory', { path: join(dir, 'link'), mode: '0777' }, context), {
    code: 'PATH_IS_SYMLINK',
  });
  t.equal(statSync(join(dir, 'folder')).mode & 0o777, 0o750);
});

t.test('systemd: enabled, started, and restarted exactly when its inputs changed', async (t) => {
  const dir = t.testdir({ etc: { 'a.conf': '1', 'conf.d': { x: '1' } }, units: {} });
  const fake = fakeSystemd(host, dir);
  const context = contextWith(fake.host, dir);
  const executor = systemdExecutor(join(dir, 'state'), join(dir, 'units'));
  const inputs = [join(dir, 'etc/a.conf'), join(dir, 'etc/conf.d'), join(dir, 'etc/none')];
  const run = (other: object = {}) =>
    step('systemd', { unit: 'app', enabled: true, state: 'started', inputs, ...other }, context, executor);

  const first = await run({ content: '[Service]\n' });
  t.match(first, {
    changed: true,
    output: {
      unit: 'app.service',
      active: 'active',
      enabled: 'enabled',
      done: ['write', 'daemon-reload', 'enable', 'start'],
    },
  });
  t.same(fake.calls(), ['daemon-reload', 'enable -- app.service', 'start -- app.service']);
  t.match(first.diffs, [{ path: join(dir, 'units/app.service'), after: '[Service]\n' }]);
  t.match(await run({ content: '[Service]\n' }), { already: true });

  const changed = async (how: () => void, other: object, calls: string[], what: string) => {
    how();
    t.match(await run({ content: '[Service]\n', ...other }), { changed: true }, what);
    t.same(fake.calls(), calls, what);
    t.match(await run({ content: '[Service]\n', ...other }), { already: true }, `${what}: only once`);
  };
  await changed(() => writeFileSync(inputs[0] as string, '2'), {}, ['restart -- app.service'], 'a file changed');
  await changed(
    () => writeFileSync(join(dir, 'etc/conf.d/y'), '2'),
    {},
    ['restart -- app.service'],
    'a file came into a folder',
  );
  await changed(
    () => writeFileSync(inputs[2] as string, ''),
    { on_change: 'reload' },
    ['reload -- app.service'],
    'reload is enough',
  );
  await changed(
    () => writeFileSync(inputs[2] as string, 'x'),
    { no_block: true },
    ['restart --no-block -- app.service'],
    'no_block',
  );
  const touched = () => utimesSync(inputs[0] as string, new Date(), new Date());
  touched();
  t.match(await run({ content: '[Service]\n' }), { already: true }, 'only touched: the same content');
  const edited = await run({ content: '[Service]\nUser=x\n', on_change: 'reload' });
  t.same(edited.output.done, ['write', 'daemon-reload', 'restart'], 'a changed unit file takes a restart');
  fake.calls();

  t.match(await run({ state: 'stopped', enabled: false, content: '[Service]\nUser=x\n' }), {
    changed: true,
    output: { active: 'inactive' },
  });
  t.same(fake.calls(), ['disable -- app.service', 'stop -- app.service']);
  t.match(await run({ state: 'stopped', enabled: false, content: '[Service]\nUser=x\n' }), { already: true });
});

t.test('systemd: a unit that others started is stamped if it is newer than its inputs, else restarted', async (t) => {
  const dir = t.testdir({ 'a.conf': '1' });
  const fake = fakeSystemd(host, dir);
  const context = contextWith(fake.host, dir);
  const inputs = [join(dir, 'a.conf')];
  const run = (state: string) =>
    step('systemd', { unit: 'app', state: 'started', inputs }, context, systemdExecutor(join(dir, state)));
  fake.set('active', 'active');
  fake.set('started', String(Math.round((host.bootTimeMs() - 60_000) * 1000)));
  const minutes = (ago: number) => new Date(Date.now() - ago * 60_000);
  utimesSync(inputs[0] as string, minutes(5), minutes(5));
  t.match(
    await run('newer'),
    { already: false, changed: false, output: { done: [] } },
    'stamped, which changes nothing',
  );
  t.match(await run('newer'), { already: true });
  t.same(fake.calls(), []);
  utimesSync(inputs[0] as string, minutes(0), minutes(0));
  t.match(await run('older'), { changed: true, output: { done: ['restart'] } });
});

t.test('systemd: what goes wrong comes with what the unit said', async (t) => {
  const dir = t.testdir();
  const fake = fakeSystemd(host, dir);
  const context = contextWith(fake.host, dir);
  const run = (input: object) =>
    step('systemd', { unit: 'app', ...input }, context, systemdExecutor(join(dir, 'state')));
  fake.set('broken', '');
  t.match(await failure(run({ state: 'started' })), {
    code: 'SYSTEMD_START_FAILED',
    evidence: /^Job failed\.\njournal 11\n.*journal 30$/s,
  });
  fake.set('load', 'not-found');
  fake.set('active', 'inactive');
  await t.rejects(run({ enabled: true }), { code: 'SYSTEMD_NO_SUCH_UNIT' });
  t.match(await run({ state: 'stopped', enabled: false }), { already: true }, 'what is not there is stopped');
  fake.set('load', 'masked');
  await t.rejects(run({ state: 'started' }), { code: 'SYSTEMD_UNIT_MASKED' });
  const none = contextWith({ ...host, run: async () => ({ code: 127, stdout: '', stderr: 'not found' }) }, dir);
  await t.rejects(step('systemd', { unit: 'app', enabled: true }, none, systemdExecutor(dir)), {
    code: 'SYSTEMD_UNAVAILABLE',
  });
});

t.test('wait_for: a path, a port, an HTTP answer; what was last seen when it is in vain', async (t) => {
  const dir = t.testdir({ sub: {} });
  const context = contextWith(host, dir);
  const path = join(dir, 'sub/flag');
  const waiting = step('wait_for', { path, interval_seconds: 30 }, context);
  // Written aside and moved there, as soon as the wait has looked once: noticed at once, long before the next poll.
  writeFileSync(join(dir, 'aside'), 'x\n');
  await until(() => isWritten(join(dir, 'aside')));
  const again = setInterval(() => existsSync(join(dir, 'aside')) && renameSync(join(dir, 'aside'), path), 50);
  t.match(await waiting, { changed: false, output: { seen: `${path} exists (file)` } });
  clearInterval(again);
  t.match(await step('wait_for', { path }, context), { already: true });
  await t.rejects(step('wait_for', { path, state: 'absent', timeout_seconds: 0.1, interval_seconds: 0.05 }, context), {
    code: 'WAIT_TIMEOUT',
    message: /last seen: .*flag exists/,
  });

  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  t.match(await step('wait_for', { port }, context), { already: true });
  const closing = step('wait_for', { port, state: 'absent', interval_seconds: 0.05 }, context);
  server.close();
  t.match(await closing, { output: { seen: /ECONNREFUSED/ } });
  await t.rejects(step('wait_for', { port, timeout_seconds: 0 }, context), {
    message: /last seen: 127\.0\.0\.1:\d+ gave ECONNREFUSED/,
  });

  let status = 503;
  let asked = 0;
  const web = createHttpServer((_, response) => {
    asked += 1;
    if (asked === 3) status = 200;
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}/readyz`;
  t.match(await step('wait_for', { url, interval_seconds: 0.05 }, context), {
    output: { seen: `${url} answered 200` },
  });
  web.close();

  const abort = new AbortController();
  const aborted = step('wait_for', { path: join(dir, 'never') }, { ...context, signal: abort.signal });
  abort.abort(new Error('cancelled'));
  await t.rejects(aborted, { message: 'cancelled' });
});

t.test('assert, set_fact, debug, facts and check change nothing', async (t) => {
  const context = contextWith(host, '/tmp/kk-test-unused');
  t.match(await step('assert', { that: [true, true] }, context), { changed: false, output: { held: 2 } });
  t.match(await failure(step('assert', { that: [true, 'cpus >= 2', true] }, context)), {
    code: 'ASSERT_FAILED',
    message: 'Condition 2 of 3 does not hold: cpus >= 2.',
    evidence: 'that[1]: cpus >= 2',
  });
  await t.rejects(step('assert', { that: [false], message: 'Too small.' }, context), { message: 'Too small.' });
  t.match(await step('set_fact', { a: { b: 1 } }, context), { changed: false, output: { a: { b: 1 } } });
  const said: string[] = [];
  await step('debug', { message: { a: 1 } }, { ...context, log: (_, __, data) => said.push(String(data)) });
  t.same(said, ['{\n  "a": 1\n}\n']);
  t.match((await executors.facts.apply({}, context)).output, { facts: { hostname: 'n1' } });
  t.match(await step('check', { rule: 'swap' }, context), {
    changed: false,
    output: { rule: 'swap', with: {}, facts: { swap: 1 } },
  });
  t.match(await step('check', { rule: 'x' }, context), { output: { facts: null, trouble: /RULE_UNKNOWN/ } });
});
