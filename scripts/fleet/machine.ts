/** One simulated machine and the real agent on it. */
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { type RunningAgent, startAgent } from '../../agent/agent.ts';
import type { Clock, Logger } from '../../agent/executor/ports.ts';
import { gatherForRule } from '../../agent/facts/index.ts';
import { enrol } from '../../agent/identity/enrol.ts';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import { openTls } from '../../agent/identity/tls.ts';
import { dialWith } from '../../agent/link/transport.ts';
import { statePaths } from '../../agent/state-folder.ts';
import type { KkError } from '../../shared/errors.ts';
import { uniform, type Work } from './behaviour.ts';
import type { Deed, Ledger } from './ledger.ts';
import { quickDisk } from './quick-disk.ts';
import { SimulatedHost, simulatedFacts } from './simulated-host.ts';
import { SimulatedInstaller } from './simulated-installer.ts';

/** The same for all machines of a process. */
export interface MachineParts {
  /** Holds a folder of each machine. */
  folder: string;
  seed: number;
  work: Work;
  ledger: Ledger;
  logger: Logger;
  onFatal: (node: string, error: KkError) => void;
  /** The machine's agent is connected, or not. */
  onLink: (node: string, connected: boolean) => void;
}

const BOOT = 'simulated-boot';

/** The clocks of this machine, without a file to read each time. Comparable between processes, as CLOCK_BOOTTIME is. */
export const quickClock: Clock = {
  bootTimeMs: () => Number(process.hrtime.bigint() / 1_000_000n),
  nowMs: Date.now,
  after(ms, then) {
    const timer = setTimeout(then, Math.max(0, ms));
    return () => clearTimeout(timer);
  },
};

export class SimulatedMachine {
  readonly node: string;
  readonly #parts: MachineParts;
  readonly #host: SimulatedHost;
  readonly #installer: SimulatedInstaller;
  #agent: RunningAgent | undefined;
  #socket: TLSSocket | undefined;
  #draws = 0;

  constructor(node: string, parts: MachineParts) {
    this.node = node;
    this.#parts = parts;
    const { seed, work, ledger } = parts;
    this.#host = new SimulatedHost({
      ...{ node, seed, work, clock: quickClock, bootId: BOOT },
      onBegin: (began) => ledger.add({ node, began }),
      onStop: (stopped) => ledger.add({ node, stopped }),
      onWrite: (wrote, content) =>
        ledger.add({ node, wrote, ...(content === undefined ? {} : { content: content.toString('base64') }) }),
    });
    this.#installer = new SimulatedInstaller({
      target: join(this.#paths().root, 'incoming', 'kk-agent'),
      identity: () => new IdentityStore(this.#paths().identity).load(),
      restart: async () => {
        await this.stop();
        await this.start();
      },
    });
  }

  /** Brings a deed of an earlier life of the process back. */
  restore(deed: Deed): void {
    const { commands, files } = this.#host;
    if ('began' in deed) commands.restore(deed.began);
    else if ('stopped' in deed) commands.restore(deed.stopped);
    else files.restore(deed.wrote, deed.content === undefined ? undefined : Buffer.from(deed.content, 'base64'));
  }

  /** Joins the fleet by the agent's own enrolment, unless it has. Throws what `enrol` throws. */
  async join(endpoint: string, token: string): Promise<void> {
    const store = new IdentityStore(this.#paths().identity);
    if ((await store.load()) !== undefined) return;
    const facts = { machineId: this.node, bootId: BOOT };
    await enrol({ endpoint, token, name: this.node, facts, store, clock: quickClock.nowMs });
  }

  async start(): Promise<void> {
    const { node } = this;
    const { seed, logger, onFatal, onLink } = this.#parts;
    this.#agent = await startAgent({
      stateFolder: this.#paths().root,
      version: 'simulated',
      wrapper: ['none'],
      logger,
      onFatal: (error) => onFatal(node, error),
      machineId: node,
      bootId: BOOT,
      machine: {
        host: this.#host,
        clock: quickClock,
        disk: quickDisk,
        gather: { facts: async () => simulatedFacts(seed, node, BOOT, Date.now()), forRule: gatherForRule },
      },
      installer: this.#installer,
      random: () => uniform(`${seed} ${node} jitter ${this.#draws++}`)[0],
      dial: this.#dial(onLink),
    });
    this.#agent.ended.catch(onFatal.bind(undefined, node));
  }

  /** Pulls the cable for a moment: the connection ends without a word. */
  cut(): void {
    this.#socket?.destroy();
  }

  async stop(): Promise<void> {
    await this.#agent?.stop();
  }

  #paths(): ReturnType<typeof statePaths> {
    return statePaths(join(this.#parts.folder, this.node));
  }

  /** The agent's own way to the controller; only its socket is kept, to be cut. The first frame that comes is the Welcome. */
  #dial(onLink: MachineParts['onLink']): ReturnType<typeof dialWith> {
    return (endpoint, identity, events) => {
      let socket: TLSSocket | undefined;
      let isWelcome = false;
      const dial = dialWith(quickClock.nowMs, async (url, options) => {
        socket = await openTls(url, options);
        return socket;
      });
      return dial(endpoint, identity, {
        onFrame: (frame) => {
          if (!isWelcome) onLink(this.node, true);
          if (!isWelcome) this.#socket = socket;
          isWelcome = true;
          events.onFrame(frame);
        },
        onClose: (why) => {
          if (isWelcome) onLink(this.node, false);
          events.onClose(why);
        },
      });
    };
  }
}
