import { type BlobRef, isEmptyDirectory } from '../../shared/blob.ts';
import type { TaskGraph } from './graph.ts';

/** A blob that tasks of a graph name. */
export interface NamedBlob extends BlobRef {
  /** Indexes of the tasks. */
  tasks: number[];
}

/** By graph, so that a node that asks does not make the whole table again. */
const known = new WeakMap<TaskGraph, ReadonlyMap<string, NamedBlob>>();

/** Every blob that the tasks of a graph name, those that restore or undo them included, by its digest. */
export function blobsIn(graph: TaskGraph): ReadonlyMap<string, NamedBlob> {
  const found = known.get(graph) ?? collect(graph);
  known.set(graph, found);
  return found;
}

/** Does the node's own share name it (ENGINE 4.9)? `node`: index in the graph. */
export function namesBlob(graph: TaskGraph, node: number, sha256: string): boolean {
  const tasks = blobsIn(graph).get(sha256)?.tasks ?? [];
  return tasks.some((task) => (graph.sets[graph.tasks[task]?.set ?? -1]?.position[node] ?? -1) >= 0);
}

function collect(graph: TaskGraph): Map<string, NamedBlob> {
  const blobs = new Map<string, NamedBlob>();
  for (const { index, rollback = [] } of graph.tasks) {
    const spec = graph.common.tasks[index];
    for (const one of [spec, ...(spec?.recover ?? []), ...rollback]) {
      for (const [name, blob] of Object.entries(one?.blobs ?? {})) {
        if (isEmptyDirectory(name)) continue;
        const { tasks } = blobs.get(blob.sha256) ?? { tasks: [] };
        blobs.set(blob.sha256, { ...blob, tasks: tasks.at(-1) === index ? tasks : [...tasks, index] });
      }
    }
  }
  return blobs;
}
