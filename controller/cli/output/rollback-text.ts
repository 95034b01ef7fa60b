import type { TaskGraph } from '../../compile/graph.ts';
import { undoOf } from '../../compile/rollback.ts';
import type { RollbackView } from '../../views/types.ts';
import { clean, names } from './text.ts';

/** So many tasks of each list are told. */
const MOST = 40;

/** What a rollback will do, and what it cannot, before it does. */
export function rollbackLines({ of, undoes, cannot }: RollbackView): string[] {
  const lines = [
    undoes.length === 0 ? `Run ${of}: nothing is left that could be undone.` : `Undoes of run ${of}, in this order:`,
    ...listed(undoes),
  ];
  return cannot.length === 0 ? lines : [...lines, 'CANNOT undo, and leaves as it is:', ...listed(cannot)];
}

function listed(tasks: RollbackView['undoes']): string[] {
  const told = tasks
    .slice(0, MOST)
    .map(({ task, nodes, why }) => `  ${clean(task)} on ${names(nodes.map(clean))} (${clean(why)})`);
  return tasks.length > MOST ? [...told, `  … ${tasks.length - MOST} more`] : told;
}

/** Of a plan that is rolled back when it fails: what would stay then. Empty: nothing. */
export function irrevocableLines({ tasks }: TaskGraph): string[] {
  const found = tasks.filter((task) => undoOf(task) === 'cannot').map(({ key }) => `  ${clean(key)}`);
  if (found.length === 0) return [];
  const more = found.length > MOST ? [`  … ${found.length - MOST} more`] : [];
  return [
    'If the run fails, it is rolled back, but for what these commands change (they have no rollback tasks):',
    ...found.slice(0, MOST),
    ...more,
  ];
}
