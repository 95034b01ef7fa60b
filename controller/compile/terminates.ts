import type { TaskGraph } from './graph.ts';

/**
 * Does every step of a graph get its turn, or do some wait for each other: over needs, gates, and batches? Work is
 * proportional to the steps and what each needs: a gate and a batch are one vertex each.
 */
export function terminates(graph: TaskGraph): boolean {
  const { tasks, plays, common } = graph;
  const members = (task: number): readonly number[] => graph.sets[tasks[task]?.set ?? -1]?.members ?? [];
  const ids = new Map<string, number>();
  const after: number[][] = [];
  const open: number[] = [];
  const vertex = (name: string): number => {
    const known = ids.get(name) ?? after.push([]) - 1;
    ids.set(name, known);
    open[known] ??= 0;
    return known;
  };
  const edge = (from: number, to: number): void => {
    after[from]?.push(to);
    open[to] = (open[to] ?? 0) + 1;
  };
  for (const { index, play } of tasks) {
    const { batchOf } = plays[play] ?? {};
    for (const node of members(index)) {
      const step = vertex(`${index}@${node}`);
      const batch = batchOf?.[node] ?? -1;
      if (batch >= 0) edge(step, vertex(`batch ${play}/${batch}`));
      if (batch > 0) edge(vertex(`batch ${play}/${batch - 1}`), step);
      for (const need of common.tasks[index]?.needs ?? []) {
        const [, own] = 'gate' in need ? (/^same\/(\d+)$/.exec(need.gate) ?? []) : [];
        const before = 'task' in need ? need.task : own === undefined ? undefined : Number(own);
        if (before === undefined) {
          if ('gate' in need) edge(vertex(need.gate), step);
        } else if ((graph.sets[tasks[before]?.set ?? -1]?.position[node] ?? -1) >= 0)
          edge(vertex(`${before}@${node}`), step);
      }
    }
  }
  for (const gate of graph.gates) {
    if (gate.kind !== 'all') continue;
    for (const node of members(gate.task)) edge(vertex(`${gate.task}@${node}`), vertex(gate.id));
  }
  const ready = [...open.keys()].filter((one) => open[one] === 0);
  let done = 0;
  for (let one = ready.pop(); one !== undefined; one = ready.pop()) {
    done += 1;
    for (const next of after[one] ?? []) {
      open[next] = (open[next] ?? 0) - 1;
      if (open[next] === 0) ready.push(next);
    }
  }
  return done === after.length;
}
