import { behaviourOf, textOf } from '../fleet/behaviour.ts';
import { model } from '../fleet/model.ts';
import type { FleetPlan } from '../fleet/plans.ts';
import type { Site } from '../fleet/site.ts';
import { graphOf, laps } from './compile.ts';

export interface MakespanFigures {
  nodes: number;
  /** Of each node. */
  steps: number;
  /** From the call of apply to the end of the run, as the store has it. */
  makespanMs: number;
  /** The longest way through the graph: no engine can be faster. */
  criticalPathMs: number;
  ratio: number;
  /** Until apply answered: sources sent, plan checked, compiled and stored. */
  applyMs: number;
  stepsPerSecond: number;
  /** Until the whole run could be looked at afterwards: its events are read and applied again. */
  viewMs: number;
  controllerCpuSeconds: number;
  controllerPeakRss: number;
  /** Of all processes that simulate; what they take of this machine is missing to the controller. */
  fleetCpuSeconds: number;
}

const SAMPLE_MS = 500;

/** Applies a plan of commands to a fleet and compares the time with the model's. Throws an Error when it does not end done. */
export async function benchMakespan(site: Site, plan: FleetPlan, seed: number): Promise<MakespanFigures> {
  const { criticalPathMs, steps } = modelled(plan, seed);
  const before = { cpu: site.controller.usage().cpuSeconds, fleet: await fleetCpu(site) };
  let peak = 0;
  const sampling = setInterval(() => {
    peak = Math.max(peak, site.controller.usage().rss);
  }, SAMPLE_MS);
  try {
    const begun = Date.now();
    const lap = laps();
    const run = await site.apply(plan);
    const applyMs = lap();
    const { status, ended } = await site.ended(run);
    if (status !== 'done') throw new Error(`run ${run} of the bench ended ${status}`);
    const makespanMs = Date.parse(ended ?? '') - begun;
    lap();
    await site.controller.client.run(run);
    const viewMs = lap();
    return {
      ...{ nodes: plan.nodes.length, steps: Math.round(steps / plan.nodes.length) },
      ...{ makespanMs, criticalPathMs, ratio: rounded(makespanMs / criticalPathMs), applyMs, viewMs },
      stepsPerSecond: Math.round((steps / makespanMs) * 1000),
      controllerCpuSeconds: rounded(site.controller.usage().cpuSeconds - before.cpu),
      controllerPeakRss: peak,
      fleetCpuSeconds: rounded((await fleetCpu(site)) - before.fleet),
    };
  } finally {
    clearInterval(sampling);
  }
}

function modelled(plan: FleetPlan, seed: number): { criticalPathMs: number; steps: number } {
  const graph = graphOf(plan);
  const texts = graph.common.tasks.map(({ inputs }) => textOf((inputs as { argv: string[] }).argv));
  let steps = 0;
  const { criticalPathMs } = model(graph, (node, task) => {
    steps += 1;
    const place = { seed, node: graph.nodes[node] ?? '', step: `${task}/0.1` };
    const { durationMs, code } = behaviourOf(texts[task] ?? '', place, { ms: [0, 0], fail: 0 });
    return { durationMs, ok: code === 0 };
  });
  return { criticalPathMs, steps };
}

async function fleetCpu(site: Site): Promise<number> {
  return (await site.fleet.usage()).reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}

export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
