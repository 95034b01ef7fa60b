import { join } from 'node:path';
import { reportOf } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';
import type { Logger } from './ports.ts';
import type { AgentState, RunRecord } from './state.ts';
import { folderOf } from './step-context.ts';

export interface OutputsPorts {
  host: Pick<Host, 'files'>;
  runsFolder: string;
  logger: Logger;
  /** Resolves when what was recorded so far is on disk. */
  synced(): Promise<void>;
  /** See ExecutorPorts. */
  sweep(inUse: readonly string[]): Promise<void>;
}

/** What attempts leave on the node's disk, and when it goes. A failure is told in the log and costs no step. */
export class Outputs {
  readonly #ports: OutputsPorts;

  constructor(ports: OutputsPorts) {
    this.#ports = ports;
  }

  /** Of runs that nobody knows any more: the agent was killed before it could remove them. */
  async sweepRuns({ runs }: AgentState): Promise<void> {
    const { host, runsFolder } = this.#ports;
    await this.#try({}, 'outputs of earlier runs could not be removed', async () => {
      for (const run of await host.files.list(runsFolder))
        if (!runs.has(run)) await host.files.remove(join(runsFolder, run));
    });
  }

  /** Of attempts that an earlier life of the agent could not clean up after: their step has ended by now. */
  async sweepActions({ runs }: AgentState): Promise<void> {
    const { host, runsFolder, sweep } = this.#ports;
    await this.#try({}, 'what earlier attempts left could not be removed', async () => {
      const begun = [...runs.values()].flatMap((run) =>
        [...run.steps].flatMap(([task, { state }]) =>
          state === 'begun' ? [join(runsFolder, run.run, folderOf(run, task))] : [],
        ),
      );
      const attempts = begun.map(async (step) => (await host.files.list(step)).map((name) => join(step, name)));
      await sweep((await Promise.all(attempts)).flat());
    });
  }

  /** Of the whole run, or of one of its tasks; what they mean is in the journal by then. */
  async drop(run: RunRecord, task?: number): Promise<void> {
    const step = task === undefined ? '' : folderOf(run, task);
    const { host, runsFolder, synced } = this.#ports;
    await this.#try({ run: run.run }, 'the outputs of a run could not be removed', async () => {
      await synced();
      await host.files.remove(join(runsFolder, run.run, step));
    });
  }

  async #try(about: object, what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      this.#ports.logger.warn({ ...about, report: reportOf(thrown) }, what);
    }
  }
}
