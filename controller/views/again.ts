import { contractOf } from '../../shared/actions/index.ts';
import { satisfies } from '../../shared/lifecycle.ts';
import type { TaskSpec } from '../../shared/share.ts';
import type { TaskGraph } from '../compile/graph.ts';
import type { Revision } from '../run/events.ts';
import { translation } from '../run/revise.ts';
import { type RunState, stepState } from '../run/state.ts';
import type { AgainView } from './types.ts';

/**
 * What a run's next revision will do anew, task by task in the order of its graph. Values of variables are not looked at:
 * the agents compare the evaluated inputs, and may find more that has changed.
 */
export function againView(
  before: RunState,
  graph: TaskGraph,
  wish: Pick<Revision, 'retry' | 'rerun' | 'skip'>,
): AgainView[] {
  const old = translation(graph, before.graph);
  const names = (nodes: readonly number[]): string[] => nodes.map((node) => graph.nodes[node] ?? '');
  const isAbout = (list: readonly { task: number; nodes?: number[] }[], task: number, node: number): boolean =>
    list.some((one) => one.task === task && (one.nodes?.includes(node) ?? true));
  return graph.tasks.flatMap((task) => {
    const was = old.task(task.index);
    const spec = graph.common.tasks[task.index];
    const isChanged = was !== undefined && spec !== undefined && !isSame(before.graph.common.tasks[was], spec);
    const byWhy = new Map<AgainView['why'], number[]>();
    for (const node of graph.sets[task.set]?.members ?? []) {
      if (isAbout(wish.skip, task.index, node)) continue;
      const wasNode = old.node(node);
      const step = was === undefined || wasNode === undefined ? undefined : stepState(before, was, wasNode);
      const isDone = step !== undefined && satisfies(step, false);
      const why = isAbout(wish.rerun, task.index, node)
        ? 'asked for'
        : step === undefined
          ? 'new'
          : !isDone
            ? (wish.retry?.includes(node) ?? true) || step === 'waiting' || step === 'begun'
              ? 'not done'
              : undefined
            : isChanged
              ? 'changed'
              : undefined;
      if (why !== undefined) byWhy.set(why, [...(byWhy.get(why) ?? []), node]);
    }
    const repeatable = spec === undefined || isRepeatable(spec);
    return [...byWhy].map(([why, nodes]) => ({
      ...{ task: task.key, nodes: names(nodes), why },
      repeatable: why !== 'changed' || repeatable,
    }));
  });
}

/** As far as the inputs tell before they are evaluated. */
function isRepeatable({ action, inputs }: TaskSpec): boolean {
  const repeatable = contractOf(action)?.repeatable ?? false;
  if (typeof repeatable === 'boolean') return repeatable;
  return typeof inputs === 'object' && inputs !== null && repeatable(inputs as never);
}

/** The same work; where it stands in the file and what it waits for does not matter. */
function isSame(a: TaskSpec | undefined, b: TaskSpec): boolean {
  return JSON.stringify(work(a)) === JSON.stringify(work(b));
}

function work(spec: TaskSpec | undefined): unknown {
  if (spec === undefined) return undefined;
  const { action, inputs, when, loop, register, until, failedWhen, changedWhen, vars } = spec;
  const texts = (list: readonly { text: string }[]): string[] => list.map(({ text }) => text);
  const bound = register && { name: register.name, type: register.type };
  return [action, inputs, texts(when), loop, bound, until?.text, texts(failedWhen), texts(changedWhen), vars];
}
