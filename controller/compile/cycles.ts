import type { ErrorReport } from '../../shared/errors.ts';
import type { DraftTask } from './draft.ts';

/** A cycle of tasks as the path a person can follow, or nothing. Batches take part (ENGINE 1.3). */
export function findCycle(drafts: readonly DraftTask[], isSerial: (play: number) => boolean): ErrorReport | undefined {
  const state = new Uint8Array(drafts.length); // 0 new, 1 on the path, 2 done
  const path: number[] = [];

  const visit = (index: number): number[] | undefined => {
    if (state[index] === 2) return undefined;
    if (state[index] === 1) return [...path.slice(path.indexOf(index)), index];
    state[index] = 1;
    path.push(index);
    for (const edge of drafts[index]?.edges ?? []) {
      const found = visit(edge.task);
      if (found) return found;
    }
    path.pop();
    state[index] = 2;
    return undefined;
  };

  for (const draft of drafts) {
    const found = visit(draft.index);
    if (found) return cycleReport(drafts, found);
  }
  return drafts.map((draft) => batchDeadlock(drafts, draft, isSerial)).find((report) => report !== undefined);
}

function cycleReport(drafts: readonly DraftTask[], path: readonly number[]): ErrorReport {
  const names = path.map((index) => drafts[index]?.key ?? '?');
  const first = drafts[path[0] ?? 0];
  return {
    code: 'GRAPH_CYCLE',
    message: `These tasks wait for each other: ${names.join(' -> needs -> ')}.`,
    remedy: 'Take one of these `needs` away, or state `needs: []` on the task that should come first.',
    ...(first ? { position: first.document.at } : {}),
  };
}

/** Inside a play with `serial`, waiting for all nodes means waiting for batches that wait for this one. */
function batchDeadlock(
  drafts: readonly DraftTask[],
  draft: DraftTask,
  isSerial: (play: number) => boolean,
): ErrorReport | undefined {
  if (!isSerial(draft.play)) return undefined;
  const edge = draft.edges.find(
    (e) => e.of === 'all' && drafts[e.task]?.play === draft.play && !drafts[e.task]?.displaced,
  );
  if (!edge) return undefined;
  return {
    code: 'GRAPH_CYCLE',
    message: `${draft.key} needs ${drafts[edge.task]?.key} on all nodes, but their play runs in batches: the first batch would wait for the last.`,
    remedy: 'Use `of: same` inside the play, or move the task into a play of its own after this one.',
    position: draft.document.at,
  };
}
