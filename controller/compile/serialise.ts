import type { Common, Vars } from '../../shared/share.ts';
import type { Gate, GraphPlay, GraphTask, RunKind, TaskGraph } from './graph.ts';
import { NodeSets } from './node-set.ts';

/** A graph as the store keeps it: what can be derived is left out. */
interface StoredGraph {
  name: string;
  kind: RunKind;
  nodes: string[];
  sets: number[][];
  plays: (Omit<GraphPlay, 'batchOf'> & { batchOf: number[] | null })[];
  tasks: GraphTask[];
  gates: Gate[];
  common: Common;
  hostVars: Vars[];
  ssh?: NonNullable<TaskGraph['ssh']>;
  bindings?: Vars[];
  undoes?: NonNullable<TaskGraph['undoes']>;
}

export function graphToJson(graph: TaskGraph): string {
  const stored: StoredGraph = {
    name: graph.name,
    kind: graph.kind,
    nodes: [...graph.nodes],
    sets: graph.sets.map((set) => [...set.members]),
    plays: graph.plays.map((play) => ({ ...play, batchOf: play.batchOf ? [...play.batchOf] : null })),
    tasks: [...graph.tasks],
    gates: [...graph.gates],
    common: graph.common,
    hostVars: [...graph.hostVars],
    ...(graph.ssh ? { ssh: graph.ssh } : {}),
    ...(graph.bindings === undefined ? {} : { bindings: [...graph.bindings] }),
    ...(graph.undoes === undefined ? {} : { undoes: graph.undoes }),
  };
  return JSON.stringify(stored);
}

/**
 * The graph that {@link graphToJson} wrote. The same to the index, and `common` to the byte: agents know it by its digest,
 * also after the controller has started again.
 */
export function graphFromJson(text: string): TaskGraph {
  const stored = JSON.parse(text) as StoredGraph;
  const sets = new NodeSets(stored.nodes.length);
  for (const members of stored.sets) sets.intern(members);
  return Object.freeze({
    ...stored,
    sets: sets.sets,
    plays: stored.plays.map((play) => ({
      ...play,
      budget: play.budget,
      batchOf: play.batchOf ? Int32Array.from(play.batchOf) : undefined,
    })),
  });
}
