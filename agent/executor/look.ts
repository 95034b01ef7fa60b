import { holds } from '../../shared/evaluate.ts';
import type { Scope } from '../../shared/expr/index.ts';
import { inputsOf } from '../../shared/inputs.ts';
import { wouldHaveChanged } from './dry-run.ts';
import { isFinal, itemFailed, judge, kept, shownOf } from './judge.ts';
import { tryItem } from './one-try.ts';
import type { ItemEnd } from './records.ts';
import type { AtItem, ItemDone, StepContext } from './step-context.ts';

/** One item in a dry run: one look. Throws EXPR_*. */
export async function look(step: StepContext, at: AtItem): Promise<ItemDone> {
  const number = (step.known?.byItem.get(at.item)?.attempt ?? 0) + 1;
  const scope = step.scope(at.extra);
  const inputs = inputsOf(step.spec, step.kind, scope);
  const tried = await tryItem(step, at, number, inputs, scope, { isRecovery: false });
  if (tried.error !== undefined) {
    if (step.ports.cancelled.aborted) return { stopped: 'cancelled', attempts: number };
    if (isFinal(tried.error) || !wouldHaveChanged(step.run))
      return { end: itemFailed(step, tried.error, tried, at.extra, number) };
    // What it misses may be what an earlier step would have made.
    const unknown = `it cannot be looked at before the earlier tasks have run: ${tried.error.message}`;
    return { end: { outcome: 'ok', changed: true, attempts: number, undone: true, unknown } };
  }
  if (tried.undone === undefined && tried.unknown !== undefined) return { end: itemUnknown(tried.unknown) };
  if (tried.undone === undefined) return { end: judge(step, tried, at.extra, number).end };
  const { unknown, changed } = tried;
  const end: ItemEnd = { outcome: 'ok', attempts: number, ...kept(shownOf(step, tried)), undone: true };
  return {
    end: { ...end, changed: changed && mayChange(step, scope), ...(unknown === undefined ? {} : { unknown }) },
  };
}

/** Of an item of which nobody can say before the run what it will do. */
export function itemUnknown(unknown: string): ItemEnd {
  return { outcome: 'skipped', changed: false, attempts: 0, unknown };
}

/** changed_when, as far as it does not ask for the output. */
function mayChange({ spec: { changedWhen, file } }: StepContext, scope: Scope): boolean {
  try {
    return changedWhen.every((condition) => holds(condition, file, scope));
  } catch {
    return true;
  }
}
