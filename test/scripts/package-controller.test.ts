import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { packageController } from '../../scripts/package-controller.ts';
import { isAlive, until } from '../support/real-host.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Ended {
  code: number;
  out: string;
  err: string;
}

const run = (program: string, args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(
      program,
      args,
      { cwd: ROOT, env: { PATH: process.env['PATH'], KK_LISTEN: '127.0.0.1:0' } },
      (error, out, err) => resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
  });

t.test('the packaged controller is the controller of the sources', async (t) => {
  // Spaces, as a clone may have in its path: data and scripts are found by places relative to it.
  const home = mkdtempSync(join(tmpdir(), 'kk-package-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
  const folder = join(home, 'a long way', 'controller');
  const main = join(await packageController(folder), 'main.js');
  const state = join(home, 'state');
  const both = async (...args: string[]): Promise<[Ended, Ended]> => [
    await run(process.execPath, [main, ...args]),
    await run(process.execPath, [join(ROOT, 'controller/main.ts'), ...args]),
  ];
  for (const args of [
    ['plan', 'examples/precheck.yaml'],
    ['--state', state, 'nodes'],
    ['--state', state, 'exec', 'all', '--', 'x'],
    ['--help'],
  ]) {
    const [packaged, source] = await both(...args);
    t.same(packaged, source, args.join(' '));
  }

  const token = ['--state', state, 'token', 'create', '--name', 'node1'];
  t.equal((await run(process.execPath, [main, ...token])).code, 5, 'nobody answers');
  const plan = join(home, 'plan.yaml');
  writeFileSync(plan, PLAN);
  const applied = await run(process.execPath, [main, '--state', state, 'apply', plan, '--detach']);
  const started = ({ err }: Ended): number => {
    const [, pid] = /Started a controller \(pid (\d+)\)/.exec(err) ?? [];
    if (pid === undefined) throw new Error(err);
    return Number(pid);
  };
  let pid = started(applied);
  t.teardown(() => process.kill(pid));
  const made = await run(process.execPath, [main, ...token]);
  t.match([made.code, made.err], [0, /^Token \w+: good for node1/], 'it starts itself, and serves with its database');

  const [packaged, source] = await both('--state', state, 'nodes', '-o', 'json');
  t.same(packaged, source, 'what the same build answers is not read twice, and says the same');
  process.kill(pid, 'SIGKILL');
  await until(() => !isAlive(pid));
  const woken = await run(process.execPath, [main, '--state', state, 'exec', 'all', '--', 'true']);
  pid = started(woken);
  t.match(woken.err, /error SELECTOR_EMPTY/, 'asked in vain, it starts one, and asks that');

  const [name = ''] = readdirSync(folder).filter((entry) => entry !== 'current');
  await packageController(folder);
  t.same(readdirSync(folder).sort(), [name, 'current'].sort(), 'the same sources make the same package');
  t.equal(readlinkSync(join(folder, 'current')), name);
});

const PLAN = `apiVersion: kk.dev/v1
kind: Plan
metadata: { name: none }
spec:
  inventory:
    hosts: { node1: { address: 127.0.0.1, ssh: false } }
  playbooks:
    - plays:
        - name: one
          hosts: all
          tasks:
            - name: one
              command: { argv: ['true'] }
`;

t.test('the command takes the package as long as no source is newer', async (t) => {
  const root = join(t.testdir(), 'a clone');
  const at = (path: string): string => join(root, path);
  for (const folder of ['controller/bin', 'shared', 'dist/controller/p1', 'node_modules/.bin']) {
    mkdirSync(at(folder), { recursive: true });
  }
  cpSync(join(ROOT, 'controller/bin/kk-controller'), at('controller/bin/kk-controller'));
  writeFileSync(at('node_modules/.bin/node'), '#!/bin/sh\necho "$1"\n', { mode: 0o755 });
  for (const name of ['package.json', 'package-lock.json']) writeFileSync(at(name), '{}');
  writeFileSync(at('shared/errors.ts'), '');
  const runs = async (): Promise<string> => {
    const { out } = await run(at('controller/bin/kk-controller'), ['nodes']);
    return out.trim().slice(root.length + 1);
  };
  t.equal(await runs(), 'controller/main.ts', 'there is none');
  const main = at('dist/controller/p1/main.js');
  writeFileSync(main, '');
  symlinkSync('p1', at('dist/controller/current'));
  const later = new Date(Date.now() + 60_000);
  utimesSync(main, later, later);
  t.equal(await runs(), 'dist/controller/current/main.js');
  const earlier = new Date(Date.now() - 60_000);
  utimesSync(main, earlier, earlier);
  utimesSync(at('shared/errors.ts'), new Date(0), new Date(0));
  t.equal(await runs(), 'controller/main.ts', 'also when what was unpacked or copied since has an old date');
});
