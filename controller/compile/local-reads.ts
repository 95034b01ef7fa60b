import { analyse } from '../../shared/expr/index.ts';
import type { Plan } from '../plan/types.ts';
import type { DraftTask } from './draft.ts';
import { contains, type NodeSets } from './node-set.ts';
import { textsOf } from './reads.ts';

/** A task that names a register of the same node which was made on the other side: one of both is the controller's own. */
export interface LocalRead {
  reader: number;
  /** The task that registers. */
  task: number;
}

/**
 * What tasks of the controller read of a node, and nodes of what the controller has done for them, by the bare name of a
 * register. Reading it derives the edge (ENGINE 1.2), also where `needs` are stated.
 */
export function localReads(plan: Plan, drafts: readonly DraftTask[], sets: NodeSets): LocalRead[] {
  const binders = Map.groupBy(drafts, ({ document }) => document.register?.name);
  const locals = drafts.filter(isLocal);
  const named = new Set(locals.flatMap(({ document }) => document.register?.name ?? []));
  if (locals.length === 0) return [];
  return drafts.flatMap((draft) => {
    if (!isLocal(draft) && named.size === 0) return [];
    const names = namesIn(plan, draft);
    return [...names].flatMap((name) =>
      (binders.get(name) ?? [])
        .filter((task) => task.index < draft.index && (isLocal(task) || isLocal(draft)) && meet(sets, task, draft))
        .map((task) => ({ reader: draft.index, task: task.index })),
    );
  });
}

function isLocal({ document }: DraftTask): boolean {
  return document.place !== undefined;
}

function namesIn(plan: Plan, draft: DraftTask): Set<string> {
  const documents = [draft.document, ...draft.document.recover];
  const texts = documents.flatMap((document) => textsOf(plan, { ...draft, document }));
  return new Set(texts.flatMap(({ ast }) => analyse(ast).free.map(({ name }) => name)));
}

/** Is there a node in both? */
function meet(sets: NodeSets, a: DraftTask, b: DraftTask): boolean {
  const other = sets.get(b.set);
  return sets.get(a.set).members.some((node) => contains(other, node));
}
