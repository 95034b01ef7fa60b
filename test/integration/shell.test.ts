/** `kk-controller shell`: a real agent, a real controller, and a command on a pseudoterminal as a person has it. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startTicks } from '../../agent/host/process-identity.ts';
import { openShell, type ShellEars } from '../../controller/cli/shell-socket.ts';
import type { ShellBody } from '../../controller/views/requests.ts';
import { reportOf } from '../../shared/errors.ts';
import { type Line, planOf, startLine } from '../support/line.ts';
import { liveMemory } from '../support/live-memory.ts';
import { type Person, person } from '../support/person.ts';

const MB = 1024 * 1024;

const STILL_HERE = planOf(['n1'], '        - {name: p, hosts: all, tasks: [{debug: still here}]}\n');
const DEAF: ShellEars = { opened: () => {}, shown: () => true, drained: () => {} };

/** The command, before a person. */
const at = (line: Line, args: readonly string[]): Promise<Person> =>
  person(args, { KK_STATE: join(line.folder, 'controller') });

const wishOf = (argv: string[], wish: Partial<ShellBody> = {}): ShellBody => {
  return { node: 'n1', argv, term: 'xterm', columns: 80, rows: 24, by: 'ada', ...wish };
};

/** The same without the command: how it ended and what it printed, or why it did not begin. */
async function asked(line: Line, argv: string[], wish: Partial<ShellBody> = {}): Promise<object> {
  let text = '';
  const shell = openShell(line.client.socket, wishOf(argv, wish), {
    ...DEAF,
    shown: (data) => {
      text += data.toString();
      return true;
    },
  });
  return shell.ended.then(
    (end) => ({ end, text }),
    (thrown: unknown) => reportOf(thrown),
  );
}

/** Resolves when the process, or only its zombie, is gone. */
async function gone(pid: number): Promise<void> {
  while (startTicks(pid) !== undefined) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function pidIn(file: string): Promise<number> {
  for (;;) {
    const pid = Number(await readFile(file, 'utf8').catch(() => ''));
    if (pid > 0) return pid;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

t.test('a terminal on a node', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  await line.agent('n1');
  await line.heard(({ message }) => message === 'agent connected');
  const scratch = await mkdtemp(join(tmpdir(), 'kk-shell-'));
  t.teardown(() => rm(scratch, { recursive: true, force: true }));

  await t.test('a login shell: its size, a changed size, text of many bytes, its exit status', async (t) => {
    const cast = join(scratch, 'a.cast');
    const me = await at(line, ['shell', 'n1', '--record', cast]);
    await me.until(/On n1\. Enter, then ~\. leaves/);
    me.type('stty size; echo "term=$TERM" user=$USER in $PWD\r');
    await me.until(/30 90\s/);
    await me.until(/term=xterm user=root in \/root/);
    me.resize(120, 40);
    me.type('until [ "$(stty size)" = "40 120" ]; do sleep 0.1; done; echo is "$(stty size)"\r');
    await me.until(/is 40 120\s/);
    // Cut within characters on its way.
    me.type(`printf '%s' "$(printf 'ä漢🙂%.0s' $(seq 3000))" | tail -c 9; echo; tty\r`);
    await me.until(/漢🙂\s+\/dev\/pts\/\d+/);
    me.type('echo \x16~.; exit 5\r');
    t.equal(await me.ended, 5);
    t.notMatch(me.seen, /\uFFFD/);
    t.match(me.seen, /[\r\n]~\.\s/, 'a tilde within a line is a tilde');

    const [head = '', ...events] = (await readFile(cast, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text));
    t.match(head, { version: 2, width: 90, height: 30, env: { TERM: 'xterm' } });
    t.ok(events.some(([, kind, text]) => kind === 'r' && text === '120x40'));
    t.match(events.flatMap(([, kind, text]) => (kind === 'o' ? text : [])).join(''), /ä漢🙂/);
    t.equal((await stat(cast)).mode & 0o777, 0o600);
    t.notMatch(JSON.stringify(line.said), /stty|term=xterm/, 'what was said there is in no log');
    const { details } = await line.heard(({ message }) => message === 'shell ended');
    t.match(details, { node: 'n1', code: 5, signal: 0, durationMs: Number, by: String });
  });

  await t.test('a command: its status, a signal, and what cannot be started', async (t) => {
    t.match(await asked(line, ['test -t 0 && echo "it is a terminal"; exit 7']), {
      end: { code: 7, signal: 0 },
      text: /it is a terminal/,
    });
    t.match(await asked(line, ['kill -9 $$']), { end: { signal: 9 } });
    t.match(await asked(line, ['no-such-program', 'x']), { code: 'COMMAND_NOT_FOUND' });
    t.match(await asked(line, ['id -un; pwd'], { user: 'nobody' }), { end: { code: 0 }, text: /nobody\s+\/\s/ });
    t.match(await asked(line, [], { user: 'no-such-user' }), { code: 'COMMAND_NO_SUCH_USER' });
    t.match(await asked(line, [], { node: 'n2' }), { code: 'NODE_UNKNOWN' });
    t.match(await asked(line, [], { columns: -1 }), { code: 'REQUEST_INVALID' });
    const killed = await at(line, ['shell', 'n1', '--', 'kill -15 $$']);
    t.equal(await killed.ended, 128 + 15, 'as a shell says it');
    const recorded = await at(line, ['shell', 'n1', '--record', join(scratch, 'a.cast')]);
    t.equal(await recorded.ended, 1);
    t.match(recorded.seen, /RECORDING_NOT_WRITABLE/, 'a recording is not written over');
  });

  await t.test('Ctrl-C goes to the program, and does not end the session', async (t) => {
    const busy = 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.1; done';
    const me = await at(line, ['shell', 'n1', '--', busy]);
    await me.until(/ready/);
    me.type('\x03');
    await me.until(/caught/);
    t.equal(await me.ended, 3);
  });

  await t.test('fifty megabytes to a reader that takes its time fill no memory', async (t) => {
    const before = liveMemory();
    let bytes = 0;
    let most = 0;
    let pauses = 0;
    const shell = openShell(line.client.socket, wishOf(['head -c 52428800 /dev/zero']), {
      ...DEAF,
      shown(data) {
        bytes += data.length;
        if (bytes < (pauses + 1) * 20 * MB) return true;
        pauses += 1;
        // Meanwhile everybody goes on sending as long as they may.
        void line.apply(STILL_HERE).then(({ view }) => {
          t.equal(view.status, 'done', 'the link goes on');
          most = Math.max(most, liveMemory() - before);
          shell.resume();
        });
        return false;
      },
    });
    t.match(await shell.ended, { code: 0, signal: 0 });
    t.equal(bytes, 50 * MB);
    t.equal(pauses, 2);
    // What is on its way through four sockets depends on who has the CPU; without a limit it were nearly all.
    t.ok(most < 25 * MB, `${Math.round(most / MB)} MB at most`);
  });

  await t.test('much is typed at once to a program that reads late', async (t) => {
    let text = '';
    let held = 0;
    const reader = 'stty raw -echo; echo ready; sleep 1; head -c 3000000 | wc -c';
    const shell = openShell(line.client.socket, wishOf([reader]), {
      ...DEAF,
      shown(data) {
        const wasReady = text.includes('ready');
        text += data.toString();
        if (wasReady || !text.includes('ready')) return true;
        for (let at = 0; at < 30; at += 1) if (!shell.type(Buffer.alloc(100_000, 'x'))) held += 1;
        return true;
      },
      drained: () => {
        held = 0;
      },
    });
    t.match(await shell.ended, { code: 0 });
    t.match(text, /3000000/);
    t.equal(held, 0, 'whoever types was asked to wait, and then to go on');
  });

  await t.test('a session that hangs is left, and nothing of it stays', async (t) => {
    const file = join(scratch, 'hangs');
    const me = await at(line, ['shell', 'n1', '--', `trap '' INT QUIT; echo $$ > ${file}; while :; do sleep 1; done`]);
    const pid = await pidIn(file);
    await me.until(/leaves/);
    me.type('\x03x\r~.');
    t.equal(await me.ended, 4);
    await gone(pid);
  });

  await t.test('a command that is killed leaves no shell behind, and a vim no screen', async (t) => {
    const file = join(scratch, 'killed');
    const me = await at(line, ['shell', 'n1', '--', `echo $$ > ${file}; sleep 1000`]);
    const pid = await pidIn(file);
    await me.until(/leaves/);
    process.kill(me.pid, 'SIGKILL');
    await gone(pid);

    const screen = join(scratch, 'screen');
    const vim = `echo $$ > ${screen}; printf '\\033[?1049h\\033[?25lfull\\033[?10'; printf '00h'; sleep 1000`;
    const you = await at(line, ['shell', 'n1', '--', vim]);
    await pidIn(screen);
    await you.until(/full/);
    you.type('\r~.');
    t.equal(await you.ended, 4);
    for (const mode of ['?1049l', '?25h', '?1000l']) t.ok(you.seen.includes(`\x1b[${mode}`), mode);
  });

  await t.test('two at once, each its own', async (t) => {
    const [a, b] = [await at(line, ['shell', 'n1']), await at(line, ['shell', 'n1'])];
    await Promise.all([a.until(/leaves/), b.until(/leaves/)]);
    a.type('x=mine\r');
    b.type('x=yours\r');
    a.type('echo "a has $x"; exit\r');
    b.type('echo "b has $x"; exit\r');
    await Promise.all([a.until(/a has mine/), b.until(/b has yours/)]);
    t.same(await Promise.all([a.ended, b.ended]), [0, 0]);
  });

  await t.test('a step that wants the node for itself is not disturbed, unless that is said', async (t) => {
    const begun = join(scratch, 'begun');
    const may = join(scratch, 'may-end');
    const shell = `echo $$ > ${begun}; while [ ! -e ${may} ]; do sleep 0.05; done`;
    const run = await line.start(
      planOf(
        ['n1'],
        `        - {name: p, hosts: all, tasks: [{name: bench the disk, command: {shell: "${shell}"}, alone: true}]}\n`,
      ),
    );
    await pidIn(begun);
    t.match(await asked(line, ['true']), { code: 'SHELL_NODE_ALONE', message: /bench the disk/ });
    t.match(await asked(line, ['exit 9'], { now: true }), { end: { code: 9 } });
    await writeFile(may, '');
    t.equal((await line.follow(run)).view.status, 'done');
  });

  await t.test('when the controller goes, so does the shell; its person is told', async (t) => {
    const file = join(scratch, 'orphan');
    const me = await at(line, ['shell', 'n1', '--', `echo $$ > ${file}; sleep 1000`]);
    const pid = await pidIn(file);
    await me.until(/leaves/);
    await line.stopController();
    t.not(await me.ended, 0);
    t.match(me.seen, /SHELL_CUT|CONTROLLER_LOST/);
    await gone(pid);
    await line.startController();
  });

  await t.test('an idle shell is ended, and an agent that is away is said to be', async (t) => {
    await line.stopController();
    const impatient = await startLine({ shellIdleSeconds: 1 });
    t.teardown(() => impatient.close());
    await impatient.agent('n1');
    await impatient.heard(({ message }) => message === 'agent connected');
    t.match(await asked(impatient, ['sleep 1000']), { code: 'SHELL_IDLE' });
    await impatient.agents.get('n1')?.stop();
    await impatient.heard(({ message }) => message === 'agent disconnected');
    t.match(await asked(impatient, []), { code: 'NODE_NOT_CONNECTED' });
    await line.startController();
  });
});
