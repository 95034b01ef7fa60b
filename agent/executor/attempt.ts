import { type ActionKind, runsProgram } from '../../shared/actions/index.ts';
import { crash } from '../../shared/crash.ts';
import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import type { Inputs } from '../../shared/inputs.ts';
import type { Json, StepResult, TaskSpec } from '../../shared/share.ts';
import { type ActionContext, type ActionExecutor, Postponed } from '../actions/executor.ts';
import { Unknown } from '../actions/unknown.ts';
import { Cancelled } from '../host/cancelled.ts';
import { dryRun } from './dry-run.ts';
import type { Clock } from './ports.ts';

/** How one attempt went. An action that failed may still have an output (a command's). */
export interface Attempted {
  output?: Json;
  changed: boolean;
  diffs?: StepResult['diffs'];
  error?: ErrorReport;
  /** Nothing was done, for nothing may start now. */
  postponed?: true;
  /** Dry run: see {@link ItemEnd}. */
  undone?: true;
  unknown?: string;
}

/** An aborted action that does not settle is left behind this long after its grace; the step's end must not wait for it. */
const ABANDON_MS = 90_000;

/** What it begins goes on, or has come about, when the agent is there again. */
function outlives(action: string): boolean {
  return runsProgram(action) || action === 'reboot';
}

export interface AttemptOptions {
  executor: ActionExecutor<ActionKind>;
  inputs: Inputs;
  context: Omit<ActionContext, 'signal' | 'timeoutMs'>;
  /** Cancel and --force. */
  cancelled: AbortSignal;
  clock: Clock;
  /** Resolves when `begun` is on disk; awaited before what cannot be repeated or outlives the agent. */
  begunIsSynced: () => Promise<void>;
  /** Look only (share.ts, Share.check). */
  dryRun: boolean;
}

/** inspect, then apply if something is to do, within the task's timeout. Never rejects. */
export async function attempt(spec: TaskSpec, options: AttemptOptions): Promise<Attempted> {
  const { inputs, cancelled, clock } = options;
  const timeout = new AbortController();
  const signal = AbortSignal.any([cancelled, timeout.signal]);
  // A command's wrapper keeps its timeout, with its output; this timer is then only for a wrapper that does not.
  const patience = ABANDON_MS + graceMs(inputs);
  const margin = runsProgram(spec.action) ? patience : 0;
  const stopTimer =
    spec.timeout > 0 ? clock.after(spec.timeout * 1000 + margin, () => timeout.abort(timedOut(spec))) : () => {};
  const abandoned = abandonment(signal, clock, patience);
  try {
    const context: ActionContext = { ...options.context, signal, timeoutMs: spec.timeout * 1000 };
    const doing = options.dryRun
      ? dryRun(spec.action, options.executor, inputs, context)
      : work(options, context, outlives(spec.action));
    const done = await Promise.race([doing, abandoned.promise]);
    return timeout.signal.aborted ? { ...done, error: timedOut(spec).report } : done;
  } catch (thrown) {
    if (thrown instanceof Postponed) return { changed: false, postponed: true };
    if (thrown instanceof Unknown) return { changed: false, unknown: thrown.message };
    return { changed: false, error: timeout.signal.aborted ? timedOut(spec).report : reportOf(thrown) };
  } finally {
    stopTimer();
    abandoned.stop();
  }
}

/** `outlives`: a later life of the agent must find it begun, or it would run a second time beside the first. */
async function work(
  { executor, inputs, begunIsSynced }: AttemptOptions,
  context: ActionContext,
  outlives: boolean,
): Promise<Attempted> {
  const input = inputs.value as never;
  const inspected = await executor.inspect(input, context);
  if (inspected.already) return { output: inspected.output as Json, changed: false };
  if (!inputs.repeatable || outlives) await begunIsSynced();
  crash.at('agent.step.begun');
  // What an earlier life of the agent began may be at work: only the action can end it.
  if (context.recovering === undefined) {
    context.signal.throwIfAborted();
    context.starting();
  }
  const applied = await executor.apply(input, context);
  crash.at('agent.step.done');
  const diffs = applied.diffs ?? inspected.diffs;
  return {
    output: applied.output as Json,
    changed: applied.changed ?? true,
    ...(diffs === undefined || diffs.length === 0 ? {} : { diffs }),
  };
}

/** What the inputs grant between TERM and KILL: until then the command may be at work. */
function graceMs({ value }: Inputs): number {
  const seconds = (value as { grace_seconds?: unknown } | null)?.grace_seconds;
  return typeof seconds === 'number' ? seconds * 1000 : 0;
}

function abandonment(
  signal: AbortSignal,
  clock: Clock,
  afterMs: number,
): { promise: Promise<never>; stop: () => void } {
  let stop = (): void => {};
  const promise = new Promise<never>((_, reject) => {
    const begin = (): void => {
      const grace = signal.reason instanceof Cancelled ? signal.reason.graceMs : 0;
      stop = clock.after(Math.max(afterMs, ABANDON_MS + grace), () => reject(signal.reason));
    };
    if (signal.aborted) begin();
    else signal.addEventListener('abort', begin, { once: true });
  });
  // Nobody may be listening any more when it fires.
  promise.catch(() => {});
  return { promise, stop: () => stop() };
}

function timedOut(spec: TaskSpec): KkError {
  return new KkError({
    code: 'TASK_TIMEOUT',
    message: `The task did not end within its ${spec.timeout} s and was stopped.`,
    remedy: 'See its output for where it hung; raise `timeout` if it only needs longer.',
  });
}
