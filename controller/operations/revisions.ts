import { blocksAround } from '../../shared/blocks.ts';
import { KkError } from '../../shared/errors.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import { compile } from '../compile/compile.ts';
import { parsePlan } from '../plan/index.ts';
import type { Sources } from '../plan/types.ts';
import type { ActiveRun } from '../run/active-run.ts';
import { carried } from '../run/revise.ts';
import { runNotEnded } from '../run/run-errors.ts';
import type { RevisionWish, Runner } from '../run/runner.ts';
import { stepState } from '../run/state.ts';
import type { Operations, ResumeOptions, RetryWish, SkipWish } from '../server/operations.ts';
import type { RunArchive } from '../store/event-log.ts';
import { againView } from '../views/again.ts';
import type { AgainView, RevisedView } from '../views/types.ts';
import type { Blobs } from './blobs.ts';
import type { Runs } from './runs.ts';
import { nodesMeant, taskMeant } from './task-argument.ts';

export interface RevisionsParts {
  runner: Runner;
  runs: Runs;
  archive: RunArchive;
  files: Blobs;
  /** As CompileOptions has it. */
  sealKey: string;
  /** Brings the nodes of the run that are not there. */
  bring(run: ActiveRun): void;
}

/** resume, retry and skip: the same run in its next revision. */
export function revisions(parts: RevisionsParts): Pick<Operations, 'resume' | 'retry' | 'skip'> {
  const revise = async (id: string, wish: (run: ActiveRun) => RevisionWish): Promise<RevisedView> => {
    let again: AgainView[] = [];
    const run = await parts.runner.revise(id, (before) => {
      const wanted = wish(before);
      again = againView(before.state, wanted.graph ?? before.graph, wanted);
      return wanted;
    });
    parts.bring(run);
    return { run: run.record.id, revision: run.record.revision, again };
  };

  return {
    async resume(sources: Sources, options: ResumeOptions) {
      const parsed = parsePlan(sources, { runVars: options.runVars });
      if ('problems' in parsed) return parsed;
      const compiled = compile(parsed.plan, { ...options, kind: 'plan', sealKey: parts.sealKey });
      if ('problems' in compiled) return compiled;
      const { graph } = compiled;
      await parts.files.check(graph);
      const id = await resumable(parts, graph.name, options.run);
      return revise(id, (run) => {
        if (!runHasEnded(run.record.status)) throw runNotEnded(id);
        const rerun = options.rerun.map((text) => ({ task: taskMeant(graph, text) }));
        return {
          how: 'resume',
          by: options.by,
          graph,
          rerun,
          skip: without(carried(run.state, run.revision, graph).skip, rerun),
        };
      });
    },

    async retry(text: string, { nodes: names, tasks, by }: RetryWish) {
      return revise(await parts.runs.idOf(text, 'plan'), (run) => {
        const { graph } = run;
        const nodes = names.length === 0 ? undefined : nodesMeant(graph, names);
        const rerun = tasks.map((task) => ({ task: taskMeant(graph, task), ...(nodes ? { nodes } : {}) }));
        const retry =
          tasks.length === 0
            ? nodes
            : nodesAfter(
                run,
                rerun.map(({ task }) => task),
                nodes,
              );
        return {
          how: 'retry',
          by,
          ...(retry ? { retry } : {}),
          rerun,
          skip: without(carried(run.state, run.revision, graph).skip, rerun),
        };
      });
    },

    async skip(text: string, { task: taskText, reason, nodes: names, by }: SkipWish) {
      return revise(await parts.runs.idOf(text, 'plan'), (run) => {
        const task = taskMeant(run.graph, taskText);
        const nodes = names.length === 0 ? undefined : nodesMeant(run.graph, names);
        const before = carried(run.state, run.revision, run.graph).skip;
        return {
          how: 'skip',
          by,
          retry: nodesAfter(run, [task], nodes),
          rerun: [],
          skip: [...before, { task, reason, ...(nodes ? { nodes } : {}) }],
        };
      });
    },
  };
}

/** What a person asks to run again is not left out any more. */
function without(skip: RevisionWish['skip'], rerun: RevisionWish['rerun']): RevisionWish['skip'] {
  return skip.filter((left) => !rerun.some(({ task, nodes }) => task === left.task && nodes === undefined));
}

/**
 * The nodes that go on when these tasks are tried again or left out: where the tasks run (of `among`), and all that have
 * no failure of their own, for they were blocked by others.
 */
function nodesAfter(
  { state, graph }: ActiveRun,
  tasks: readonly number[],
  among: readonly number[] | undefined,
): number[] {
  return [...graph.nodes.keys()].filter((node) => {
    const isThere = tasks.some((task) => stepState(state, task, node) !== undefined);
    if (isThere && (among?.includes(node) ?? true)) return true;
    const isRescued = (task: number): boolean =>
      blocksAround(graph.common.tasks, task).some(({ block }) => stepState(state, block, node) === 'ok');
    return !graph.tasks.some((task) => {
      if (isRescued(task.index)) return false;
      const step = stepState(state, task.index, node);
      return (step === 'failed' && !task.ignoreErrors) || step === 'interrupted' || step === 'unreachable';
    });
  });
}

/** The run that `apply --resume` is about. Throws KkError RUN_NOTHING_FAILED, RUN_OTHER_PLAN, RUN_NOT_ENDED. */
async function resumable(parts: RevisionsParts, plan: string, text: string | undefined): Promise<string> {
  if (text !== undefined) {
    const found = await parts.archive.find(await parts.runs.idOf(text, 'plan'));
    if (!found || found.record.name === plan) return found?.record.id ?? text;
    throw new KkError({
      code: 'RUN_OTHER_PLAN',
      message: `Run ${found.record.id} is of the plan "${found.record.name}", not of "${plan}".`,
      remedy: 'Name a run of this plan, or apply it as a new one.',
    });
  }
  const ofPlan = (await parts.archive.list(1000)).filter(({ kind, name }) => kind === 'plan' && name === plan);
  const [last] = ofPlan;
  if (last && !runHasEnded(last.status)) throw runNotEnded(last.id);
  const failed = ofPlan.find(({ status }) => status !== 'done');
  if (failed && failed === last) return failed.id;
  throw new KkError({
    code: 'RUN_NOTHING_FAILED',
    message: last
      ? `The last run of the plan "${plan}", ${last.id}, is done.`
      : `The plan "${plan}" was never applied.`,
    remedy: 'Apply it without --resume: what is done stays done.',
  });
}
