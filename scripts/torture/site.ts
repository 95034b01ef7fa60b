import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AGENT_POINTS } from '../../agent/durable/points.ts';
import { enrol } from '../../agent/identity/enrol.ts';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import { statePaths } from '../../agent/state-folder.ts';
import { Client } from '../../controller/cli/client.ts';
import { awaitController } from '../../controller/cli/daemon.ts';
import { socketPath } from '../../controller/config/settings.ts';
import { CONTROLLER_POINTS } from '../../controller/durable/points.ts';
import { loadSources } from '../../controller/plan/index.ts';
import { Cable } from './cable.ts';
import { NODES, type TorturePlan } from './plans.ts';
import { type Death, Victim } from './victim.ts';

/** How often a caller asks again while the controller is away. */
const ASK_AGAIN_MS = 100;
const START_MS = 60_000;

/** A controller, three agents and the cable between them, all in one folder. */
export class Site {
  readonly client: Client;
  /** Kills by where they came from: `at a crash point` or `from outside`. */
  readonly deaths: Record<string, number> = {};
  kills = 0;
  /** A program that ended by itself: then nothing more can be said. */
  trouble: string | undefined;
  readonly #home: string;
  readonly #random: () => number;
  readonly #agents = new Map<string, Victim>();
  #controller!: Victim;
  cable!: Cable;

  constructor(home: string, random: () => number) {
    this.#home = home;
    this.#random = random;
    this.client = new Client(socketPath(join(home, 'controller')));
  }

  /** Starts the controller and makes identities for the agents. */
  async build(): Promise<void> {
    const state = join(this.#home, 'controller');
    await mkdir(state, { mode: 0o700 });
    // At work: what happens to it before an agent has come back tells little.
    const serve = (more: readonly string[]): Victim => {
      const args = ['--state', state, 'serve', '--listen', '127.0.0.1:0', ...more];
      return new Victim('controller/main.ts', args, /agent connected/, join(this.#home, 'controller.log'));
    };
    // The port is the machine's choice, and kept: the next start finds it in the state folder.
    const first = serve([]);
    first.start();
    if (!(await awaitController(this.client, START_MS))) throw new Error(`no controller: see ${first.log}`);
    const port = Number(new URL((await this.client.status()).endpoints[0] ?? '').port);
    await first.kill();
    this.cable = new Cable(port);
    await this.cable.open();
    const endpoint = `https://127.0.0.1:${this.cable.port}`;
    this.#controller = new Victim(
      'controller/main.ts',
      ['--state', state, 'serve', '--listen', `127.0.0.1:${port}`, '--advertise', endpoint],
      /agent connected/,
      first.log,
    );
    this.#controller.start();
    if (!(await awaitController(this.client, START_MS))) throw new Error(`no controller: see ${first.log}`);
    for (const name of NODES) {
      const folder = join(this.#home, name);
      const { text } = await this.client.createToken({ ttlSeconds: 60, uses: 1, name });
      const store = new IdentityStore(statePaths(folder).identity);
      await enrol({ endpoint, token: text, name, facts: { machineId: name, bootId: 'b' }, store, clock: Date.now });
      this.#agents.set(
        name,
        new Victim('agent/main.ts', ['run', '--state', folder], /connected to the controller/, `${folder}.log`),
      );
    }
    await this.#controller.kill();
  }

  /** Kills until there were `wanted`; then everything runs undisturbed. */
  async killUntil(wanted: number, told: (kills: number) => void): Promise<void> {
    const lives = async (victim: Victim, points: readonly string[], slowness: number): Promise<void> => {
      while (this.kills < wanted && this.trouble === undefined) {
        const death = this.#death(points, slowness);
        const how = await victim.live(death).catch((thrown: unknown) => {
          this.trouble ??= String(thrown);
          return 'ended';
        });
        if (this.kills >= wanted) break;
        this.kills += 1;
        this.deaths[how] = (this.deaths[how] ?? 0) + 1;
        this.#pull();
        told(this.kills);
      }
      victim.start();
    };
    await Promise.all([
      lives(this.#controller, CONTROLLER_POINTS, 2),
      ...[...this.#agents.values()].map((agent) => lives(agent, AGENT_POINTS, 1)),
    ]);
    this.cable.mend();
  }

  /** Applies it, however often the controller dies meanwhile. Returns the run's id. */
  async apply(plan: TorturePlan): Promise<string> {
    const path = join(this.#home, `${plan.name}.yaml`);
    await writeFile(path, plan.text);
    const sources = await loadSources(path);
    for (;;) {
      try {
        // The answer to an earlier try may have been lost, and not the run.
        const known = (await this.client.runs(1_000)).find((run) => run.name === plan.name);
        return known?.id ?? (await this.client.apply({ sources })).run;
      } catch (thrown) {
        await this.#bear(thrown);
      }
    }
  }

  async untilEnded(run: string): Promise<void> {
    for (;;) {
      try {
        if ((await this.client.run(run)).ended !== undefined) return;
        await pause(ASK_AGAIN_MS);
      } catch (thrown) {
        await this.#bear(thrown);
      }
    }
  }

  async close(): Promise<void> {
    this.cable?.close();
    await Promise.all([this.#controller, ...this.#agents.values()].map((victim) => victim?.kill()));
  }

  /** The controller being away is what this is about; everything else is a finding. */
  async #bear(thrown: unknown): Promise<void> {
    const code = (thrown as { code?: string }).code ?? '';
    if (!/^CONTROLLER_(UNREACHABLE|LOST)$/.test(code)) throw thrown;
    await pause(ASK_AGAIN_MS);
  }

  #death(points: readonly string[], slowness: number): Death {
    const random = this.#random;
    const luck = random();
    const pointAt = (name: string | undefined, most: number) => `${name}:${1 + Math.floor(most * random() ** 2)}`;
    // A point that is not passed in time leaves the kill to the clock.
    const latest = { afterMs: slowness * 1_500, from: 'ready', frozenMs: 0 } as const;
    if (luck < 0.35) return { point: pointAt('any', 80), ...latest };
    if (luck < 0.65) return { point: pointAt(points[Math.floor(random() * points.length)], 4), ...latest };
    const frozenMs = random() < 0.1 ? 500 : 0;
    if (luck < 0.72) return { point: '', afterMs: 1_000 * random(), from: 'start', frozenMs };
    return { point: '', afterMs: slowness * 1_500 * random() ** 2, from: 'ready', frozenMs };
  }

  /** The cable is pulled after some of the kills: by the count, so that a slow machine comes to as much as a quick one. */
  #pull(): void {
    if (this.#random() > 0.25) return;
    this.cable.cut();
    setTimeout(() => this.cable.mend(), 400 * this.#random());
  }
}
