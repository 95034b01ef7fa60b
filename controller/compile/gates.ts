import type { TaskSpec } from '../../shared/share.ts';
import type { Gate, GraphPlay } from './graph.ts';
import type { NodeSets } from './node-set.ts';

/** Every join vertex that somebody waits for, with the set of nodes that do. */
export function gatesOf(
  tasks: readonly { set: number }[],
  specs: readonly TaskSpec[],
  plays: readonly GraphPlay[],
  sets: NodeSets,
  nodeNames: readonly string[],
): Gate[] {
  const waiters = new Map<string, Set<number>>();
  specs.forEach((spec, index) => {
    // The controller looks for itself: a gate of its own tasks is there, and nobody is told.
    const nodes = spec.place ? [] : sets.get(tasks[index]?.set ?? 0).members;
    for (const need of spec.needs) {
      if (!('gate' in need)) continue;
      const set = waiters.get(need.gate) ?? new Set();
      for (const node of nodes) set.add(node);
      waiters.set(need.gate, set);
    }
  });
  const gates: Gate[] = [];
  for (const [id, nodes] of waiters) gates.push(gateFrom(id, sets.intern(nodes), nodeNames));
  for (const play of plays) {
    const batches = Map.groupBy(sets.get(play.set).members, (node) => play.batchOf?.[node] ?? -1);
    for (let batch = 0; batch + 1 < play.batches; batch++) {
      gates.push({
        id: `batch/${play.index}/${batch}`,
        waiters: sets.intern(batches.get(batch + 1) ?? []),
        kind: 'batch',
        play: play.index,
        batch,
      });
    }
  }
  return gates;
}

function gateFrom(id: string, waiters: number, nodeNames: readonly string[]): Gate {
  if (id === 'precheck') return { id, waiters, kind: 'precheck' };
  const [, kind, task, node] = /^(\w+)\/(\d+)(?:@(.+))?$/.exec(id) ?? [];
  if (kind === 'same') return { id, waiters, kind, task: Number(task) };
  if (kind === 'value') return { id, waiters, kind, task: Number(task), node: nodeNames.indexOf(node ?? '') };
  return { id, waiters, kind: kind as 'all' | 'first' | 'any', task: Number(task) };
}
