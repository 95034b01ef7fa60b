import { ACTIONS, type ActionKind, isActionKind } from '../../shared/actions/index.ts';
import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import type { Scope } from '../../shared/expr/index.ts';
import type { Facts } from '../../shared/facts.ts';
import type { Inputs } from '../../shared/inputs.ts';
import type { Common, Json, TaskSpec } from '../../shared/share.ts';
import type { NodeVariables } from '../../shared/variables.ts';
import { type Digest, inputsDigest } from './digest.ts';
import { maskJson } from './mask.ts';
import type { ExecutorPorts } from './ports.ts';
import type { ItemEnd, NewRecord } from './records.ts';
import type { RunRecord, StepRecord } from './state.ts';

/** What a step's work needs of the executor around it. */
export interface StepPorts extends ExecutorPorts {
  /** Writes to the journal and applies it to the state, at once; `synced` waits for the disk. */
  record(record: NewRecord): void;
  synced(): Promise<void>;
  /** Waits for a slot before the next item or attempt; false: cancelled meanwhile. `owed`: a cancel does not end the wait. */
  turn(owed?: boolean): Promise<boolean>;
  /** May something start now? Asked again right before it does. */
  mayStart(): boolean;
  /** Gives slot and lock back until the next {@link turn}. */
  rest(): void;
  /** The run's facts, gathered once. */
  facts(): Promise<Facts>;
  cancelled: AbortSignal;
  digest: Digest;
  /** Values that must be shown nowhere. */
  secrets(): readonly string[];
  /** Waits for the secrets of a step that a restart cut short; false: its run is over. */
  haveSecrets(): Promise<boolean>;
}

/** What an item of a loop adds to the variables of its step; empty without a loop. */
export type ItemVars = Readonly<Record<string, Json>>;

/** One item of a step's loop, or the step itself. */
export interface AtItem {
  item: number;
  extra: ItemVars;
}

/** How one item ended; `stopped` ones leave no record and end the step with that outcome. */
export type ItemDone = { end: ItemEnd } | ItemStopped;

export interface ItemStopped {
  stopped: 'cancelled' | 'interrupted';
  error?: ErrorReport;
  attempts: number;
}

/** One task on this node: all that the parts of its work share. */
export class StepContext {
  readonly ports: StepPorts;
  readonly run: RunRecord;
  readonly common: Common;
  readonly variables: NodeVariables;
  readonly task: number;
  readonly spec: TaskSpec;
  readonly startedAt: number;
  /** Something of it has been started in this life of the agent. */
  hasStarted = false;
  /** Changes of this step that a rollback cannot bring back, with why. */
  readonly lost: string[] = [];

  constructor(
    ports: StepPorts,
    run: RunRecord,
    common: Common,
    variables: NodeVariables,
    task: number,
    spec: TaskSpec,
  ) {
    this.ports = ports;
    this.run = run;
    this.common = common;
    this.variables = variables;
    this.task = task;
    this.spec = spec;
    this.startedAt = ports.clock.bootTimeMs();
  }

  /** What the journal says of the step. */
  get known(): StepRecord | undefined {
    return this.run.steps.get(this.task);
  }

  get kind(): ActionKind {
    const { action } = this.spec;
    if (isActionKind(action) && Object.hasOwn(ACTIONS, action)) return action;
    throw new Error(`the share names action ${action}, which was checked when it came`);
  }

  scope(more: Readonly<Record<string, Json>> = {}): Scope {
    return this.variables.scopeOf(this.spec, more);
  }

  digestOf(inputs: Inputs, scope: Scope, extra: ItemVars): string {
    return inputsDigest(this.ports.digest, this.common, this.spec, inputs, scope, extra['item']);
  }

  /** The error with everything that tells a person where it happened; nothing of what a sensitive step saw. */
  reported(error: ErrorReport): ErrorReport {
    const { file, at } = this.spec;
    const { evidence, ...rest } = maskJson(error as unknown as Json, this.ports.secrets()) as unknown as ErrorReport;
    return {
      ...rest,
      ...(evidence === undefined || this.spec.sensitive ? {} : { evidence }),
      node: this.run.share.node,
      task: this.spec.key,
      position: error.position ?? { file, line: at[0], column: at[1] },
    };
  }

  /** What was thrown, as an error; what is none of ours is a defect, and told with its stack. */
  errorOf(thrown: unknown): ErrorReport {
    if (!(thrown instanceof KkError))
      this.ports.logger.error({ err: thrown, task: this.spec.key }, 'a step failed unexpectedly');
    return reportOf(thrown);
  }
}

/**
 * Where a step keeps the outputs of its attempts, below the run's folder. Tasks may have other numbers in another revision,
 * and attempts count from 1 in each.
 */
export function folderOf({ revision }: RunRecord, task: number): string {
  return revision === 1 ? String(task) : `${revision}.${task}`;
}
