import type { LocalActionKind } from '../../../shared/actions/local.ts';
import { KkError, reportOf } from '../../../shared/errors.ts';
import type { Value } from '../../../shared/expr/index.ts';
import type { StepOutcome } from '../../../shared/lifecycle.ts';
import type { Sealed } from '../../../shared/seal.ts';
import type { Json, StepResult, TaskSpec } from '../../../shared/share.ts';
import type { ActiveRun } from '../active-run.ts';
import type { RunEvent } from '../events.ts';
import type { Clock } from '../ports.ts';
import { asksForFacts, cannotUnseal, digestOf, type Evaluated, evaluateStep, NotMade } from './evaluate.ts';
import type { LocalActions, LocalDone, LocalWork } from './local-action.ts';
import { doneResult, failedResult, keptResult, skippedResult } from './results.ts';
import type { Step } from './tasks.ts';

/** Steps of the controller's own at work at once; who waits for a person, or to try again, is not counted. */
const SLOTS = 4;
/** Another attempt would give the same. */
const NO_RETRY = /^(REGISTER_|COMPONENT_NOT_FOUND$|COMPONENT_WRONG_SHA256$)/;

export interface LocalParts {
  actions: LocalActions;
  clock: Clock;
  /** A timer; called with milliseconds. */
  timer(ms: number, then: () => void): { cancel(): void };
  /** What the node told of itself last. */
  facts(node: string): Promise<Value | undefined>;
  unseal(value: Sealed): Json;
  record(run: string, revision: number, event: RunEvent): void;
  /** How far a step is, by its task's key. */
  tell(run: string, step: { node: string; task: string }, text: string): void;
}

interface Job extends Step {
  id: string;
  run: ActiveRun;
  revision: number;
  state: ActiveRun['state'];
  abort: AbortController;
  hasSlot: boolean;
}

/** Why a step of the controller's own is stopped. */
class Stopped extends Error {
  readonly outcome: 'cancelled' | 'gone';

  constructor(outcome: Stopped['outcome']) {
    super(outcome);
    this.outcome = outcome;
  }
}

/** Does the steps of the controller's own, a few at once; what became of them goes the way of all events. */
export class LocalWorker {
  /** At work or queued, by run, revision and step. */
  readonly #jobs = new Map<string, Job>();
  /** Those that wait for a slot. */
  #queue: (() => void)[] = [];
  #atWork = 0;
  readonly #parts: LocalParts;

  constructor(parts: LocalParts) {
    this.#parts = parts;
  }

  /** Begins a step, or queues it; one that is at work already goes on. */
  start(run: ActiveRun, { task, node }: Step): void {
    const { id: runId, revision } = run.record;
    const id = `${runId}/${revision}/${task}@${node}`;
    if (this.#jobs.has(id)) return;
    const job: Job = { id, run, revision, state: run.state, task, node, abort: new AbortController(), hasSlot: false };
    this.#jobs.set(id, job);
    void this.#live(job);
  }

  /** The run was cancelled: what is at work ends so. */
  cancel(run: string): void {
    this.#stop((job) => job.run.record.id === run, 'cancelled');
  }

  /** Nobody waits for these any more: the run has ended, or has begun a later revision. */
  drop(run: string, before = Number.POSITIVE_INFINITY): void {
    this.#stop((job) => job.run.record.id === run && job.revision < before, 'gone');
  }

  /** The controller ends: what is at work is begun anew by the next one. */
  close(): void {
    this.#stop(() => true, 'gone');
  }

  #stop(which: (job: Job) => boolean, outcome: Stopped['outcome']): void {
    for (const job of this.#jobs.values()) if (which(job)) job.abort.abort(new Stopped(outcome));
  }

  async #live(job: Job): Promise<void> {
    if (specOf(job).action !== 'confirm') await this.#takeSlot(job);
    await this.#do(job);
    this.#jobs.delete(job.id);
    this.#giveSlot(job);
  }

  async #takeSlot(job: Job): Promise<void> {
    await new Promise<void>((take) => {
      this.#queue.push(take);
      this.#pump();
    });
    job.hasSlot = true;
  }

  #giveSlot(job: Job): void {
    if (!job.hasSlot) return;
    job.hasSlot = false;
    this.#atWork -= 1;
    this.#pump();
  }

  #pump(): void {
    while (this.#atWork < SLOTS) {
      const take = this.#queue.shift();
      if (take === undefined) return;
      this.#atWork += 1;
      take();
    }
  }

  /** Never rejects. */
  async #do(job: Job): Promise<void> {
    const begunMs = this.#parts.clock.monotonicMs();
    const end = (outcome: StepOutcome, result: StepResult, more: { digest?: string } = {}): void => {
      const { task, node } = job;
      const durationMs = Math.round(this.#parts.clock.monotonicMs() - begunMs);
      this.#record(job, {
        kind: 'ended',
        at: this.#parts.clock.nowMs(),
        node,
        task,
        outcome,
        result,
        durationMs,
        ...more,
      });
    };
    let isSecret = specOf(job).sensitive;
    try {
      job.abort.signal.throwIfAborted();
      const left = leftOut(job);
      if (left !== undefined) return end('skipped', skippedResult(left));
      const failure = failedBefore(job);
      if (failure !== undefined && !isAskedAgain(job)) return end('failed', failure);
      const evaluated = await this.#evaluate(job);
      isSecret ||= evaluated.isSecret;
      if (evaluated.skipped !== undefined) return end('skipped', skippedResult(evaluated.skipped));
      if (specOf(job).action === 'confirm' && evaluated.hasSecretInputs) throw secretMessage();
      if (job.state.graph.kind === 'check') return end('ok', await this.#wouldDo(job, evaluated.inputs));
      const digest = digestOf(specOf(job), evaluated.inputs);
      const answer = job.state.answers.get(`${job.task}@${job.node}`);
      if (answer?.digest === digest && !isAskedAgain(job))
        return end('ok', keptResult(specOf(job), answer), { digest });
      // It may have been stopped while it was looked at.
      job.abort.signal.throwIfAborted();
      this.#begin(job, evaluated.inputs);
      const done = await this.#act(job, evaluated.inputs);
      // Who has said yes is no secret, and is needed to know it in a later revision.
      const isAnswer = specOf(job).action === 'confirm';
      end('ok', doneResult(specOf(job), done, isSecret && !isAnswer), isAnswer ? { digest } : {});
    } catch (thrown) {
      if (thrown instanceof Stopped) {
        if (thrown.outcome === 'cancelled') end('cancelled', { changed: false, reason: 'the run was cancelled' });
      } else if (thrown instanceof NotMade) end('skipped', { changed: false, unknown: thrown.message });
      else end('failed', failedResult(specOf(job), job.state.graph.nodes[job.node] ?? '', reportOf(thrown), isSecret));
    }
  }

  async #evaluate(job: Job): Promise<Evaluated> {
    const asks = asksForFacts(specOf(job));
    const facts = asks ? await this.#parts.facts(job.state.graph.nodes[job.node] ?? '') : undefined;
    return evaluateStep(job.state, job, {
      facts,
      unseal: (value) => {
        try {
          return this.#parts.unseal(value);
        } catch (thrown) {
          throw cannotUnseal(thrown);
        }
      },
    });
  }

  #begin(job: Job, inputs: Json): void {
    const { task, node } = job;
    const asks = specOf(job).action === 'confirm' ? { asks: (inputs as { message: string }).message } : {};
    this.#record(job, { kind: 'begun', at: this.#parts.clock.nowMs(), node, task, attempt: 1, items: 1, ...asks });
  }

  /** As often as the task says. Throws what the last attempt throws, or {@link Stopped}. */
  async #act(job: Job, inputs: Json): Promise<LocalDone> {
    const { retries, delay } = specOf(job);
    for (let number = 1; ; number += 1) {
      try {
        return await this.#attempt(job, inputs);
      } catch (thrown) {
        const { code, message } = reportOf(thrown);
        if (thrown instanceof Stopped || number > retries || NO_RETRY.test(code)) throw thrown;
        this.#workOf(job, inputs).tell?.(`${message} Tried again in ${delay} s (${number} of ${retries}).`);
        await this.#pause(job, delay * 1000);
      }
    }
  }

  /** Others may use the slot meanwhile; who is stopped needs none any more. Throws {@link Stopped}. */
  async #pause(job: Job, ms: number): Promise<void> {
    const { signal } = job.abort;
    this.#giveSlot(job);
    let timer: { cancel(): void } | undefined;
    try {
      const over = new Promise<void>((resolve) => {
        timer = this.#parts.timer(ms, resolve);
      });
      await Promise.race([over, aborted(signal)]);
    } finally {
      timer?.cancel();
    }
    await this.#takeSlot(job);
  }

  /** Throws what the action throws, TASK_TIMEOUT, or {@link Stopped}. */
  async #attempt(job: Job, inputs: Json): Promise<LocalDone> {
    const { timeout } = specOf(job);
    const late = new AbortController();
    const signal = AbortSignal.any([job.abort.signal, late.signal]);
    const timer = timeout > 0 ? this.#parts.timer(timeout * 1000, () => late.abort(timedOut(timeout))) : undefined;
    try {
      return await Promise.race([this.#call(this.#workOf(job, inputs, signal), specOf(job)), aborted(signal)]);
    } catch (thrown) {
      // Who obeys the signal may say so in words of its own.
      throw signal.aborted ? signal.reason : thrown;
    } finally {
      timer?.cancel();
    }
  }

  async #call(work: LocalWork, { action }: TaskSpec): Promise<LocalDone> {
    if (action !== 'undo') return this.#parts.actions[action as LocalActionKind].act(work);
    const {
      run,
      task,
      action: kind,
      plan,
    } = work.inputs as { run: string; task: string; action: LocalActionKind; plan: string };
    const undone = await this.#parts.actions[kind].undo?.({ run, plan, node: work.node, task, signal: work.signal });
    const output = undone ?? { restored: [], left: [] };
    return { changed: output.restored.length > 0, output };
  }

  async #wouldDo(job: Job, inputs: Json): Promise<StepResult> {
    const { action } = specOf(job);
    if (action === 'confirm') return { changed: false };
    const look = this.#parts.actions[action as LocalActionKind]?.check;
    return { changed: look === undefined || (await look(this.#workOf(job, inputs))).changed };
  }

  #workOf({ run, state, node, task, abort }: Job, inputs: Json, signal = abort.signal): LocalWork {
    const { name: plan, nodes, tasks } = state.graph;
    const place = { node: nodes[node] ?? '', task: tasks[task]?.key ?? '' };
    const { id } = run.record;
    const tell = (text: string): void => this.#parts.tell(id, place, text);
    return { run: id, plan, ...place, inputs, signal, tell };
  }

  #record({ run, revision }: Job, event: RunEvent): void {
    this.#parts.record(run.record.id, revision, event);
  }
}

function specOf({ state, task }: Job): TaskSpec {
  return state.graph.common.tasks[task] as TaskSpec;
}

/** Why a person has taken the step out. */
function leftOut({ run, task, node }: Job): string | undefined {
  return run.revision?.skip.find((one) => one.task === task && (one.nodes?.includes(node) ?? true))?.reason;
}

/** How it failed, when this revision does not try it again. */
function failedBefore({ run, task, node }: Job): StepResult | undefined {
  return run.revision?.failures?.find((one) => one.task === task && one.node === node)?.result;
}

/** A person wants the task to run again, although it ended well. */
function isAskedAgain({ run, task, node }: Job): boolean {
  return run.revision?.rerun.some((one) => one.task === task && (one.nodes?.includes(node) ?? true)) ?? false;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function secretMessage(): KkError {
  return new KkError({
    code: 'CONFIRM_SECRET',
    message: 'The question has a sensitive register in its message, which everybody who follows the run would see.',
    remedy: 'Ask without it.',
  });
}

function timedOut(seconds: number): KkError {
  return new KkError({
    code: 'TASK_TIMEOUT',
    message: `The task did not end within its ${seconds} s and was stopped.`,
    remedy: 'See its output for where it hung; raise `timeout` if it only needs longer.',
  });
}
