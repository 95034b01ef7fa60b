import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Cancelled } from '../../agent/host/cancelled.ts';
import { unitFolder } from '../../agent/host/command-cgroup.ts';
import { capturedOutput } from '../../agent/host/command-output.ts';
import { Standby } from '../../agent/host/command-standby.ts';
import type { CommandSpec } from '../../agent/host/host.ts';
import { createHost } from '../../agent/host/index.ts';
import { Terminal } from '../../agent/pty/terminal.ts';
import { Shell } from '../../agent/shell/shell.ts';
import { isAlive, isWritten, numberIn, realHost, until, WRAPPER_MAIN } from '../support/real-host.ts';

const { commands, run } = realHost();
const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

function shell(text: string, other: Partial<CommandSpec> = {}): CommandSpec {
  return { argv: ['/bin/sh', '-c', text], env: {}, timeoutMs: 0, graceMs: 200, ...other };
}

/** A command that says it runs, then waits until someone writes into the pipe; counts how often it ran. */
function blocking(dir: string): { spec: CommandSpec; release: () => void; ran: () => string } {
  execFileSync('mkfifo', [join(dir, 'pipe')]);
  return {
    spec: shell('echo ran >> count; echo $$ > pid; echo first; read word < pipe; echo "got $word"; exit 7', {
      cwd: dir,
    }),
    release: () => writeFileSync(join(dir, 'pipe'), 'go\n'),
    ran: () => readFileSync(join(dir, 'count'), 'utf8'),
  };
}

t.test('a command gets a clean environment, its stdin, folder and user, and gives its streams apart', async (t) => {
  const dir = t.testdir();
  const folder = join(dir, 'command');
  process.env.AGENTS_OWN = 'not for others';
  const seen: string[] = [];
  const result = await commands.start(
    folder,
    shell('env -0 | grep -zvE "^(_TAPJS|NODE_OPTIONS)" | sort -z | tr "\\0" "\\n"; pwd; cat; echo bad >&2; exit 3', {
      env: { WORD: 'x y' },
      cwd: '/usr',
      stdin: 'from stdin',
    }),
    { onOutput: (stream, offset, data) => seen.push(`${stream}@${offset}:${data.length}`) },
  );
  t.equal(result.code, 3);
  t.equal(result.signal, undefined);
  // Without what tap hands to every process that is started in its tests.
  t.match(
    result.stdout.head.toString(),
    /^HOME=\S+\nLANG=C\.UTF-8\n(LOGNAME=.*\n)?PATH=\/usr\/local\/sbin:\S+\nPWD=\/usr\n(USER=.*\n)?WORD=x y\n\/usr\nfrom stdin$/,
  );
  t.equal(result.stderr.head.toString(), 'bad\n');
  t.ok(seen.includes('stderr@0:4'), 'output came as it was written');
  t.notOk(existsSync(join(folder, 'spec.json')), 'stdin and env, which may be secret, are not left on disk');

  const nobody = await commands.start(
    join(dir, 'user'),
    shell('id -un; id -Gn; echo $HOME $USER', { user: 'nobody' }),
    {},
  );
  t.match(nobody.stdout.head.toString(), /^nobody\n(nogroup|nobody)\n\S+ nobody\n$/);
});

t.test('what cannot be run says why', async (t) => {
  const dir = t.testdir({ plain: 'text' });
  const start = (name: string, spec: Partial<CommandSpec>) =>
    commands.start(join(dir, name), { ...shell('true'), ...spec }, {});
  await t.rejects(start('1', { argv: ['no-such-program-here'] }), { code: 'COMMAND_NOT_FOUND' });
  await t.rejects(start('2', { argv: [join(dir, 'plain')] }), { code: 'COMMAND_NOT_EXECUTABLE' });
  await t.rejects(start('3', { cwd: '/no/such/folder' }), { code: 'COMMAND_NO_SUCH_FOLDER' });
  await t.rejects(start('4', { user: 'no-such-user' }), { code: 'COMMAND_NO_SUCH_USER' });
  await t.rejects(start('5', { argv: ['/bin/echo', 'x'.repeat(300_000)] }), { code: 'COMMAND_NOT_STARTED' });
  const { commands: broken } = await import('../../agent/host/index.ts').then((host) =>
    host.createHost({ wrapper: { argv: ['/bin/false'] } }),
  );
  await t.rejects(broken.start(join(dir, '6'), shell('true'), {}), { code: 'COMMAND_WRAPPER_FAILED' });
  t.match(await run(['no-such-program-here']), { code: 127 });
  await t.rejects(run(['sleep', '60'], { timeoutMs: 50 }), { code: 'COMMAND_TIMEOUT' });
});

t.test('a timeout and a cancel end the whole group, also what ignores TERM', async (t) => {
  const dir = t.testdir();
  const family =
    'trap "" TERM; (echo $BASHPID; exec sh -c "trap \\"\\" TERM; echo \\$\\$ > grandchild; exec sleep 600") & wait';
  const timed = await commands.start(join(dir, 'timed'), shell(family, { cwd: dir, timeoutMs: 300, graceMs: 100 }), {});
  t.match(timed, { timedOut: true, cancelled: false, signal: 'SIGKILL' });
  t.notOk(isAlive(numberIn(join(dir, 'grandchild'))), 'the grandchild is gone too');

  const abort = new AbortController();
  const running = commands.start(
    join(dir, 'cancelled'),
    shell('trap "echo bye; exit 5" TERM; echo $$ > pid; while :; do sleep 0.01; done', { cwd: dir, graceMs: 30_000 }),
    {
      signal: abort.signal,
    },
  );
  await until(() => isWritten(join(dir, 'pid')));
  abort.abort();
  const cancelled = await running;
  t.match(cancelled, { timedOut: false, cancelled: true, code: 5 });
  t.equal(cancelled.stdout.head.toString(), 'bye\n', 'it had its time to tidy up');
  t.match(await commands.start(join(dir, 'late'), shell('echo x > late'), { signal: abort.signal }), {
    cancelled: true,
  });
});

t.test(
  'a command on a terminal: its size, one exact stream, no input, its end, and the agent gone meanwhile',
  async (t) => {
    const dir = t.testdir();
    const terminal = { columns: 132, rows: 43 };
    const on = (text: string, other: Partial<CommandSpec> = {}) => shell(text, { cwd: dir, terminal, ...other });
    const printed = async (name: string, spec: CommandSpec) => {
      const result = await commands.start(join(dir, name), spec, {});
      t.equal(result.stderr.bytes, 0, `${name}: a terminal has one stream`);
      return { ...result, text: result.stdout.head.toString() };
    };
    const looks = await printed(
      'looks',
      on(
        'test -t 0 && test -t 1 && test -t 2; echo $?; stty size; echo $TERM; echo bad >&2; echo ä > /dev/tty; exit 3',
      ),
    );
    t.match(looks, { code: 3, text: '0\r\n43 132\r\nxterm\r\nbad\r\nä\r\n' });
    const other = await printed(
      'other',
      on('tput lines; id -un; echo again > /dev/stdout; echo $TERM', { env: { TERM: 'dumb' }, user: 'nobody' }),
    );
    t.equal(other.text, '43\r\nnobody\r\nagain\r\ndumb\r\n', "as a user, with the task's own TERM");
    const asks = await printed('asks', on('printf "Sure? "; read answer < /dev/tty || echo nobody there'));
    t.match(asks, { code: 0, text: 'Sure? nobody there\r\n' });
    t.notOk((await printed('pipes', shell('test -t 1 && echo yes'))).text, 'without the word there is none');
    t.match(await printed('killed', on('kill -KILL $$')), { signal: 'SIGKILL', timedOut: false });
    await t.rejects(printed('none', on('true', { cwd: '/no/such/folder' })), { code: 'COMMAND_NO_SUCH_FOLDER' });

    const many = await printed('many', on('stty -opost; seq 200000'));
    const numbers = Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`).join('');
    t.ok(readFileSync(many.stdout.file, 'utf8') === numbers, 'not a byte is lost of what is printed last and fast');

    const stubborn = 'trap "" TERM HUP; (trap "" TERM HUP; sh -c \'echo $$ > grandchild; exec sleep 600\') & wait';
    const timed = await printed('timed', on(stubborn, { timeoutMs: 500, graceMs: 100 }));
    t.match(timed, { timedOut: true, signal: 'SIGKILL' });
    t.notOk(isAlive(numberIn(join(dir, 'grandchild'))), 'nothing is left of it');

    const left = await printed('left', on('(trap "" HUP; exec sleep 600) & echo $! > daemon'));
    t.match(left, { code: 0, timedOut: false }, 'what holds the terminal does not hang the step');
    process.kill(numberIn(join(dir, 'daemon')), 'SIGKILL');

    const { spec, release } = blocking(dir);
    const abort = new AbortController();
    const begun = commands.start(join(dir, 'again'), { ...spec, terminal }, { signal: abort.signal });
    await until(() => isWritten(join(dir, 'pid')));
    const found = await commands.recover(join(dir, 'again'), bootId, {});
    release();
    t.match(found.state === 'running' && (await found.result), { code: 7 });
    t.equal((await begun).stdout.head.toString(), 'first\r\ngot go\r\n');

    const cancelled = commands.start(
      join(dir, 'cancelled'),
      on('trap "echo bye; exit 5" TERM; echo $$ > ready; while :; do sleep 0.01; done', { graceMs: 5000 }),
      { signal: abort.signal },
    );
    await until(() => isWritten(join(dir, 'ready')));
    abort.abort();
    const end = await cancelled;
    t.match(end, { cancelled: true, code: 5 });
    t.match(end.stdout.head.toString(), /bye\r\n$/, 'it had its time to tidy up');
  },
);

const hierarchies = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup'];
const unit = hierarchies.map((at) => join(at, 'kk-test-commands.service')).find(canMake);

function gone(name: string): boolean {
  try {
    rmdirSync(join(String(unit), name));
  } catch {
    // The wrapper was quicker, or the kernel still counts who lived there.
  }
  return !existsSync(join(String(unit), name));
}

/** Only root may, and only where a hierarchy that systemd would use is mounted. */
function canMake(path: string): boolean {
  try {
    mkdirSync(path, { recursive: true });
    return existsSync(join(path, 'cgroup.procs'));
  } catch {
    return false;
  }
}

t.test(
  'in a unit of systemd a timeout reaches what has left the session too',
  { skip: unit === undefined && 'no cgroup can be made here' },
  async (t) => {
    const dir = t.testdir();
    const enter = `echo $$ > ${unit}/cgroup.procs; exec "$0" "$@"`;
    const argv = ['/bin/sh', '-c', enter, process.execPath, WRAPPER_MAIN] as const;
    const { commands } = createHost({ wrapper: { argv } });
    const escaping = 'setsid sh -c "echo \\$\\$ > escaped; exec sleep 600" & while [ ! -s escaped ]; do :; done;';
    const stray = () => numberIn(join(dir, 'escaped'));
    const timed = await commands.start(
      join(dir, 'timed'),
      shell(`${escaping} cat /proc/self/cgroup; wait`, { cwd: dir, timeoutMs: 1500, graceMs: 200 }),
      {},
    );
    t.match(timed, { timedOut: true });
    t.match(
      timed.stdout.head.toString(),
      /kk-test-commands\.service\/kk-command-\d+-\d+\n/,
      'it had a cgroup of its own',
    );
    t.notOk(isAlive(stray()), 'and nothing is left of it');

    rmSync(join(dir, 'escaped'));
    await commands.start(join(dir, 'ends'), shell(`${escaping} exit 0`, { cwd: dir }), {});
    t.match(
      readFileSync(`/proc/${stray()}/cgroup`, 'utf8'),
      /kk-command-/,
      'a daemon of what has ended lives on, there',
    );
    process.kill(stray(), 'SIGKILL');
    await until(() => !isAlive(stray()));
    // Its cgroup may not have been empty yet when the wrapper ended.
    for (const name of readdirSync(String(unit)).filter((one) => one.startsWith('kk-command-')))
      await until(() => gone(name));
    await until(() => gone(''));
  },
);

t.test('the cgroup of the unit is found where systemd tracks it, and of nothing else', async (t) => {
  const mounts = [
    '40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd',
    '41 31 0:38 /lab/n1 /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw',
  ].join('\n');
  const unit = '/system.slice/kk-agent.service';
  t.equal(unitFolder(`4:memory:/x.service\n1:name=systemd:${unit}\n`, mounts), `/sys/fs/cgroup/systemd${unit}`);
  t.equal(unitFolder(`0::/lab/n1${unit}\n`, mounts), `/sys/fs/cgroup/unified${unit}`);
  t.equal(unitFolder(`0::${unit}\n`, mounts), undefined, 'what is mounted here is not where it is');
  t.equal(unitFolder('0::/user.slice/session-3.scope\n1:name=systemd:/\n', mounts), undefined);
});

t.test('a cancel may say how long the command has', async (t) => {
  const dir = t.testdir();
  const abort = new AbortController();
  const text = 'trap "sleep 0.5; echo bye; exit 5" TERM; echo $$ > pid; while :; do sleep 0.01; done';
  const spec = shell(text, { cwd: dir, graceMs: 20 });
  const running = commands.start(join(dir, 'c'), spec, { signal: abort.signal });
  await until(() => isWritten(join(dir, 'pid')));
  abort.abort(new Cancelled(60_000));
  t.match(await running, { cancelled: true, code: 5 });
});

t.test('a daemon left behind does not hang the step', async (t) => {
  const dir = t.testdir();
  const result = await commands.start(
    join(dir, 'c'),
    shell('sleep 600 & echo $! > daemon; echo done', { cwd: dir }),
    {},
  );
  t.match(result, { code: 0, timedOut: false });
  t.equal(result.stdout.head.toString(), 'done\n');
  const daemon = numberIn(join(dir, 'daemon'));
  t.ok(isAlive(daemon), 'and it lives on');
  process.kill(daemon);
});

t.test('what a full disk did not take of the output is known all the same', async (t) => {
  const dir = t.testdir();
  const whole = Buffer.from(Array.from({ length: 9000 }, (_, i) => `${i}\n`).join(''));
  for (const bytes of [700, 20_000, 40_000]) {
    for (const stored of [0, 300]) {
      writeFileSync(join(dir, 'stdout'), whole.subarray(0, stored));
      const said = whole.subarray(0, bytes);
      const tail = said.subarray(-16 * 1024).toString('base64');
      const output = await capturedOutput(dir, 'stdout', { bytes, stored, tail });
      const isWhole = bytes - stored <= 16 * 1024;
      t.same(output.head, said.subarray(0, isWhole ? 16 * 1024 : stored), `${bytes}, of them ${stored} stored`);
      t.same(output.tail, isWhole ? said.subarray(16 * 1024) : said.subarray(-16 * 1024));
    }
  }
});

t.test('huge and binary output: exact on the node, head and tail in memory', async (t) => {
  const dir = t.testdir();
  const program = join(dir, 'noise.cjs');
  writeFileSync(
    program,
    `const b = Buffer.alloc(1 << 20); for (let i = 0; i < b.length; i++) b[i] = (i * 7 + (i >> 8)) & 255;
     const w = (n) => n && process.stdout.write(b, () => w(n - 1)); w(3); process.stderr.write('e'.repeat(20000));`,
  );
  const block = Buffer.alloc(1 << 20);
  for (let i = 0; i < block.length; i += 1) block[i] = (i * 7 + (i >> 8)) & 255;
  const whole = Buffer.concat([block, block, block]);
  const arrived = createHash('sha256');
  let next = 0;
  const result = await commands.start(
    join(dir, 'c'),
    { ...shell(''), argv: [process.execPath, program] },
    {
      onOutput: (stream, offset, data) => {
        if (stream !== 'stdout') return;
        t.equal(offset, next);
        next += data.length;
        arrived.update(data);
      },
    },
  );
  const digest = createHash('sha256').update(whole).digest('hex');
  t.equal(result.stdout.bytes, whole.length);
  t.ok(result.stdout.head.equals(whole.subarray(0, 16 * 1024)));
  t.ok(result.stdout.tail.equals(whole.subarray(-16 * 1024)));
  t.equal(createHash('sha256').update(readFileSync(result.stdout.file)).digest('hex'), digest);
  t.equal(arrived.digest('hex'), digest, 'live output is the same bytes');
  t.equal(result.stderr.head.length + result.stderr.tail.length, 20_000, 'head and tail do not overlap');
  const merged = readFileSync(join(dir, 'c', 'merged'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  const total = (stream: string) => merged.filter(([s]) => s === stream).reduce((sum, [, , n]) => sum + Number(n), 0);
  t.equal(total('o'), whole.length);
  t.equal(total('e'), 20_000);
});

/** Wrappers of a process that wait for their first command. */
function waitingOf(parent: number): number[] {
  const isOne = (pid: string): boolean => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return state !== 'Z' && Number(ppid) === parent && readFileSync(`/proc/${pid}/cmdline`, 'utf8').endsWith('\0-\0');
    } catch {
      return false;
    }
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isOne(name))
    .map(Number);
}

t.test('a wrapper that waits takes the next command, and another one then waits', async (t) => {
  const dir = t.testdir();
  const argv = [process.execPath, WRAPPER_MAIN] as const;
  const standby = new Standby(argv);
  const { commands } = createHost({ wrapper: { argv, standby } });
  const begunBy = (name: string) => JSON.parse(readFileSync(join(dir, name, 'started'), 'utf8')).pid as number;
  const known = new Set<number>();
  const fresh = () => waitingOf(process.pid).find((pid) => !known.has(pid));
  const next = async (): Promise<number> => {
    await until(() => fresh() !== undefined);
    const pid = fresh() as number;
    known.add(pid);
    return pid;
  };

  const first = await next();
  t.match(await commands.start(join(dir, '1'), shell('cat; exit 3', { stdin: 'x' }), {}), { code: 3 });
  t.equal(begunBy('1'), first, 'it was the one that waited');
  const second = await next();
  t.not(second, first);
  const both = ['2', '3'].map((name) => commands.start(join(dir, name), shell('true'), {}));
  t.match(await Promise.all(both), [{ code: 0 }, { code: 0 }], 'two at a time: one of them starts its own');
  t.equal([begunBy('2'), begunBy('3')].filter((pid) => pid === second).length, 1);

  const third = await next();
  process.kill(third, 'SIGSTOP');
  const abort = new AbortController();
  const late = commands.start(join(dir, '4'), shell('exec sleep 600'), { signal: abort.signal });
  await until(() => fresh() !== undefined);
  abort.abort();
  process.kill(third, 'SIGCONT');
  t.match(await late, { cancelled: true }, 'a cancel that comes before it has begun');
  t.notOk(existsSync(join(dir, '4', 'spec.json')));

  const fourth = await next();
  process.kill(fourth, 'SIGSTOP');
  const bereft = commands.start(join(dir, '5'), shell('echo once >> count', { cwd: dir }), {});
  await until(() => existsSync(join(dir, '5', 'spec.json')));
  process.kill(fourth, 'SIGKILL');
  t.match(await bereft, { code: 0 }, 'one that dies while it waits costs no command');
  t.equal(readFileSync(join(dir, 'count'), 'utf8'), 'once\n');

  const last = await next();
  standby.close();
  await until(() => !isAlive(last));
  t.match(await commands.start(join(dir, '6'), shell('exit 4'), {}), { code: 4 });
  t.equal(fresh(), undefined, 'closed, it makes no more');
});

t.test('what waits ends with its agent, what has begun does not', async (t) => {
  const dir = t.testdir();
  const folder = join(dir, 'command');
  const { spec, release } = blocking(dir);
  const of = (name: string): string => JSON.stringify(new URL(`../../agent/host/${name}.ts`, import.meta.url).href);
  writeFileSync(
    join(dir, 'agent.ts'),
    `import { Standby } from ${of('command-standby')};
     import { createHost } from ${of('index')};
     import { existsSync } from 'node:fs';
     const argv = [process.execPath, ${JSON.stringify(WRAPPER_MAIN)}];
     const { commands } = createHost({ wrapper: { argv, standby: new Standby(argv) } });
     const look = setInterval(() => {
       if (!existsSync(${JSON.stringify(join(dir, 'go'))})) return;
       clearInterval(look);
       void commands.start(${JSON.stringify(folder)}, ${JSON.stringify(spec)}, {});
     }, 5);`,
  );
  const agent = spawn(process.execPath, [join(dir, 'agent.ts')], { stdio: 'inherit' });
  const waiting = () => waitingOf(agent.pid as number);
  await until(() => waiting().length === 1);
  const [first = 0] = waiting();
  writeFileSync(join(dir, 'go'), '');
  await until(() => isWritten(join(dir, 'pid')) && waiting().some((pid) => pid !== first));
  const second = waiting().find((pid) => pid !== first) as number;
  agent.kill('SIGKILL');
  await until(() => !isAlive(second));
  t.ok(isAlive(first), 'the wrapper of the command lives on');
  const found = await commands.recover(folder, bootId, {});
  release();
  t.match(found.state === 'running' && (await found.result), { code: 7 });
});

t.test('a command outlives the agent that started it, and is found again', async (t) => {
  const dir = t.testdir();
  const folder = join(dir, 'command');
  const { spec, release, ran } = blocking(dir);
  const agent = join(dir, 'agent.ts');
  const host = new URL('../../agent/host/index.ts', import.meta.url).href;
  writeFileSync(
    agent,
    `import { createHost } from ${JSON.stringify(host)};
     const { commands } = createHost({ wrapper: { argv: [process.execPath, ${JSON.stringify(WRAPPER_MAIN)}] } });
     await commands.start(${JSON.stringify(folder)}, ${JSON.stringify(spec)}, {});`,
  );
  const first = spawn(process.execPath, [agent], { stdio: 'inherit' });
  await until(() => isWritten(join(dir, 'pid')));
  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('exit', resolve));
  t.ok(isAlive(numberIn(join(dir, 'pid'))), 'the command does not notice');

  let output = '';
  const found = await commands.recover(folder, bootId, { onOutput: (_, __, data) => (output += data) });
  if (found.state !== 'running') return t.fail(`found it ${found.state}`);
  release();
  const result = await found.result;
  t.equal(result.code, 7);
  t.equal(result.stdout.head.toString(), 'first\ngot go\n');
  t.equal(output, 'first\ngot go\n', 'the log is whole');
  t.equal(ran(), 'ran\n', 'once');

  const again = await commands.recover(folder, bootId, {});
  t.match(again, { state: 'ended', result: { code: 7 } });
  t.match(await commands.recover(folder, 'another boot', {}), { state: 'ended' }, 'also after a reboot');

  // Of what was not synced a power cut leaves names without content.
  writeFileSync(join(folder, 'started'), '');
  t.match(await commands.recover(folder, 'another boot', {}), { state: 'ended' }, 'how it ended is on disk');
  writeFileSync(join(folder, 'stdout'), 'first\n');
  t.same(await commands.recover(folder, 'another boot', {}), { state: 'lost' }, 'what it said is cut short');
  rmSync(join(folder, 'status.json'));
  t.same(await commands.recover(folder, 'another boot', {}), { state: 'lost' });
  t.same(await commands.recover(folder, bootId, {}), { state: 'lost' }, 'and never taken for one that has not begun');
});

t.test('a recovered command can still be cancelled', async (t) => {
  const dir = t.testdir();
  const { spec } = blocking(dir);
  const begun = commands.start(join(dir, 'c'), spec, {});
  await until(() => isWritten(join(dir, 'pid')));
  const abort = new AbortController();
  const found = await commands.recover(join(dir, 'c'), bootId, { signal: abort.signal });
  abort.abort();
  t.match(found.state === 'running' && (await found.result), { cancelled: true, signal: 'SIGTERM' });
  t.match(await begun, { cancelled: true }, 'both see the same end');
});

t.test('never started: proven within the boot, and a late wrapper finds the command taken', async (t) => {
  const dir = t.testdir();
  const folder = join(dir, 'command');
  mkdirSync(folder);
  const spec = { ...shell('echo ran > ran', { cwd: dir }), program: '/bin/sh' };
  writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec));
  t.same(await commands.recover(folder, bootId, {}), { state: 'never-started' });
  t.notOk(existsSync(join(folder, 'spec.json')), 'no secret is left');

  writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec));
  execFileSync(process.execPath, [WRAPPER_MAIN, folder]);
  t.notOk(existsSync(join(dir, 'ran')), 'the late wrapper ran nothing');
  t.same(await commands.recover(folder, bootId, {}), { state: 'never-started' }, 'and it stays so');
  // The next try, which an agent started in that boot, may have gone with the power.
  t.same(await commands.recover(folder, 'another boot', {}), { state: 'lost' }, 'but only within the boot');
  t.same(
    await commands.recover(join(dir, 'none'), 'another boot', {}),
    { state: 'lost' },
    'in another boot nobody knows',
  );
  mkdirSync(join(dir, 'cut'));
  writeFileSync(join(dir, 'cut/spec.json'), JSON.stringify(spec));
  t.same(await commands.recover(join(dir, 'cut'), 'another boot', {}), { state: 'lost' });
  t.notOk(existsSync(join(dir, 'cut/spec.json')), 'no secret is left then either');
});

t.test('a wrapper that was killed leaves no command behind, and no answer', async (t) => {
  const dir = t.testdir();
  const { spec } = blocking(dir);
  const folder = join(dir, 'c');
  const begun = commands.start(folder, spec, {});
  await until(() => isWritten(join(dir, 'pid')) && existsSync(join(folder, 'child')));
  t.match(await commands.recover(folder, bootId, {}), { state: 'running' });
  const started = JSON.parse(readFileSync(join(folder, 'started'), 'utf8')) as { pid: number };
  process.kill(started.pid, 'SIGKILL');
  await t.rejects(begun, { code: 'INTERRUPTED' });
  await until(() => !isAlive(numberIn(join(dir, 'pid'))));
  t.same(await commands.recover(folder, bootId, {}), { state: 'lost' });
});

t.test('a wrapper whose folder is gone ends with its command', async (t) => {
  const dir = t.testdir();
  const { spec, release } = blocking(dir);
  const folder = join(dir, 'c');
  const begun = commands.start(folder, spec, {});
  await until(() => isWritten(join(dir, 'pid')));
  const { pid } = JSON.parse(readFileSync(join(folder, 'started'), 'utf8')) as { pid: number };
  const untold = t.rejects(begun);
  rmSync(folder, { recursive: true });
  release();
  await until(() => !isAlive(pid));
  await untold;
});

t.test('a machine that goes down interrupts; that is not a cancel', async (t) => {
  const dir = t.testdir();
  const { spec } = blocking(dir);
  const folder = join(dir, 'c');
  const begun = commands.start(folder, spec, {});
  await until(() => isWritten(join(dir, 'pid')));
  process.kill((JSON.parse(readFileSync(join(folder, 'started'), 'utf8')) as { pid: number }).pid, 'SIGTERM');
  await t.rejects(begun, { code: 'INTERRUPTED' });
  t.same(await commands.recover(folder, 'the next boot', {}), { state: 'lost' });
});

t.test('another process with the pid of the wrapper is not taken for it', async (t) => {
  const dir = t.testdir();
  chmodSync(dir, 0o700);
  writeFileSync(join(dir, 'started'), JSON.stringify({ by: 'wrapper', bootId, pid: process.pid, startTicks: 1 }));
  t.same(await commands.recover(dir, bootId, {}), { state: 'lost' });
});

t.test('no program that the agent starts has the master of an open terminal', async (t) => {
  const ended = Promise.withResolvers<void>();
  const terminal = await Terminal.open(
    { argv: ['/bin/sleep', '600'], env: {}, cwd: '/', columns: 80, rows: 24 },
    { onData: () => {}, onEnd: () => ended.resolve() },
  );
  const mine = `ls -l /proc/${process.pid}/fd`;
  t.match((await run(['/bin/sh', '-c', mine])).stdout, /ptmx/, 'the agent has it');
  t.notMatch((await run(['/bin/sh', '-c', 'ls -l /proc/self/fd'])).stdout, /ptmx/);
  // A wrapper outlives the agent: with the master it would keep the terminal's program alive.
  const wrapped = await commands.start(
    join(t.testdir(), 'command'),
    shell('ls -l /proc/self/fd /proc/$PPID/fd; echo seen'),
    {},
  );
  t.match(wrapped.stdout.head.toString(), /seen/);
  t.notMatch(wrapped.stdout.head.toString(), /ptmx/);
  terminal.hangUp();
  t.doesNotThrow(
    () => terminal.resize(10, 10),
    'between its end and the word of it the number may be that of another file',
  );
  await ended.promise;
});

t.test('what a shell prints last waits for credit and is not lost', async (t) => {
  let text = '';
  const opened = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<unknown>();
  const full = Promise.withResolvers<void>();
  const wish = { shell: 1, user: '', argv: ['/bin/sh', '-c', 'printf 0123456789; exit 4'] };
  const shellOf = new Shell(
    { ...wish, term: 'xterm', columns: 80, rows: 24, now: false, credit: 4 },
    {
      opened: () => opened.resolve(),
      taken: () => {},
      output(data) {
        text += Buffer.from(data).toString();
        if (text.length === 4) full.resolve();
      },
      ended: (end) => ended.resolve(end),
    },
  );
  await shellOf.start();
  await opened.promise;
  await full.promise;
  t.equal(text, '0123', 'no more than was asked for');
  shellOf.granted(100);
  t.equal(text, '0123456789');
  t.same(await ended.promise, { code: 4, signal: 0 });

  let late = '';
  const over = Promise.withResolvers<unknown>();
  const begun = Promise.withResolvers<void>();
  const small = new Shell(
    { ...wish, term: 'xterm', columns: 80, rows: 24, now: false, credit: 0 },
    {
      opened: () => begun.resolve(),
      taken: () => {},
      output: (data) => {
        late += Buffer.from(data).toString();
      },
      ended: (end) => over.resolve(end),
    },
  );
  await small.start();
  await begun.promise;
  for (let credit = 0; credit < 10; credit += 1) small.granted(1);
  t.same(await over.promise, { code: 4, signal: 0 });
  t.equal(late, '0123456789', 'credit that came before it was printed');
});

t.test('the terminal of a shell is its user’s, who may open it', async (t) => {
  let text = '';
  const ended = Promise.withResolvers<unknown>();
  const argv = ['/bin/sh', '-c', 'stat -c "%U %G %a" "$(tty)"; echo opened > "$(tty)"'];
  const one = new Shell(
    { shell: 1, user: 'nobody', argv, term: 'xterm', columns: 80, rows: 24, now: false, credit: 4096 },
    {
      opened: () => {},
      taken: () => {},
      output: (data) => {
        text += Buffer.from(data).toString();
      },
      ended: (end) => ended.resolve(end),
    },
  );
  await one.start();
  t.same(await ended.promise, { code: 0, signal: 0 }, text);
  t.match(text, /^nobody tty 620\s+opened/);
});
