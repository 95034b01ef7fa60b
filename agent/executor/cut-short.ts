/** An attempt that was cut short, by a restart or a forced cancel: whether another may follow it, and what comes before that. */
import { runsProgram } from '../../shared/actions/index.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import type { Inputs } from '../../shared/inputs.ts';
import { tryOne } from './one-try.ts';
import { asTask, NOTHING_TO_DO, restore } from './recover.ts';
import type { AtItem, ItemStopped, StepContext } from './step-context.ts';

/** A step that takes its node down each time must not do so for ever. */
const MAX_RECOVERIES = 2;

/** A command's process is found again by its folder; anything else must be repeatable. */
export function canRecover({ spec }: StepContext, inputs: Inputs): boolean {
  return inputs.repeatable || runsProgram(spec.action);
}

/** Its process may be there still; doing it again would be a start, which needs lease, slot and lock (ENGINE 2.6). */
export function mayLive({ spec, ports }: StepContext, boot: string): boolean {
  return runsProgram(spec.action) && boot === ports.bootId;
}

/** Makes an interrupted attempt ready to be followed by another one; how the item stops when that cannot be. */
export async function beginAgain(
  step: StepContext,
  at: AtItem,
  number: number,
  error: ErrorReport,
): Promise<ItemStopped | undefined> {
  await followRecovery(step, at, number);
  if (!mayRerun(step)) return { stopped: 'interrupted', error, attempts: number };
  if (!(await step.ports.turn())) return killed(step, at, number);
  if (step.spec.recover === undefined) return undefined;
  const failed = await restoreState(step, at, number, step.ports.cancelled);
  if (failed === undefined) return undefined;
  if (failed === 'cancelled') return killed(step, at, number);
  return { stopped: 'interrupted', error: failed.error, attempts: number };
}

/** Cut off in the middle by a cancel: a forced one leaves the node in a known state (ENGINE 2.6). */
export async function killed(step: StepContext, at: AtItem, number: number): Promise<ItemStopped> {
  if (isForced(step) && hasRoom(step)) await restoreState(step, at, number);
  return { stopped: 'cancelled', attempts: number };
}

function isForced({ run, ports }: StepContext): boolean {
  return run.cancel?.force === true && ports.cancelled.aborted;
}

/** Is it said how it may run again, and has it not been tried too often (ENGINE 3.3)? */
function mayRerun(step: StepContext): boolean {
  const { onInterrupt, recover } = step.spec;
  return (onInterrupt === 'rerun' || recover !== undefined) && hasRoom(step);
}

function hasRoom({ known }: StepContext): boolean {
  return (known?.recoveries ?? 0) < MAX_RECOVERIES;
}

/** The recover tasks in order. Without `signal` nothing stops them. */
async function restoreState(
  step: StepContext,
  { item, extra }: AtItem,
  number: number,
  signal = new AbortController().signal,
): Promise<'cancelled' | { error: ErrorReport } | undefined> {
  const { ports, run, task, variables } = step;
  if (step.spec.recover === undefined) return undefined;
  const round = (step.known?.recoveries ?? 0) + 1;
  step.hasStarted = true;
  const failed = await restore(step.spec, {
    begin: (index) => ports.record({ type: 'recover', run: run.run, task, item, round, index, boot: ports.bootId }),
    scopeOf: (spec, registers) => variables.scopeOf(spec, { ...extra, ...registers }),
    attempt: (spec, index, inputs, scope) =>
      tryOne(step, spec, { item, number, part: partOf(round, index) }, inputs, scope, { signal }),
    commandFailure: (output) => ports.commandFailure(output),
    turn: () => ports.turn(signal !== ports.cancelled),
  });
  return signal.aborted ? 'cancelled' : failed;
}

/** A command of a recovery that was cut short may be at work: nothing begins beside it. */
async function followRecovery(step: StepContext, { item, extra }: AtItem, number: number): Promise<void> {
  const was = step.known?.byItem.get(item)?.recovering;
  const task = was && step.spec.recover?.[was.index];
  if (task === undefined || !runsProgram(task.action) || was?.boot !== step.ports.bootId) return;
  // A script's process is a command's, and is found as one.
  const spec = { ...asTask(step.spec, task), action: 'command' };
  const scope = step.variables.scopeOf(spec, extra);
  await tryOne(step, spec, { item, number, part: partOf(was.round, was.index) }, NOTHING_TO_DO, scope, {
    recovering: { bootId: was.boot },
    // That of a forced cancel is not stopped by it.
    ...(isForced(step) ? { signal: new AbortController().signal } : {}),
  });
}

/** The folder of a recover task, behind that of the attempt that it follows. */
function partOf(round: number, index: number): string {
  return `recover-${round}-${index}`;
}
