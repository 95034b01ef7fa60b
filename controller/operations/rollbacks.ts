import type { Logger } from 'pino';
import { KkError, reportOf } from '../../shared/errors.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import { rollbackName } from '../compile/rollback.ts';
import { graphFromJson } from '../compile/serialise.ts';
import { pastOf, type RunPast, undoneBy } from '../run/past.ts';
import type { Clock, RunRecord } from '../run/ports.ts';
import { planRollback, type RollbackPlan, type RollbackWish } from '../run/rollback.ts';
import type { Runner } from '../run/runner.ts';
import type { RunArchive } from '../store/event-log.ts';
import type { AutoRollbacks } from '../store/meta.ts';
import type { RollbackView } from '../views/types.ts';
import type { Blobs } from './blobs.ts';
import type { Hub } from './hub.ts';
import { newRunId } from './run-id.ts';
import type { Runs } from './runs.ts';

export interface RollbacksParts {
  archive: RunArchive;
  runner: Runner;
  runs: Runs;
  hub: Hub;
  /** What tasks of a rollback copy may have been removed since. */
  files: Pick<Blobs, 'check'>;
  clock: Clock;
  /** Runs that are rolled back by themselves when they fail: kept until that is done. */
  automatic: AutoRollbacks;
  log: Pick<Logger, 'info' | 'error'>;
  stop: AbortSignal;
}

const EVERYTHING: RollbackWish = { tasks: [], nodes: [], withDependents: false };

/** Undoes runs: by request, and by themselves when they fail. */
export class Rollbacks {
  /** Runs whose rollback is on its way into the store. */
  private readonly beginning = new Set<string>();
  private readonly parts: RollbacksParts;

  constructor(parts: RollbacksParts) {
    this.parts = parts;
  }

  /** What a rollback of the run would do; `start`: begins it. Throws KkError RUN_UNKNOWN, ROLLBACK_*, BLOBS_MISSING. */
  async roll(text: string, wish: RollbackWish, { start, by }: { start: boolean; by: string }): Promise<RollbackView> {
    const of = await this.parts.runs.idOf(text, 'plan');
    this.refuseSecond(of);
    if (start) this.beginning.add(of);
    try {
      const { graph, undoes, cannot } = await this.plan(of, wish);
      const view = { of, undoes, cannot };
      if (!start || graph === undefined) return view;
      const { runner, clock, files } = this.parts;
      await files.check(graph, true);
      const run = await runner.create(graph, { id: newRunId(clock.nowMs()), by });
      return { ...view, run: run.record.id };
    } finally {
      if (start) this.beginning.delete(of);
    }
  }

  /** What one undoes another one must not undo again: rollback tasks are repeated by nothing. */
  private refuseSecond(of: string): void {
    const active = [...this.parts.runner.active.values()];
    const other = active.find(({ record }) => record.name === rollbackName(of))?.record.id;
    if (other === undefined && !this.beginning.has(of)) return;
    throw new KkError({
      code: 'ROLLBACK_AT_WORK',
      message: `Run ${of} is being rolled back${other === undefined ? '' : ` by run ${other}`}.`,
      remedy: `Wait for its end (\`kk-controller logs ${other ?? 'last'} -f\`), then see what is left to undo.`,
    });
  }

  /** From now on the run is rolled back when it fails; on disk once this resolves. Call before the run is made. */
  async arrange(run: string, by: string): Promise<void> {
    await this.parts.automatic.add(run, by);
  }

  /** Waits for the end of a run that was arranged for, and does what is to be done then. Never rejects. */
  async watch(run: string, by: string): Promise<void> {
    const { hub, runner, stop, log } = this.parts;
    try {
      const news = hub.listen(run, stop);
      await news.next();
      if (!runner.active.has(run)) return await this.conclude(run, by);
      for await (const item of news) {
        if (item.kind !== 'events' || !item.events.some(({ kind }) => kind === 'finished')) continue;
        return await this.conclude(run, by);
      }
    } catch (thrown) {
      log.error({ run, error: reportOf(thrown) }, 'the run was not rolled back');
    }
  }

  /** Takes up what an earlier life of the controller had arranged. Call when the runs have been recovered. */
  async recover(): Promise<void> {
    for (const { run, by } of await this.parts.automatic.all()) void this.watch(run, by);
  }

  private async conclude(run: string, by: string): Promise<void> {
    const { archive, automatic, log } = this.parts;
    const found = await archive.find(run);
    if (found?.record.status === 'failed' && (await archive.named(rollbackName(run))).length === 0) {
      const view = await this.rollInTime(run, by);
      log.info({ run, rollback: view.run }, 'the run failed and is rolled back');
    }
    // The run stays arranged for until it is known that nothing is left to do.
    if (found === undefined || runHasEnded(found.record.status)) await automatic.remove(run);
  }

  /** Nobody asks again for what is to be done by itself: it waits for nodes that are just being removed. */
  private async rollInTime(run: string, by: string): Promise<RollbackView> {
    for (;;) {
      try {
        return await this.roll(run, EVERYTHING, { start: true, by });
      } catch (thrown) {
        if (!(thrown instanceof KkError) || thrown.code !== 'NODE_LEAVING') throw thrown;
        await this.parts.runner.departures.ended();
      }
    }
  }

  private async plan(run: string, wish: RollbackWish): Promise<RollbackPlan> {
    const found = await this.parts.archive.find(run);
    if (found) this.refuse(found.record);
    return planRollback(await this.past(run), wish);
  }

  private refuse({ id, name, kind }: RunRecord): void {
    if (this.parts.runner.active.has(id)) {
      throw new KkError({
        code: 'ROLLBACK_RUN_ACTIVE',
        message: `Run ${id} is still at work.`,
        remedy: `Wait for its end (\`kk-controller logs ${id} -f\`) or cancel it (\`kk-controller cancel ${id}\`), then roll it back.`,
      });
    }
    if (kind !== 'plan') {
      throw new KkError({
        code: 'ROLLBACK_NOT_A_PLAN',
        message: `Run ${id} is ${kind === 'exec' ? 'a command of exec' : 'a dry run'}: there is nothing that could be undone.`,
        remedy: 'Name a run of a plan; see `kk-controller runs`.',
      });
    }
    if (name.startsWith(rollbackName(''))) {
      throw new KkError({
        code: 'ROLLBACK_OF_ROLLBACK',
        message: `Run ${id} is a rollback itself.`,
        remedy: 'Apply the plan again to have what it undid.',
      });
    }
  }

  /** What the run did, less what was rolled back since. */
  private async past(run: string): Promise<RunPast> {
    const { archive } = this.parts;
    const undone = new Set<string>();
    for (const rollback of await archive.named(rollbackName(run))) {
      const found = await archive.find(rollback);
      if (!found) continue;
      for (const step of undoneBy(graphFromJson(found.graphJson), await archive.events(rollback))) undone.add(step);
    }
    const graphs = (await archive.graphs(run)).map(({ revision, graphJson }) => ({
      revision,
      graph: graphFromJson(graphJson),
    }));
    return pastOf({ run, graphs, events: await archive.events(run) }, undone);
  }
}
