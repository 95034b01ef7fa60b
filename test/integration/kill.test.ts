import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { StreamLine } from '../../controller/views/types.ts';
import { planOf } from '../support/line.ts';
import { Site } from '../support/processes.ts';

/** Of the command that is killed around; the minute with KK_TEST_COMMAND_SECONDS=60. */
const SECONDS = Number(process.env['KK_TEST_COMMAND_SECONDS'] ?? 4);
const NODES = ['n1', 'n2', 'n3'];

type Test = { teardown(fn: () => unknown): void };

async function siteIn(t: Test): Promise<Site> {
  // Short: the path of a unix socket has 107 bytes.
  const site = new Site(await mkdtemp(join(tmpdir(), 'kk-kill-')));
  t.teardown(async () => {
    await site.close();
    await rm(site.home, { recursive: true, force: true });
  });
  return site;
}

const canMount = (): boolean => process.getuid?.() === 0 && process.platform === 'linux';
/** A small file system of its own; its content goes with it. */
async function smallDisk(t: Test, path: string, size: string): Promise<void> {
  await mkdir(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'kk-test', path]);
  t.teardown(() => execFileSync('umount', ['-l', path]));
}

/** Takes every byte that is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  for (let size = 64 * 1024; size >= 1; ) {
    const written = await file.write(Buffer.alloc(size)).then(
      ({ bytesWritten }) => bytesWritten === size,
      () => false,
    );
    if (!written) size = Math.floor(size / 2);
  }
  await file.close();
}

async function untilBegun(site: Site, run: string, nodes: readonly string[], task: string): Promise<void> {
  const missing = new Set(nodes);
  for await (const line of site.client.follow(run, { logs: false }, new AbortController().signal)) {
    if (line.type === 'begun' && line.task.endsWith(`/${task}`)) missing.delete(line.node);
    if (missing.size === 0) return;
  }
  throw new Error('the stream ended before the tasks had begun');
}

async function linesOf(site: Site, run: string): Promise<StreamLine[]> {
  const lines: StreamLine[] = [];
  for await (const line of site.client.follow(run, { logs: true }, new AbortController().signal)) lines.push(line);
  return lines;
}

async function writePlan(site: Site, nodes: readonly string[], tasks: string): Promise<string> {
  const path = join(site.home, 'plan.yaml');
  await writeFile(path, planOf(nodes, `        - name: long\n          hosts: all\n          tasks:\n${tasks}`));
  return path;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}

t.test('killed in the middle of a command', async (t) => {
  const site = await siteIn(t);
  await site.serve();
  for (const name of NODES) {
    await site.join(name);
    await site.agent(name).told(/connected to the controller/);
  }
  const ran = join(site.home, 'ran');
  const shell = `echo {{ node_name }} >> ${ran}; echo before; sleep ${SECONDS}; echo after; echo beside >&2`;
  const plan = await writePlan(
    site,
    NODES,
    `            - {id: work, name: work, command: {shell: "${shell}"}}
            - {id: all, name: all, debug: "{{ work_of }}", vars: {work_of: done}, needs: [{task: work, of: all}]}
`,
  );
  const apply = site.run('controller', ['--state', site.state, 'apply', plan, '-o', 'json']);
  await until(async () => (await site.client.runs(1)).length > 0);
  const [{ id: run = '' } = {}] = await site.client.runs(1);
  await untilBegun(site, run, NODES, 'work');

  await Promise.all([site.controller?.kill(), site.agents.get('n2')?.kill()]);
  await site.serve();
  await site.agent('n2').told(/connected to the controller/);

  t.equal(await apply.ended, 0, apply.err);
  t.match(apply.err, /The controller is gone; the nodes go on/, 'apply tells that it lost the controller');
  const view = await site.client.run(run);
  t.equal(view.status, 'done', JSON.stringify(view.failures));
  t.same((await readFile(ran, 'utf8')).trim().split('\n').sort(), NODES, 'each command ran once');
  const lines = await linesOf(site, run);
  for (const node of NODES) {
    const ended = lines.filter((line) => line.type === 'ended' && line.node === node && line.name === 'work');
    t.equal(ended.length, 1, `${node} ended once`);
    t.match(ended[0], { outcome: 'ok', output: { stdout: { head: 'before\nafter\n' }, stderr: { head: 'beside\n' } } });
  }
  t.match(
    apply.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .at(-1),
    { type: 'finished' },
  );

  await t.test('what is taken already is refused, and harms nobody', async (t) => {
    const other = join(site.home, 'other');
    const attempts = {
      PORT_IN_USE: site.run('controller', ['--state', other, 'serve', '--listen', `127.0.0.1:${site.port}`]),
      ADDRESS_NOT_HERE: site.run('controller', [
        '--state',
        `${other}-too`,
        'serve',
        '--listen',
        `192.0.2.1:${site.port}`,
      ]),
      CONTROLLER_RUNNING: site.run('controller', ['--state', site.state, 'serve', '--listen', '127.0.0.1:0']),
      STATE_IN_USE: site.run('agent', ['run', '--state', join(site.home, 'n1')]),
    };
    for (const [code, program] of Object.entries(attempts)) {
      t.equal(await program.ended, 1, code);
      t.match(program.err, new RegExp(code));
    }
    t.match(attempts.PORT_IN_USE.err, /ss -ltnp.*--listen/s);
    t.equal((await site.client.status()).nodes.connected, 3);
  });

  await t.test('no controller, and none was ever here: exit code 5, and how to go on', async (t) => {
    const nodes = site.run('controller', ['--state', join(site.home, 'nowhere'), 'nodes']);
    t.equal(await nodes.ended, 5);
    t.match(nodes.err, /CONTROLLER_UNREACHABLE.*kk-controller serve/s);
  });
});

t.test('state folders that cannot be used', async (t) => {
  const site = await siteIn(t);
  const file = join(site.home, 'file');
  await writeFile(file, '');
  await mkdir(join(site.home, 'newer'));
  const database = new DatabaseSync(join(site.home, 'newer/controller.db'));
  database.exec('PRAGMA user_version = 99');
  database.close();
  const serve = (state: string) => site.run('controller', ['--state', state, 'serve', '--listen', '127.0.0.1:0']);
  const attempts = [
    { program: serve(file), code: /STATE_NOT_WRITABLE/, remedy: /--state/ },
    { program: serve(join(site.home, 'newer')), code: /STATE_NEWER/, remedy: /that version|--state/ },
    { program: site.run('agent', ['run', '--state', file]), code: /STATE_NOT_WRITABLE/, remedy: /--state/ },
    {
      program: site.run('agent', ['run', '--state', join(site.home, 'empty')]),
      code: /NOT_JOINED/,
      remedy: /join-command/,
    },
  ];
  if (canMount()) {
    const readOnly = join(site.home, 'ro');
    await smallDisk(t, readOnly, '64k');
    execFileSync('mount', ['-o', 'remount,ro', readOnly]);
    const full = join(site.home, 'full');
    await smallDisk(t, full, '64k');
    await fill(join(full, 'ballast'));
    attempts.push(
      { program: serve(readOnly), code: /STATE_NOT_WRITABLE/, remedy: /--state/ },
      { program: site.run('agent', ['run', '--state', readOnly]), code: /STATE_NOT_WRITABLE/, remedy: /--state/ },
      { program: serve(full), code: /STATE_NOT_WRITABLE|DISK_FULL/, remedy: /room/ },
    );
  }
  for (const { program, code, remedy } of attempts) {
    t.equal(await program.ended, 1, program.err);
    t.match(program.err, code);
    t.match(program.err, remedy);
    t.notMatch(program.err, /INTERNAL|\n\s+at /);
  }
});

t.test('full disks', { skip: canMount() ? false : 'mounting needs root' }, async (t) => {
  const site = await siteIn(t);
  await smallDisk(t, site.state, '8m');
  await smallDisk(t, join(site.home, 'n2'), '4m');
  await site.serve();
  for (const name of ['n1', 'n2']) {
    await site.join(name);
    await site.agent(name).told(/connected to the controller/);
  }
  const startRun = async (nodes: readonly string[], tasks: string): Promise<string> => {
    const plan = await writePlan(site, nodes, tasks);
    const apply = site.run('controller', ['--state', site.state, 'apply', plan, '--detach', '-o', 'json']);
    t.equal(await apply.ended, 0, apply.err);
    return (JSON.parse(apply.out) as { run: string }).run;
  };
  const waiting = (name: string, go: string): string =>
    `            - {name: ${name}, command: {shell: "echo {{ node_name }} >> ${site.home}/ran-${name}; until [ -e ${go} ]; do sleep 0.1; done; seq 200"}}
            - {name: end, debug: well}
`;
  const numbers = Array.from({ length: 200 }, (_, i) => i + 1)
    .map((n) => `${n}\n`)
    .join('');

  await t.test("the controller's: told, nothing acknowledged is lost, and it goes on by itself", async (t) => {
    const go = join(site.home, 'go1');
    const run = await startRun(['n1', 'n2'], waiting('full', go));
    await untilBegun(site, run, ['n1', 'n2'], 'full');
    await fill(join(site.state, 'ballast'));
    await writeFile(go, '');
    await site.agents.get('n1')?.told(/DISK_FULL/);
    const refused = site.run('controller', ['--state', site.state, 'token', 'create']);
    t.equal(await refused.ended, 1);
    t.match(refused.err, /DISK_FULL.*[Mm]ake room/s);
    t.equal((await site.client.run(run)).status, 'running', 'it still answers');
    await rm(join(site.state, 'ballast'));
    const lines = await linesOf(site, run);
    t.match(lines.at(-1), { type: 'finished', run: { status: 'done' } });
    for (const node of ['n1', 'n2']) {
      const ended = lines.filter((line) => line.type === 'ended' && line.node === node);
      t.match(ended, [{ output: { stdout: { head: numbers } } }, { output: { message: 'well' } }], node);
    }
    t.same((await readFile(join(site.home, 'ran-full'), 'utf8')).trim().split('\n').sort(), ['n1', 'n2']);
  });

  await t.test("an agent's: told on the node, and it goes on by itself", async (t) => {
    const go = join(site.home, 'go2');
    const run = await startRun(['n2'], waiting('node', go));
    const ran = join(site.home, 'ran-node');
    await until(() => existsSync(ran));
    await fill(join(site.home, 'n2/ballast'));
    await writeFile(go, '');
    const exec = await site.client.exec({ selector: ['n2'], argv: ['true'], timeoutSeconds: 60, by: 'test' });
    await site.agents.get('n2')?.told(/The file system of \S+n2\S+ is full.*nothing is lost/);
    await rm(join(site.home, 'n2/ballast'));
    const lines = await linesOf(site, run);
    t.match(lines.at(-1), { type: 'finished', run: { status: 'done' } }, JSON.stringify(lines.at(-1)));
    const ended = lines.filter((line) => line.type === 'ended');
    t.match(ended[1], { output: { message: 'well' } });
    t.match(ended[0], { outcome: 'ok', output: { stdout: { head: numbers } } });
    t.equal(await readFile(ran, 'utf8'), 'n2\n', 'the command ran once');
    t.match((await linesOf(site, exec.run)).at(-1), { run: { status: 'done' } }, 'what came meanwhile is done, too');
  });
});
