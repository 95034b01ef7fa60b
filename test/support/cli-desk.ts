import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { CliParts, Output } from '../../controller/cli/cli.ts';
import { runCli } from '../../controller/cli/program.ts';
import { socketPath } from '../../controller/config/settings.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import { listenOnSocket } from '../../controller/server/listen-on-socket.ts';
import { operatorApi } from '../../controller/server/operator-api.ts';
import { FakeOperations, NOW } from './fake-operations.ts';
import { Pipe } from './screen.ts';

export const PLAN = `apiVersion: kk.dev/v1
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
export const SOURCES = { plan: 'plan.yaml', texts: { 'plan.yaml': PLAN } };
export const [CP1, W1] = [0, 1];
export const [SWAP, CONFIG, START, JOIN] = [0, 1, 2, 3];

export const ok = (node: number, task: number, changed = false): RunEvent => ({
  kind: 'ended',
  at: NOW - 50_000,
  node,
  task,
  outcome: 'ok',
  result: { changed },
  durationMs: 10,
});
export const begun = (node: number, task: number): RunEvent => ({
  kind: 'begun',
  at: NOW - 55_000,
  node,
  task,
  attempt: 1,
  items: 0,
});
export const finished = (status: 'done' | 'failed' | 'precheck_failed' | 'cancelled'): RunEvent => ({
  kind: 'finished',
  at: NOW,
  status,
});
export const verdict = (node: number, outcome: 'pass' | 'fail'): RunEvent => ({
  ...(ok(node, SWAP) as RunEvent & { kind: 'ended' }),
  verdict: {
    check: 'swap',
    outcome,
    message: outcome === 'pass' ? 'No swap.' : '2 GB of swap are in use.',
    remedy: outcome === 'pass' ? '' : 'Run swapoff -a.',
    evidence: null,
  },
});
export const DIFF = { path: '/etc/x', before: '', after: '', unified: '@@ -1 +1 @@\n-old\n+new' };
const blocked = (tasks: number[]): RunEvent => ({
  kind: 'blocked',
  at: NOW - 40_000,
  node: W1,
  tasks,
  cause: 'install/install/start on cp1, failed: UNIT_FAILED: x.service did not start.',
  cancelled: false,
});
export const FAILED: RunEvent[] = [
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
  blocked([CONFIG]),
  blocked([START, JOIN]),
  finished('failed'),
];
export const DONE: RunEvent[] = [
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

export interface Ran {
  code: number;
  out: string;
  err: string;
}

export interface Desk {
  folder: string;
  plan: string;
  operations: FakeOperations;
  run(args: string[], parts?: Partial<CliParts>): Promise<Ran>;
}

export const deskParts = (folder: string, out: Output, err: Output): CliParts => ({
  out,
  err,
  settings: {
    stateFolder: folder,
    listen: '0.0.0.0:9443',
    advertise: [],
    approve: undefined,
    agentFolder: undefined,
    color: false,
    live: true,
    term: 'xterm',
    user: 'ada',
  },
  now: () => NOW,
  version: '0.1.0',
  self: { command: process.execPath, args: ['--no-such-option-of-node'] },
  onInterrupt: () => () => {},
  onStop: () => () => {},
  runServe: async () => 0,
  backup: async (_state, _file, logs) => ({
    version: '0.1.0',
    fleetId: 'f1',
    created: new Date(NOW).toISOString(),
    logs,
  }),
  restore: async () => ({ version: '0.1.0', fleetId: 'f1', created: new Date(NOW).toISOString(), logs: true }),
});

/** A command line before a controller made of fakes, with these headers; `false`: nobody answers. */
export async function desk(t: Test, served: false | Readonly<Record<string, string>> = {}): Promise<Desk> {
  const folder = await mkdtemp(join(tmpdir(), 'kk-cli-'));
  const operations = new FakeOperations();
  const app = operatorApi(operations, served || {});
  if (served !== false) await listenOnSocket(app, socketPath(folder));
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

export const lines = (text: string) => text.trimEnd().split('\n');
export const jsonLines = (text: string) => lines(text).map((line) => JSON.parse(line) as { type: string });
