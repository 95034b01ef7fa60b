import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type RunningAgent, selfOf, startAgent } from '../../agent/agent.ts';
import { enrol } from '../../agent/identity/enrol.ts';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import type { Installer } from '../../agent/link/installer.ts';
import { type Dial, dialWith } from '../../agent/link/transport.ts';
import { statePaths } from '../../agent/state-folder.ts';
import { Client } from '../../controller/cli/client.ts';
import { sendFiles } from '../../controller/cli/send-files.ts';
import { compile } from '../../controller/compile/compile.ts';
import { runServe } from '../../controller/compose.ts';
import { type ServeOptions, socketPath } from '../../controller/config/settings.ts';
import { loadSources, parsePlan } from '../../controller/plan/index.ts';
import type { RunView, StreamLine } from '../../controller/views/types.ts';
import { decodeToAgent } from '../../shared/protocol/codec.ts';

const root = join(import.meta.dirname, '../..');

/** The whole line on loopback: a real controller and real agents, in this process, each with its own state folder. */
export interface Line {
  folder: string;
  client: Client;
  endpoint: string;
  agents: Map<string, RunningAgent>;
  /** Frames the controller sent to agents, by kind. */
  frames: Record<string, number>;
  /** What the controller (`''`) and the agents said in their logs. */
  said: Said[];
  /** Added to the machine's clock, for the controller alone. */
  clock: { offsetMs: number };
  /** Resolves with the first entry that fits, also one of before. */
  heard(fits: (entry: Said) => boolean): Promise<Said>;
  /** Makes an identity for a node, at the controller's time; `replace`: for a known one. */
  join(name: string, options?: { replace?: true }): Promise<void>;
  /** Joins (if it is not yet) and starts an agent; `folder`: its state, when not the node's own. */
  agent(name: string, options?: { folder?: string; machineId?: string; installer?: Installer }): Promise<RunningAgent>;
  /** Applies a plan text over the agents (all on 127.0.0.1 addresses) and waits for its end. */
  apply(plan: string, options?: { check?: boolean }): Promise<{ view: RunView; lines: StreamLine[] }>;
  start(plan: string, options?: { check?: boolean }): Promise<string>;
  follow(run: string): Promise<{ view: RunView; lines: StreamLine[] }>;
  stopController(): Promise<void>;
  startController(): Promise<void>;
  close(): Promise<void>;
}

export interface Said {
  who: string;
  message: string;
  details: Record<string, unknown>;
}

/** `offsetMs`: the first value of `clock`. */
export async function startLine(options: Partial<ServeOptions> = {}, offsetMs = 0): Promise<Line> {
  const folder = await mkdtemp(join(tmpdir(), 'kk-line-'));
  const state = join(folder, 'controller');
  let stop = new AbortController();
  let served: Promise<number> | undefined;
  let port = 0;
  const client = new Client(socketPath(state));
  const frames: Record<string, number> = {};
  const clock = { offsetMs };
  const said: Said[] = [];
  const ears = new Set<() => void>();
  const hear = (entry: Said): void => {
    said.push(entry);
    if (process.env['KK_TEST_LOG']) process.stderr.write(`${JSON.stringify(entry)}\n`);
    for (const ear of ears) ear();
  };
  const countingDial: Dial = (endpoint, identity, events) =>
    dialWith(Date.now)(endpoint, identity, {
      onClose: (why) => events.onClose(why),
      onFrame(frame) {
        const { kind } = decodeToAgent(frame);
        frames[kind] = (frames[kind] ?? 0) + 1;
        events.onFrame(frame);
      },
    });

  const line: Line = {
    folder,
    client,
    endpoint: '',
    agents: new Map(),
    frames,
    said,
    clock,
    heard: (fits) =>
      new Promise((resolve) => {
        const ear = (): void => {
          const found = said.find(fits);
          if (found === undefined) return;
          ears.delete(ear);
          resolve(found);
        };
        ears.add(ear);
        ear();
      }),
    async startController() {
      stop = new AbortController();
      const log = new PassThrough();
      const ready = new Promise<void>((resolve) => {
        log.on('data', (chunk: Buffer) => {
          for (const text of chunk.toString().trimEnd().split('\n')) {
            const { msg, ...details } = JSON.parse(text) as { msg: string };
            hear({ who: '', message: msg, details });
          }
          if (chunk.includes('controller ready')) resolve();
        });
      });
      served = runServe(
        {
          stateFolder: state,
          listen: { host: '127.0.0.1', port },
          advertise: [],
          untilIdle: false,
          leaseSeconds: 3600,
          connectTimeoutSeconds: 20,
          shellIdleSeconds: 0,
          agentFolder: join(folder, 'no-agents'),
          ...options,
        },
        { log, stop: stop.signal, environment: process.env, nowMs: () => Date.now() + clock.offsetMs },
      );
      await Promise.race([ready, served]);
      const [endpoint = ''] = (await client.status()).endpoints;
      line.endpoint = endpoint;
      port = Number(new URL(endpoint).port);
    },
    async stopController() {
      stop.abort();
      await served;
    },
    async join(name, { replace } = {}) {
      const store = new IdentityStore(statePaths(join(folder, name)).identity);
      const { text } = await client.createToken({
        ttlSeconds: 60,
        uses: 1,
        ...(replace ? { replace: name } : { name }),
      });
      const { machineId, bootId } = await selfOf('test');
      const now = (): number => Date.now() + clock.offsetMs;
      await enrol({ endpoint: line.endpoint, token: text, name, facts: { machineId, bootId }, store, clock: now });
    },
    async agent(name, { folder: own = name, machineId, installer } = {}) {
      const stateFolder = join(folder, own);
      if (!(await new IdentityStore(statePaths(stateFolder).identity).load())) await line.join(name);
      const agent = await startAgent({
        stateFolder,
        scripts: join(folder, `${own}-scripts`),
        ...(machineId === undefined ? {} : { machineId }),
        ...(installer === undefined ? {} : { installer }),
        // Near the shortest pause before a reconnect.
        random: () => 0.02,
        version: 'test',
        wrapper: [process.execPath, join(root, 'agent/host/command-wrapper-main.ts')],
        logger: loggerOf((message, details) => hear({ who: own, message, details })),
        onFatal: (error) => hear({ who: own, message: error.message, details: { report: error.report } }),
        dial: countingDial,
      });
      agent.ended.catch(() => {});
      line.agents.set(own, agent);
      return agent;
    },
    async start(plan, { check = false } = {}) {
      const path = join(folder, 'plan.yaml');
      await writeFile(path, plan);
      const sources = await loadSources(path);
      const parsed = parsePlan(sources);
      const compiled = 'plan' in parsed ? compile(parsed.plan) : parsed;
      if ('graph' in compiled) await sendFiles(client, { sources, graph: compiled.graph });
      const { run } = await client.apply({ sources, options: { check } });
      return run;
    },
    async follow(run) {
      const lines: StreamLine[] = [];
      for await (const item of client.follow(run, { logs: true }, new AbortController().signal)) lines.push(item);
      const last = lines.at(-1);
      if (last?.type !== 'finished') throw new Error(`the stream ended with ${JSON.stringify(last)}`);
      return { view: last.run, lines };
    },
    async apply(plan, options) {
      return line.follow(await line.start(plan, options));
    },
    async close() {
      for (const agent of line.agents.values()) await agent.stop();
      await line.stopController();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await line.startController();
  return line;
}

function loggerOf(hear: (message: string, details: Record<string, unknown>) => void) {
  const say = (details: object, message: string): void => hear(message, { ...details });
  return { debug: say, info: say, warn: say, error: say };
}

/** A plan over nodes n1..nN on loopback, with tasks as YAML of a play list (indented by four). */
export function planOf(nodes: readonly string[], plays: string, extra = ''): string {
  const hosts = nodes.map((name, i) => `      ${name}: {address: 127.0.0.${i + 1}}`).join('\n');
  return `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: test}
spec:
  inventory:
    hosts:
${hosts}
${extra}  playbooks:
    - name: test
      plays:
${plays}`;
}
