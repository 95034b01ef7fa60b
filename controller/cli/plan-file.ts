import { KkErrors } from '../../shared/errors.ts';
import type { Vars } from '../../shared/share.ts';
import { compile } from '../compile/compile.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { loadSources, type Plan, parsePlan, type Sources } from '../plan/index.ts';
import type { Cli } from './cli.ts';

/** How a plan is narrowed and completed on the command line. */
export interface PlanOptions {
  set?: Vars;
  tags?: string[];
  skipTags?: string[];
  skipPrechecks?: boolean;
  prechecksOnly?: boolean;
  playbookPath?: string[];
  /** Instead of the plan's own. */
  playbooks?: string[];
}

export interface CheckedPlan {
  sources: Sources;
  plan: Plan;
  graph: TaskGraph;
}

/**
 * Reads a plan and everything it refers to, and checks and compiles it here: the controller does the same, but a person
 * learns of mistakes without one. Throws KkErrors with all problems; `cli.texts` then holds the lines they point to.
 */
export async function checkPlan(cli: Cli, file: string, options: PlanOptions): Promise<CheckedPlan> {
  const { playbooks, playbookPath = [] } = options;
  const sources = await loadSources(file, { playbookPath, ...(playbooks ? { playbooks } : {}) });
  cli.texts = sources.texts;
  const parsed = parsePlan(sources, { runVars: options.set ?? {} });
  if ('problems' in parsed) throw new KkErrors(parsed.problems);
  const compiled = compile(parsed.plan, {
    runVars: options.set ?? {},
    tags: options.tags ?? [],
    skipTags: options.skipTags ?? [],
    skipPrechecks: options.skipPrechecks ?? false,
    prechecksOnly: options.prechecksOnly ?? false,
    kind: 'plan',
  });
  if ('problems' in compiled) throw new KkErrors(compiled.problems);
  return { sources, plan: parsed.plan, graph: compiled.graph };
}
