/** What keeps the fleet of a soak busy: plan runs without pause on each part of it, and commands on single nodes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunView } from '../../controller/views/types.ts';
import { KkError } from '../../shared/errors.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import { graphOf } from '../bench/compile.ts';
import { uniform } from '../fleet/behaviour.ts';
import { chain, type FleetPlan, planSources } from '../fleet/plans.ts';
import type { Site } from '../fleet/site.ts';
import type { Audit } from './audit.ts';

export interface Done {
  runs: number;
  execs: number;
  cancelled: number;
  steps: number;
}

export interface LaneParts {
  site: Site;
  audit: Audit;
  seed: number;
  done: Done;
  /** Aborts when nothing new shall begin; runs at work are waited for. */
  over: AbortSignal;
}

const STEPS = 8;
/** One plan run of so many is cancelled in the middle. */
const CANCEL_EVERY = 7;
const RETRY_MS = 200;

/** Runs plans on these nodes, one after the other, and checks each; until it is over. */
export async function planLane(name: string, nodes: readonly string[], parts: LaneParts): Promise<void> {
  const { site, audit, done, over, seed } = parts;
  for (let number = 1; !over.aborted; number += 1) {
    const plan = planOf(`${name}-${number}`, nodes);
    const run = await startOnce(site, plan);
    if (number % CANCEL_EVERY === 0) {
      await sleep(2_000 + 8_000 * uniform(`${seed} ${plan.name} cancel`)[0]);
      await patiently(() => site.controller.client.cancel(run, { by: 'soak' }).catch(unlessEnded));
    }
    const { status } = await site.ended(run);
    const graph = graphOf(plan);
    if (status === 'cancelled') {
      await audit.read();
      audit.close(run);
      done.cancelled += 1;
    } else done.steps += await audit.check(run, graph, await patiently(() => viewOf(site, run)));
    done.runs += 1;
  }
}

/** A command on a few nodes now and then, beside the plan runs. */
export async function execLane({ site, done, over, seed }: LaneParts): Promise<void> {
  const { client } = site.controller;
  for (let number = 1; !over.aborted; number += 1) {
    const [at] = uniform(`${seed} exec ${number}`);
    const selector = site.fleet.names.slice(Math.floor(at * site.fleet.names.length)).slice(0, 5);
    const argv: [string, ...string[]] = ['simulate', 'ms=50', 'out=200'];
    // One that the controller's death swallows is not missed: a person would type it again.
    await client.exec({ selector, argv, timeoutSeconds: 60, by: 'soak' }).then(
      ({ run }) => site.ended(run).then(() => (done.execs += 1)),
      () => {},
    );
    await sleep(1_000, undefined, { signal: over }).catch(() => {});
  }
}

function planOf(name: string, nodes: readonly string[]): FleetPlan {
  const work = chain('work', STEPS, `ms=500..4000 fail=0.001 out=300 run=${name}`, 4);
  const note = { name: 'Note the run', file: { path: '/etc/soak', content: `${name}\n` } };
  // A failed node keeps the others from passing the gate, so the first half is let fail a little.
  return { name, nodes, plays: [{ ...work, tasks: [note, ...work.tasks], max_fail_percentage: 5 }] };
}

/** Starts a run exactly once, though the controller may die between storing it and answering. */
async function startOnce(site: Site, plan: FleetPlan): Promise<string> {
  const { client } = site.controller;
  for (;;) {
    try {
      return (await client.apply({ sources: planSources(plan) })).run;
    } catch (thrown) {
      if (!isAway(thrown)) throw thrown;
      const known = await patiently(() => client.runs(100));
      const found = known.find(({ name }) => name === plan.name);
      if (found !== undefined) return found.id;
    }
  }
}

async function viewOf(site: Site, run: string): Promise<RunView> {
  const view = await site.controller.client.run(run);
  if (!runHasEnded(view.status)) throw new Error(`run ${run} is ${view.status} after its end`);
  return view;
}

/** Asks until the controller is there to answer. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (thrown) {
      if (!isAway(thrown)) throw thrown;
      await sleep(RETRY_MS);
    }
  }
}

function isAway(thrown: unknown): boolean {
  return thrown instanceof KkError && ['CONTROLLER_UNREACHABLE', 'CONTROLLER_ANSWER'].includes(thrown.code);
}

function unlessEnded(thrown: unknown): void {
  if (!(thrown instanceof KkError && thrown.code === 'RUN_NOT_ACTIVE')) throw thrown;
}
