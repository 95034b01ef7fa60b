import { KkError } from '../../shared/errors.ts';
import { hasEnded } from '../../shared/lifecycle.ts';
import type { GraphTask, TaskGraph } from '../compile/graph.ts';
import type { ActiveRun } from '../run/active-run.ts';
import type { Runner } from '../run/runner.ts';
import { stepState } from '../run/state.ts';
import type { SecretAnswer } from '../server/secret-route.ts';
import type { Secrets } from '../store/secrets.ts';

/**
 * Secrets for nodes: only those that a task of the node's own names in a run that has not ended, while that task has not
 * ended, and once the tasks that make it have (ENGINE 2.7). A value that these can change no more is given before: a step that
 * an earlier revision began cannot end without it, and the later one waits for that end.
 */
export function nodeSecrets(
  runner: Pick<Runner, 'active'>,
  secrets: Secrets,
): (node: string, run: string, name: string) => Promise<SecretAnswer> {
  return async (node, id, name) => {
    const run = runner.active.get(id);
    const index = run?.indexes.get(node);
    if (run === undefined || index === undefined || !mayHave(run, index, name)) return notNamed(name);
    const { plan, run: of } = run.graph.undoes ?? { plan: run.graph.name, run: id };
    let found: Awaited<ReturnType<Secrets['find']>>;
    try {
      found = await secrets.find(plan, name, of);
    } catch (thrown) {
      if (thrown instanceof KkError) return { status: 500, refused: thrown.report };
      throw thrown;
    }
    if (found === undefined) return isMade(run, name) ? never(name) : notMade(name);
    return found.run === of || isMade(run, name) || isKept(run, name) ? { value: found.value } : notMade(name);
  };
}

function mayHave({ graph, state }: ActiveRun, node: number, name: string): boolean {
  return graph.tasks.some(({ index }) => {
    if (!(graph.common.tasks[index]?.secrets ?? []).includes(name)) return false;
    const step = positionOf(graph, index, node) < 0 ? undefined : stepState(state, index, node);
    return step !== undefined && !hasEnded(step);
  });
}

/** Is there no step on its way that makes it? */
function isMade(run: ActiveRun, name: string): boolean {
  const { graph, state } = run;
  return makersOf(run, name).every(({ index, set }) =>
    (graph.sets[set]?.members ?? []).every((node) => {
      const step = stepState(state, index, node);
      return step !== undefined && hasEnded(step);
    }),
  );
}

/** Is it the plan's? One that is there stays as it is, then. */
function isKept(run: ActiveRun, name: string): boolean {
  return makersOf(run, name).every(({ index }) => (madeBy(run, index)?.keep ?? 'plan') === 'plan');
}

function makersOf(run: ActiveRun, name: string): GraphTask[] {
  return run.graph.tasks.filter(({ index, action }) => action === 'secret.make' && madeBy(run, index)?.name === name);
}

function madeBy({ graph }: ActiveRun, task: number): { name?: unknown; keep?: unknown } | null | undefined {
  return graph.common.tasks[task]?.inputs as { name?: unknown; keep?: unknown } | null | undefined;
}

function positionOf(graph: TaskGraph, task: number, node: number): number {
  return graph.sets[graph.tasks[task]?.set ?? -1]?.position[node] ?? -1;
}

function notNamed(name: string): SecretAnswer {
  return {
    status: 403,
    refused: {
      code: 'SECRET_NOT_NAMED',
      message: `No task that is left to do on this node names the secret "${name}".`,
      remedy: 'Apply the plan again.',
    },
  };
}

function notMade(name: string): SecretAnswer {
  return {
    status: 404,
    refused: {
      code: 'SECRET_NOT_MADE',
      message: `The secret "${name}" is not there yet.`,
      remedy: 'Wait for the task that makes it.',
    },
  };
}

function never(name: string): SecretAnswer {
  return {
    status: 404,
    refused: {
      code: 'SECRET_NEVER',
      message: `The secret "${name}" is not there, and no task of this run is left to make it.`,
      remedy: 'Apply the plan with the task that makes it, which was left out (--tags, --skip) or did not end well.',
    },
  };
}
