import type { DocNode } from './document.ts';
import type { Problems } from './problems.ts';
import { onlyWords } from './recover.ts';
import { RollbackWords } from './schema.ts';
import type { TaskRead } from './task.ts';

/**
 * The `rollback` tasks of a task: what undoes it in a rollback, in place of the node's undo journal (ENGINE 3.8). Their ids
 * are unique among them. `readOne` reads a task; it comes from the caller, since a task holds these.
 */
export function readRollback(
  node: DocNode | undefined,
  readOne: (item: DocNode) => TaskRead | undefined,
  problems: Problems,
): TaskRead[] {
  const taken = new Set<string>();
  const items = node?.kind === 'list' ? node.items : [];
  return items.flatMap((item) => {
    const task = readOne(onlyWords(item, 'rollback', RollbackWords.shape, problems));
    if (!task) return [];
    const base = task.document.id;
    for (let number = 2; taken.has(task.document.id); number++) task.document.id = `${base}-${number}`;
    taken.add(task.document.id);
    return [task];
  });
}
