import { KkError, KkErrors } from '../../shared/errors.ts';
import type { Vars } from '../../shared/share.ts';
import { compile } from '../compile/compile.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { phaseTag } from '../compile/select.ts';
import { loadSources, type Plan, parsePlan, type Sources, suggest } from '../plan/index.ts';
import type { Cli } from './cli.ts';

/** How a plan is narrowed and completed on the command line. */
export interface PlanOptions {
  set?: Vars;
  phase?: string[];
  tags?: string[];
  skipTags?: string[];
  skipPrechecks?: boolean;
  prechecksOnly?: boolean;
  playbookPath?: string[];
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
  const sources = await loadSources(file, { playbookPath: options.playbookPath ?? [] });
  cli.texts = sources.texts;
  const parsed = parsePlan(sources, { runVars: options.set ?? {} });
  if ('problems' in parsed) throw new KkErrors(parsed.problems);
  refuseUnknown(options.phase ?? [], parsed.plan);
  const compiled = compile(parsed.plan, {
    runVars: options.set ?? {},
    tags: selectedTags(options),
    skipTags: options.skipTags ?? [],
    skipPrechecks: options.skipPrechecks ?? false,
    prechecksOnly: options.prechecksOnly ?? false,
    kind: 'plan',
  });
  if ('problems' in compiled) throw new KkErrors(compiled.problems);
  return { sources, plan: parsed.plan, graph: compiled.graph };
}

/** What the compiler is told of `--tags` and `--phase`. */
export function selectedTags({ tags = [], phase = [] }: PlanOptions): string[] {
  return [...tags, ...phase.map(phaseTag)];
}

function refuseUnknown(phases: readonly string[], plan: Plan): void {
  const known = plan.plays.filter(({ hookOf }) => hookOf === undefined).map(({ name }) => name);
  const unknown = phases.find((phase) => !known.includes(phase));
  if (unknown === undefined) return;
  throw new KkError({
    code: 'PHASE_UNKNOWN',
    message: `The plan has no play "${unknown}".`,
    remedy: suggest(unknown, known),
  });
}
