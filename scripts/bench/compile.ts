import { compile, DEFAULT_COMPILE_OPTIONS } from '../../controller/compile/compile.ts';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { graphFromJson, graphToJson } from '../../controller/compile/serialise.ts';
import { parsePlan } from '../../controller/plan/index.ts';
import { type FleetPlan, planSources } from '../fleet/plans.ts';

/** How long each stage from text to stored graph takes, in milliseconds. */
export interface CompileFigures {
  nodes: number;
  tasks: number;
  gates: number;
  parseMs: number;
  compileMs: number;
  storeMs: number;
  restoreMs: number;
  /** Of the stored graph. */
  bytes: number;
}

/** The graph of a plan that must be right. Throws an Error with its first problem. */
export function graphOf(plan: FleetPlan): TaskGraph {
  const parsed = parsePlan(planSources(plan));
  if ('problems' in parsed) throw new Error(parsed.problems[0]?.message);
  const compiled = compile(parsed.plan, { ...DEFAULT_COMPILE_OPTIONS, kind: 'plan' });
  if ('problems' in compiled) throw new Error(compiled.problems[0]?.message);
  return compiled.graph;
}

/** Measures every stage that a plan goes through before its first share can be pushed. */
export function benchCompile(plan: FleetPlan): CompileFigures {
  const sources = planSources(plan);
  const lap = laps();
  const parsed = parsePlan(sources);
  if ('problems' in parsed) throw new Error(parsed.problems[0]?.message);
  const parseMs = lap();
  const compiled = compile(parsed.plan, { ...DEFAULT_COMPILE_OPTIONS, kind: 'plan' });
  if ('problems' in compiled) throw new Error(compiled.problems[0]?.message);
  const compileMs = lap();
  const text = graphToJson(compiled.graph);
  const storeMs = lap();
  graphFromJson(text);
  const restoreMs = lap();
  const { nodes, tasks, gates } = compiled.graph;
  const size = { nodes: nodes.length, tasks: tasks.length, gates: gates.length, bytes: Buffer.byteLength(text) };
  return { ...size, parseMs, compileMs, storeMs, restoreMs };
}

/** Milliseconds since the last call, whole. */
export function laps(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const took = Math.round(now - last);
    last = now;
    return took;
  };
}
