import type { LocalActionKind } from '../../../shared/actions/local.ts';
import type { Json } from '../../../shared/share.ts';

/** A step `on: controller`, with its inputs evaluated and checked against the contract of its kind. */
export interface LocalWork {
  /** The run's id. */
  run: string;
  /** The name of the plan: what is kept beyond the run is kept under it. */
  plan: string;
  /** The node it is done for: with `per` the member, else the first of the play. */
  node: string;
  /** The task's key. */
  task: string;
  inputs: Json;
  /** Aborted when the run is cancelled, or its time is over. */
  signal: AbortSignal;
  /** How far it is, for who watches the run; kept nowhere. Absent: nobody does. */
  tell?: (text: string) => void;
}

/** What one has done. `output` is what `register` keeps: after the contract, 64 KiB at most, and never a secret. */
export interface LocalDone {
  changed: boolean;
  output: Json;
}

/**
 * One kind of work of the controller's own. It may be called again for a step that it has done already, when the
 * controller died before the end was stored: it then finds it done. Errors: KkError, each with what to do.
 */
export type LocalAction = (work: LocalWork) => Promise<LocalDone>;

/**
 * Takes back what the step did in `run` (ENGINE 3.8). Called only when it did, or may have done, something; again when the
 * controller died in its middle. `work.run` is the run that is undone. Resolves with what was brought back, for people, and
 * what was left and why.
 */
export type LocalUndo = (work: Omit<LocalWork, 'inputs' | 'tell'>) => Promise<{ restored: string[]; left: string[] }>;

/** What the controller can do, by kind; `compose` hands it in. */
export type LocalActions = {
  readonly [K in LocalActionKind]: {
    act: LocalAction;
    undo?: LocalUndo;
    /** Dry run: `changed` says whether it would do anything, and nothing is done. Absent: it would. */
    check?: (work: LocalWork) => Promise<{ changed: boolean }>;
  };
};
