import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hostFiles } from '../../agent/host/files.ts';
import type { HostFiles } from '../../agent/host/host.ts';
import { Bench, type BenchOptions, chain, type TaskWish, task } from '../support/agent-bench.ts';
import { fakeSystemd } from '../support/fake-systemd.ts';
import { realHost } from '../support/real-host.ts';

/** The real files, of which none may be written. */
const readOnly = new Proxy(hostFiles, {
  get(files, name: keyof HostFiles) {
    if (['read', 'stat', 'whole', 'real', 'list', 'uidOf', 'gidOf'].includes(name)) return files[name];
    return () => {
      throw new Error(`a dry run wrote: ${name}`);
    };
  },
});

const dry = { share: { check: true as const } };

async function opened(options: BenchOptions = {}): Promise<Bench> {
  const bench = await Bench.open({
    host: { files: readOnly, run: () => Promise.reject(new Error('ran')) },
    ...options,
  });
  bench.lease();
  return bench;
}

const file = (name: string, inputs: object, wish: TaskWish = {}) =>
  task(name, { action: 'file', inputs: inputs as never, ...wish });

t.test('a dry run says what would change, with its diff, and writes nothing', async (t) => {
  const bench = await opened();
  const path = join(bench.folder, 'conf');
  writeFileSync(path, 'old\n');
  bench.commands.done.add('made');
  const before = readdirSync(bench.folder);
  bench.push(
    chain([
      task('facts', { action: 'facts', inputs: {} }),
      task('fact', { action: 'set_fact', inputs: { port: '{{ facts.cpu.count }}' } }),
      file('conf', { path, content: 'port {{ port }}\n' }, { register: 'conf' }),
      file('same', { path, content: 'old\n' }, { register: 'same' }),
      task('made', { register: 'made' }),
      task('run', {
        permit: { name: 'drain', count: 1 },
        until: 'result.rc == 0',
        retries: 3,
        failedWhen: 'result.rc > 1',
      }),
      task('looks', { changedWhen: 'false' }),
      task('sure', { action: 'assert', inputs: { that: ['port == 4', 'not same.changed', 'not made.started'] } }),
      file('secret', { path, content: 's3cret' }, { sensitive: true }),
      task('wait', { action: 'wait_for', inputs: { path: '/no/such/file', timeout_seconds: 3600 } }),
      task('disk', { action: 'check', inputs: { rule: 'etcd_disk', with: {} } }),
      task('each', { loop: ['made', 'b'], run: '{{ item }}', register: 'all' }),
    ]),
    dry,
  );
  await bench.settle();
  const ended = bench.ended();
  const changed = [...ended].filter(([, { result }]) => result.changed).map(([index]) => index);
  t.same(new Set(Object.values(bench.outcomes())), new Set(['ok', 'skipped']));
  t.same(changed, [2, 5, 8, 11]);
  t.match(ended.get(2)?.result.diffs, [{ path, before: 'old\n', after: 'port 4\n' }]);
  t.equal(ended.get(5)?.outcome, 'OUTCOME_OK', 'until and failed_when are of the output, and there is none');
  t.equal(ended.get(8)?.result.diffs, undefined, 'of a sensitive step nothing is shown');
  t.notMatch(readFileSync(join(bench.folder, 'journal.log'), 'utf8'), /s3cret/);
  t.match(ended.get(9)?.result, { changed: false, unknown: /would wait/ });
  t.match(ended.get(10), { outcome: 'OUTCOME_SKIPPED', result: { unknown: /measured by writing/ } });
  t.match(ended.get(11)?.result, { items: 2 });
  t.same([bench.commands.calls, bench.wishes], [[], []], 'no command, no permit');
  t.equal(readFileSync(path, 'utf8'), 'old\n');
  t.same(readdirSync(bench.folder), before);
});

t.test('edits and kernel values are shown; of what an earlier step would make, nothing is known', async (t) => {
  const bench = await opened();
  const path = join(bench.folder, 'hosts');
  writeFileSync(path, '127.0.0.1 localhost\n');
  const edit = (action: string, inputs: object) => task(action, { action, inputs: inputs as never });
  bench.push(
    chain([
      edit('line_in_file', { path, line: '::1 localhost' }),
      edit('block_in_file', { path, name: 'x', state: 'absent' }),
      task('make'),
      edit('block_in_file', { path: `${path}2`, name: 'x', block: 'b' }),
      edit('sysctl', { name: 'net.ipv4.no_such_key', value: 1, file: `${path}3` }),
      edit('sysctl', { name: 'kernel.ostype', value: 'Hurd', file: `${path}3` }),
    ]),
    dry,
  );
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  const ended = bench.ended();
  t.match(ended.get(0)?.result, { changed: true, diffs: [{ path, unified: /\n\+::1 localhost\n/ }] });
  t.match(ended.get(1)?.result, { changed: false });
  t.match(ended.get(3)?.result, { changed: true, unknown: /There is no .*hosts2/ });
  t.match(ended.get(4)?.result, { changed: true, unknown: /net\.ipv4\.no_such_key/ });
  t.match(ended.get(5)?.result, {
    changed: true,
    output: { values: { 'kernel.ostype': 'Hurd' } },
    diffs: [
      { path: '/proc/sys/kernel/ostype', before: 'Linux\n' },
      { path: `${path}3`, after: 'kernel.ostype = Hurd\n' },
    ],
  });
  t.equal(readFileSync(path, 'utf8'), '127.0.0.1 localhost\n');
});

t.test('a module that would be loaded is told with what it needs, one that is nowhere is not there', async (t) => {
  const asked: string[] = [];
  const run = async (argv: readonly string[]) => {
    asked.push(argv.join(' '));
    if (argv.at(-1) === 'kk_none') return { code: 1, stdout: '', stderr: 'FATAL: Module kk_none not found' };
    return { code: 0, stdout: 'insmod /lib/modules/6/kk_needed.ko\ninsmod /lib/modules/6/kk_fake.ko \n', stderr: '' };
  };
  const bench = await opened({ host: { files: readOnly, run } });
  const module = (name: string) => task(name, { action: 'kernel_module', inputs: { name, persist: false } });
  bench.push([module('kk-fake'), module('kk_none')], dry);
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  t.match(bench.ended().get(0)?.result, {
    changed: true,
    output: { name: 'kk_fake', state: 'loaded' },
    diffs: [{ path: '/proc/modules', after: 'kk_needed\nkk_fake\n' }],
  });
  t.match(bench.ended().get(1)?.result.error, { code: 'MODULE_MISSING' });
  t.same(asked.sort(), ['modprobe -D -- kk_fake', 'modprobe -D -- kk_none'], 'nothing is loaded');
});

t.test('what would need the output of a step that is not run cannot be told', async (t) => {
  let bench = await opened();
  const tasks = chain([
    task('first', { register: 'out' }),
    task('fact', { action: 'set_fact', inputs: { name: '{{ out.stdout }}' } }),
    task('when', { when: 'out.rc is defined', register: 'second' }),
    file('file', { path: '/etc/x', content: '{{ name }}' }),
    task('loop', { loop: '{{ second.stdout_lines }}', run: '{{ item }}' }),
    task('some', { loop: ['a', '{{ node_name }}'], run: '{{ item }} {{ name | default("x") }}' }),
    task('join', { run: '{{ node("cp1").token }}', reads: [{ node: 'cp1', register: 'token', gate: 'value/0@cp1' }] }),
    task('free'),
  ]);
  bench.push(tasks, dry);
  bench.open('value/0@cp1');
  await bench.settle();
  bench = await bench.restart();
  bench.lease();
  await bench.settle();
  const skipped = [1, 2, 3, 4, 5, 6];
  for (const index of skipped)
    t.match(bench.ended().get(index), { outcome: 'OUTCOME_SKIPPED', result: { changed: false } });
  const unknown = skipped.map((index) => bench.ended().get(index)?.result.unknown);
  t.match(unknown, [/output of "first"/, /"first"/, /"fact"/, /"when"/, /"fact"/, /"token" on cp1/]);
  t.match(bench.ended().get(7), { outcome: 'OUTCOME_OK', result: { changed: true } }, 'what does not need it goes on');
});

t.test('what cannot be looked at yet would change; without an earlier change it is a mistake', async (t) => {
  const bench = await opened();
  const owned = file('owned', { path: join(bench.folder, 'x'), content: 'x', owner: 'nobody-yet' }, { register: 'x' });
  bench.push(
    chain([
      task('useradd'),
      owned,
      task('needs it', { when: 'x.changed' }),
      task('wrong', { action: 'directory', inputs: { path: 'relative' } }),
    ]),
    dry,
  );
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  t.match(bench.ended().get(1), { outcome: 'OUTCOME_OK', result: { changed: true, unknown: /nobody-yet/ } });
  t.match(bench.ended().get(2)?.result, { unknown: /"owned"/ });
  t.match(bench.ended().get(3)?.result.error, { code: 'ACTION_INPUT' }, 'what is wrong in the plan stays wrong');
  bench.push([owned], { run: 'r2', ...dry });
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  t.match(bench.ended().get(0), { outcome: 'OUTCOME_FAILED', result: { error: { message: /nobody-yet/ } } });
  t.notOk(existsSync(join(bench.folder, 'x')));
});

t.test('a unit is not touched: what would be done with it is told, and a note of our own is no change', async (t) => {
  const fake = fakeSystemd(realHost(), t.testdir());
  const bench = await opened({ host: { files: readOnly, run: fake.host.run } });
  const unit = (name: string, inputs: object) => task(name, { action: 'systemd', inputs: { unit: name, ...inputs } });
  bench.push([unit('app', { enabled: true, state: 'started', content: '[Service]\n' })], dry);
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  t.match(bench.ended().get(0)?.result, {
    changed: true,
    output: { active: 'inactive', done: ['write', 'daemon-reload', 'enable', 'start'] },
    diffs: [{ path: '/etc/systemd/system/app.service', after: '[Service]\n' }],
  });
  fake.set('active', 'active');
  fake.set('started', '99999999999999999');
  bench.push([unit('app', { state: 'started', inputs: ['/etc/hostname'] })], { run: 'r2', ...dry });
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  t.match(bench.ended().get(0), { outcome: 'OUTCOME_OK', result: { changed: false } });
  fake.set('load', 'not-found');
  bench.push(chain([task('install'), unit('app', { enabled: true })]), { run: 'r3', ...dry });
  await bench.settle();
  while (bench.executor.running() > 0) await bench.settle();
  t.match(bench.ended().get(1), { outcome: 'OUTCOME_OK', result: { changed: true, unknown: /app\.service/ } });
  t.same(fake.calls(), []);
});

t.test('a dry run that a restart cut short looks once more', async (t) => {
  const hangs = { ...readOnly, stat: () => new Promise<never>(() => {}) };
  let bench = await opened({ host: { files: hangs } });
  bench.push([file('hangs', { path: '/no/such', content: 'x' }), task('b')], dry);
  await bench.settle();
  t.equal(bench.executor.running(), 1);
  bench = await bench.restart({ bootId: 'boot-2', host: { files: readOnly } });
  bench.lease();
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok' });
  t.match(bench.ended().get(0)?.result, { changed: true, diffs: [{ path: '/no/such' }] });
  t.same([bench.commands.calls, bench.commands.recovered], [[], []]);
});
