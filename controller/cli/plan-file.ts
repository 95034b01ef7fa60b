import { type ErrorReport, KkError, KkErrors } from '../../shared/errors.ts';
import type { Vars } from '../../shared/share.ts';
import { compile } from '../compile/compile.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { phaseTag } from '../compile/select.ts';
import { loadSources, type Plan, parsePlan, type Sources, suggest } from '../plan/index.ts';
import type { Cli } from './cli.ts';

/** How a plan is completed on the command line. */
export interface PlanVariables {
  set?: Vars;
  playbookPath?: string[];
}

/** How a plan is narrowed and completed on the command line. */
export interface PlanOptions extends PlanVariables {
  phase?: string[];
  tags?: string[];
  skipTags?: string[];
  skipPrechecks?: boolean;
  prechecksOnly?: boolean;
  /** Instead of the plan's own. */
  playbooks?: string[];
  /** Nothing is fetched: digests that nobody can be asked for now are told, and no error. */
  looksOnly?: true;
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
  const { sources, plan } = await readPlan(cli, file, options);
  const compiled = compile(plan, {
    runVars: options.set ?? {},
    tags: selectedTags(options),
    skipTags: options.skipTags ?? [],
    skipPrechecks: options.skipPrechecks ?? false,
    prechecksOnly: options.prechecksOnly ?? false,
    kind: 'plan',
  });
  if ('problems' in compiled) throw new KkErrors(compiled.problems);
  return { sources, plan, graph: compiled.graph };
}

/**
 * The plan with the digests of all that it fetches: those that nothing states are asked where they are published, and written
 * into the lock file beside the plan. `refresh`: all are asked anew. Throws KkErrors, as {@link checkPlan}.
 */
export async function readPlan(
  cli: Cli,
  file: string,
  options: Pick<PlanOptions, 'set' | 'playbookPath' | 'playbooks' | 'phase' | 'looksOnly'>,
  refresh = false,
): Promise<{ sources: Sources; plan: Plan }> {
  const runVars = options.set ?? {};
  const parse = (from: Sources): Plan => {
    cli.texts = from.texts;
    const parsed = parsePlan(from, { runVars });
    if ('problems' in parsed) throw new KkErrors(parsed.problems);
    return parsed.plan;
  };
  const { playbooks, playbookPath = [] } = options;
  const sources = await loadSources(file, { playbookPath, ...(playbooks ? { playbooks } : {}) });
  const plan = parse(sources);
  // Before anybody is asked over the network: what a person has mistyped is told at once.
  refuseUnknown(options.phase ?? [], plan);
  const { components } = plan;
  if (components === undefined) return { sources, plan };
  for (const note of components.notes) cli.note(note);
  const { pinComponents, refreshLock } = await import('../components/pin.ts');
  const { signal } = new AbortController();
  const pinning = (refresh ? refreshLock : pinComponents)(sources, components, signal);
  const pinned = await (options.looksOnly ? pinning.catch((thrown) => tellUnasked(cli, thrown, sources)) : pinning);
  return pinned === sources ? { sources, plan } : { sources: pinned, plan: parse(pinned) };
}

/** What a plan does can be shown without its digests; that they could not be asked is worth to know before it is applied. */
function tellUnasked(cli: Cli, thrown: unknown, sources: Sources): Sources {
  const isAway = ({ code }: ErrorReport): boolean => code === 'COMPONENT_UNREACHABLE';
  if (!(thrown instanceof KkErrors) || !thrown.reports.every(isAway)) throw thrown;
  for (const { message } of thrown.reports) cli.note(`${message} They will be when the plan is applied.`);
  return sources;
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
