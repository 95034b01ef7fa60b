/** The real programs as processes of their own, to be killed without warning. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { enrol } from '../../agent/identity/enrol.ts';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import { statePaths } from '../../agent/state-folder.ts';
import { Client } from '../../controller/cli/client.ts';
import { socketPath } from '../../controller/config/settings.ts';

const root = join(import.meta.dirname, '../..');
const MAIN = { controller: join(root, 'controller/main.ts'), agent: join(root, 'agent/main.ts') };

/** One started program. */
export interface Program {
  process: ChildProcess;
  out: string;
  err: string;
  /** Resolves with what the program has written on stderr when it fits, also if it has already. */
  told(fits: RegExp): Promise<string>;
  /** Exit code, or the signal that ended it. */
  ended: Promise<number | string>;
  /** SIGKILL: the program learns nothing of it. */
  kill(): Promise<void>;
}

export function start(what: keyof typeof MAIN, args: readonly string[], env: Record<string, string> = {}): Program {
  const child = spawn(process.execPath, [MAIN[what], ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ears = new Set<() => void>();
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  const program: Program = {
    process: child,
    out: '',
    err: '',
    ended,
    told: (fits) =>
      new Promise((resolve, reject) => {
        const ear = (): void => {
          if (!fits.test(program.err)) return;
          ears.delete(ear);
          resolve(program.err);
        };
        ears.add(ear);
        void ended.then(() => reject(new Error(`${what} ended without ${fits}:\n${program.err}`)));
        ear();
      }),
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
  child.stdout.on('data', (chunk: Buffer) => {
    program.out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    program.err += chunk.toString();
    if (process.env['KK_TEST_LOG']) process.stderr.write(chunk);
    for (const ear of ears) ear();
  });
  return program;
}

/** A controller with its agents, each in a folder of `home`; the controller keeps its port over restarts. */
export class Site {
  readonly home: string;
  readonly state: string;
  readonly client: Client;
  readonly agents = new Map<string, Program>();
  controller: Program | undefined;
  port = 0;
  #started: Program[] = [];

  constructor(home: string) {
    this.home = home;
    this.state = join(home, 'controller');
    this.client = new Client(socketPath(this.state));
  }

  run(what: keyof typeof MAIN, args: readonly string[], env: Record<string, string> = {}): Program {
    const program = start(what, args, env);
    this.#started.push(program);
    return program;
  }

  async serve(): Promise<Program> {
    const args = ['--state', this.state, 'serve', '--listen', `127.0.0.1:${this.port}`];
    this.controller = this.run('controller', args);
    await this.controller.told(/controller ready/);
    this.port = Number(new URL((await this.client.status()).endpoints[0] ?? '').port);
    return this.controller;
  }

  async join(name: string): Promise<void> {
    const { text } = await this.client.createToken({ ttlSeconds: 60, uses: 1, name });
    const endpoint = `https://127.0.0.1:${this.port}`;
    const store = new IdentityStore(statePaths(join(this.home, name)).identity);
    const facts = { machineId: 'm', bootId: 'b' };
    await enrol({ endpoint, token: text, name, facts, store, clock: Date.now });
  }

  agent(name: string): Program {
    const program = this.run('agent', ['run', '--state', join(this.home, name)]);
    this.agents.set(name, program);
    return program;
  }

  async close(): Promise<void> {
    for (const program of this.#started) {
      if (program.process.exitCode === null && program.process.signalCode === null) await program.kill();
    }
  }
}
