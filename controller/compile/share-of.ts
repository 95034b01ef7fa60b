import { type Revised, SHARE_FORMAT, type Share } from '../../shared/share.ts';
import type { TaskGraph } from './graph.ts';

/** Everything one node has to do in a run, as it is pushed. `revised`: of revision 2 and up. */
export function shareOf(graph: TaskGraph, node: number, revised?: Revised): Share {
  const tasks: number[] = [];
  for (const task of graph.tasks) {
    const isHere = (graph.sets[task.set]?.position[node] ?? -1) >= 0;
    if (isHere && graph.common.tasks[task.index]?.place === undefined) tasks.push(task.index);
  }
  const batches: Record<string, number> = {};
  for (const play of graph.plays) {
    const batch = play.batchOf?.[node] ?? -1;
    if (batch >= 0) batches[String(play.index)] = batch;
  }
  return {
    format: SHARE_FORMAT,
    node: graph.nodes[node] ?? '',
    kind: graph.kind === 'exec' ? 'exec' : 'plan',
    ...(graph.kind === 'check' ? { check: true as const } : {}),
    ...(revised ? { revised } : {}),
    tasks,
    hostVars: graph.hostVars[node] ?? {},
    ...(graph.bindings?.[node] === undefined ? {} : { bindings: graph.bindings[node] }),
    batches,
  };
}
