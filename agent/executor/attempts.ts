import { inputsOf } from '../../shared/inputs.ts';
import { beginAgain, canRecover, killed, mayLive } from './cut-short.ts';
import { isForgone } from './forgone.ts';
import { judge } from './judge.ts';
import { tryItem } from './one-try.ts';
import { pause } from './pause.ts';
import type { AtItem, ItemDone, StepContext } from './step-context.ts';
import { interruptedError, wasKilled } from './step-errors.ts';

/** Attempts at one item until it is done: what a restart cut short is taken up, `until` and `retries` are kept. Throws EXPR_*. */
export async function attempts(step: StepContext, at: AtItem): Promise<ItemDone> {
  const { spec, ports } = step;
  const { clock, cancelled } = ports;
  const was = step.known?.byItem.get(at.item);
  // An attempt that a restart cut short is taken up under its own number.
  let isRecovery = false;
  let recovering = was !== undefined && was.attempt > 0 ? { bootId: was.boot } : undefined;
  let first = Math.max(1, was?.attempt ?? 1);
  if (was?.recovering !== undefined) {
    // What was cut short is the recovery of that attempt.
    const stopped = await beginAgain(step, at, first, interruptedError());
    if (stopped !== undefined) return stopped;
    recovering = undefined;
    first += 1;
  }
  for (let number = first; ; number += 1) {
    const scope = step.scope(at.extra);
    const inputs = inputsOf(spec, step.kind, scope);
    if (recovering !== undefined && !canRecover(step, inputs)) {
      const stopped = await beginAgain(step, at, number, interruptedError());
      if (stopped !== undefined) return stopped;
      recovering = undefined;
      isRecovery = spec.recover === undefined;
      continue;
    }
    if (recovering !== undefined && inputs.repeatable && !mayLive(step, recovering.bootId)) {
      if (!(await ports.turn())) return { stopped: 'cancelled', attempts: number };
    }
    const tried = await tryItem(step, at, number, inputs, scope, recovering ?? { isRecovery });
    isRecovery = false;
    if (tried.postponed === true) {
      if (isForgone(step) || !(await ports.turn())) return { stopped: 'cancelled', attempts: number };
      recovering = undefined;
      // It was not an attempt.
      number -= 1;
      continue;
    }
    if (tried.error?.code === 'INTERRUPTED') {
      if (recovering === undefined) return { stopped: 'interrupted', error: tried.error, attempts: number };
      const stopped = await beginAgain(step, at, number, tried.error);
      if (stopped !== undefined) return stopped;
      recovering = undefined;
      isRecovery = spec.recover === undefined;
      continue;
    }
    recovering = undefined;
    const judged = judge(step, tried, at.extra, number);
    if (cancelled.aborted && (judged.end.outcome === 'failed' || wasKilled(tried))) return killed(step, at, number);
    if (judged.final || number > spec.retries) return { end: judged.end };
    ports.rest();
    await pause(clock, spec.delay * 1000, cancelled);
    if (!(await ports.turn())) return { stopped: 'cancelled', attempts: number };
  }
}
