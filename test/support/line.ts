import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type RunningAgent, selfOf, startAgent } from '../../agent/agent.ts';
import { enrol } from '../../agent/identity/enrol.ts';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import { type Dial, dialWith } from '../../agent/link/transport.ts';
import { statePaths } from '../../agent/state-folder.ts';
import { Client } from '../../controller/cli/client.ts';
import { runServe } from '../../controller/compose.ts';
import { type ServeOptions, socketPath } from '../../controller/config/settings.ts';
import { loadSources } from '../../controller/plan/index.ts';
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
  /** Joins and starts an agent. */
  agent(name: string): Promise<void>;
  /** Applies a plan text over the agents (all on 127.0.0.1 addresses) and waits for its end. */
  apply(plan: string): Promise<{ view: RunView; lines: StreamLine[] }>;
  start(plan: string): Promise<string>;
  follow(run: string): Promise<{ view: RunView; lines: StreamLine[] }>;
  stopController(): Promise<void>;
  startController(): Promise<void>;
  close(): Promise<void>;
}

export async function startLine(options: Partial<ServeOptions> = {}): Promise<Line> {
  const folder = await mkdtemp(join(tmpdir(), 'kk-line-'));
  const state = join(folder, 'controller');
  let stop = new AbortController();
  let served: Promise<number> | undefined;
  let port = 0;
  const client = new Client(socketPath(state));
  const frames: Record<string, number> = {};
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
    async startController() {
      stop = new AbortController();
      const log = new PassThrough();
      const ready = new Promise<void>((resolve) => {
        log.on('data', (chunk: Buffer) => {
          if (process.env['KK_TEST_LOG']) process.stderr.write(chunk);
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
          agentFolder: join(folder, 'no-agents'),
          ...options,
        },
        { log, stop: stop.signal, environment: process.env },
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
    async agent(name) {
      const stateFolder = join(folder, name);
      const store = new IdentityStore(statePaths(stateFolder).identity);
      if (!(await store.load())) {
        const { text } = await client.createToken({ ttlSeconds: 60, uses: 1, name });
        const self = await selfOf('test');
        const facts = { machineId: self.machineId, bootId: self.bootId };
        await enrol({ endpoint: line.endpoint, token: text, name, facts, store, clock: Date.now });
      }
      const quiet = { debug() {}, info() {}, warn() {}, error() {} };
      const agent = await startAgent({
        stateFolder,
        version: 'test',
        wrapper: [process.execPath, join(root, 'agent/host/command-wrapper-main.ts')],
        logger: process.env['KK_TEST_LOG'] ? loud(name) : quiet,
        onFatal: (error) => {
          throw error;
        },
        dial: countingDial,
      });
      agent.ended.catch(() => {});
      line.agents.set(name, agent);
    },
    async start(plan) {
      const path = join(folder, 'plan.yaml');
      await writeFile(path, plan);
      const { run } = await client.apply({ sources: await loadSources(path) });
      return run;
    },
    async follow(run) {
      const lines: StreamLine[] = [];
      for await (const item of client.follow(run, { logs: true }, new AbortController().signal)) lines.push(item);
      const last = lines.at(-1);
      if (last?.type !== 'finished') throw new Error(`the stream ended with ${JSON.stringify(last)}`);
      return { view: last.run, lines };
    },
    async apply(plan) {
      return line.follow(await line.start(plan));
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

function loud(name: string) {
  const say = (details: object, message: string): void =>
    void process.stderr.write(`${name}: ${message} ${JSON.stringify(details)}\n`);
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
