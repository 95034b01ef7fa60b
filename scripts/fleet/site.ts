import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunSummary } from '../../controller/views/types.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import type { Work } from './behaviour.ts';
import { ControllerProcess } from './controller-process.ts';
import { Fleet } from './fleet.ts';
import { type FleetPlan, planSources } from './plans.ts';

export interface SiteOptions {
  agents: number;
  processes?: number;
  seed: number;
  work: Work;
  /** For controller and machines; default: a temporary one, removed by {@link Site.close}. */
  folder?: string;
  /** As for `serve`. */
  lease?: string;
  /** Of the controller's node. */
  execArgv?: readonly string[];
  /** Folder of the packaged agents. */
  packages?: string;
}

/** How often the end of a run is looked for. */
const POLL_MS = 100;

/** A real controller and a fleet of simulated machines that have joined it. */
export class Site {
  readonly folder: string;
  readonly controller: ControllerProcess;
  readonly fleet: Fleet;
  readonly #isTemporary: boolean;

  private constructor(folder: string, controller: ControllerProcess, fleet: Fleet, isTemporary: boolean) {
    this.folder = folder;
    this.controller = controller;
    this.fleet = fleet;
    this.#isTemporary = isTemporary;
  }

  /** Resolves when every agent is connected. Leaves nothing behind when it throws. */
  static async open({ folder: wanted, agents, lease, execArgv, packages, ...rest }: SiteOptions): Promise<Site> {
    const folder = wanted ?? (await mkdtemp(join(tmpdir(), 'kk-fleet-')));
    const limits = {
      ...(lease === undefined ? {} : { lease }),
      ...(execArgv === undefined ? {} : { execArgv }),
      ...(packages === undefined ? {} : { agents: packages }),
    };
    const controller = new ControllerProcess(join(folder, 'controller'), limits);
    try {
      await controller.start();
      const { endpoint } = controller;
      const token = await controller.token(agents);
      const fleet = await Fleet.start({ ...rest, folder: join(folder, 'machines'), agents, endpoint, token });
      return new Site(folder, controller, fleet, wanted === undefined);
    } catch (thrown) {
      await controller.kill();
      if (wanted === undefined) await rm(folder, { recursive: true, force: true });
      throw thrown;
    }
  }

  /** Gives the run's id. Throws KkError when the plan is not valid. */
  async apply(plan: FleetPlan): Promise<string> {
    return (await this.controller.client.apply({ sources: planSources(plan) })).run;
  }

  /** Waits for the end of a run, also over deaths of the controller. */
  async ended(run: string, signal?: AbortSignal): Promise<RunSummary> {
    for (;;) {
      const found = await this.controller.client.runs(100).catch(() => []);
      const summary = found.find(({ id }) => id === run);
      if (summary !== undefined && runHasEnded(summary.status)) return summary;
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  /** Ends all that was started here. */
  async close(): Promise<void> {
    await this.fleet.destroy();
    await this.controller.kill();
    if (this.#isTemporary) await rm(this.folder, { recursive: true, force: true });
  }
}
