import { blocksAround } from '../../shared/blocks.ts';
import type { StepContext } from './step-context.ts';

/** A cancel lets a permit step finish (ENGINE 2.6); one that has done nothing yet has nothing to finish, unless it is owed. */
export function isForgone({ run, common, task, known, hasStarted }: StepContext): boolean {
  if (run.cancel === undefined || hasStarted) return false;
  if (blocksAround(common.tasks, task).some(({ part }) => part === 'always')) return false;
  const items = known?.byItem.values() ?? [];
  return ![...items].some(({ ended }) => ended !== undefined);
}
