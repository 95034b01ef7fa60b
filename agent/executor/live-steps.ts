import { runsProgram } from '../../shared/actions/index.ts';
import type { TaskSpec } from '../../shared/share.ts';
import { mayFinish } from './block.ts';
import { isWaiting, type Phase, stepKey } from './schedule.ts';
import type { RunRecord } from './state.ts';

/** A step that has begun and not ended. */
export interface Live {
  readonly key: string;
  readonly run: RunRecord;
  readonly spec: TaskSpec;
  /** A cancel and a later revision let it finish. */
  readonly mayFinish: boolean;
  readonly abort: AbortController;
  /** Set while the step is queued: lets it go on (true) or tells it that it was cancelled. */
  wake?: (go: boolean) => void;
  done: Promise<void>;
}

/** The steps that have begun and not ended: which of them work, rest or wait for their turn, and which must give way. */
export class LiveSteps {
  /** By {@link stepKey}. */
  readonly phases = new Map<string, Phase>();
  readonly #live = new Map<string, Live>();
  readonly #isReplaced: (run: RunRecord) => boolean;
  readonly #changed: () => void;

  /** `changed`: called when another step may have its turn. */
  constructor(isReplaced: (run: RunRecord) => boolean, changed: () => void) {
    this.#isReplaced = isReplaced;
    this.#changed = changed;
  }

  get size(): number {
    return this.#live.size;
  }

  /** A step of these tasks begins, or is taken up, and works. */
  add(run: RunRecord, tasks: readonly TaskSpec[], task: number, spec: TaskSpec): Live {
    const key = stepKey(run.run, task);
    const abort = new AbortController();
    const live: Live = { key, run, spec, mayFinish: mayFinish(tasks, task), abort, done: Promise.resolve() };
    this.phases.set(key, 'working');
    this.#live.set(key, live);
    return live;
  }

  remove({ key }: Live): void {
    this.phases.delete(key);
    this.#live.delete(key);
  }

  of(run: RunRecord): Live[] {
    return [...this.#live.values()].filter((live) => live.run === run);
  }

  has(run: string): boolean {
    return [...this.#live.values()].some((live) => live.run.run === run);
  }

  /** Name of a step that wants the node for itself and is at work. */
  alone(): string | undefined {
    return [...this.#live.values()].find((live) => live.spec.alone && this.#isWorking(live))?.spec.name;
  }

  /** Only commands are at work, or what waits for another try: both go on with the next agent. */
  areSettled(): boolean {
    return [...this.#live.values()].every(
      (live) => runsProgram(live.spec.action) || !this.#isWorking(live) || isWaiting(live.spec),
    );
  }

  /** It was queued, and has its turn. */
  goOn(run: RunRecord, task: number): void {
    const key = stepKey(run.run, task);
    this.phases.set(key, 'working');
    this.#live.get(key)?.wake?.(true);
  }

  /** Waits until the step may go on; false: it was cancelled, or must give way. `owed`: neither ends the wait. */
  turn(live: Live, owed: boolean): Promise<boolean> {
    const { signal } = live.abort;
    if (!owed && (signal.aborted || this.#mustGiveWay(live))) return Promise.resolve(false);
    this.phases.set(live.key, 'queued');
    return new Promise((resolve) => {
      const settle = (go: boolean): void => {
        delete live.wake;
        signal.removeEventListener('abort', refuse);
        resolve(go);
      };
      const refuse = (): void => settle(false);
      live.wake = settle;
      if (!owed) signal.addEventListener('abort', refuse);
      this.#changed();
    });
  }

  /** Gives slot and lock back until its next turn. */
  rest(live: Live): void {
    this.phases.set(live.key, 'resting');
    if (this.#mustGiveWay(live)) live.abort.abort();
    this.#changed();
  }

  /** What waits gives way to the later revision at once; what is at work finishes its item or attempt. */
  giveWay(run: RunRecord): void {
    for (const live of this.of(run)) {
      const waits = !this.#isWorking(live) || isWaiting(live.spec);
      if (waits && this.#mustGiveWay(live)) live.abort.abort();
    }
  }

  /** The run is forgotten; resolves when none of its steps writes anything more. */
  async abandon(run: RunRecord): Promise<void> {
    const live = this.of(run);
    for (const one of live) {
      one.abort.abort();
      // What is owed does not heed that.
      one.wake?.(false);
    }
    await Promise.all(live.map((one) => one.done));
  }

  #isWorking({ key }: Live): boolean {
    return this.phases.get(key) === 'working';
  }

  /** A later revision waits for this step: it begins no item or attempt more, unless it holds a permit. */
  #mustGiveWay({ run, mayFinish }: Live): boolean {
    return this.#isReplaced(run) && !mayFinish;
  }
}
