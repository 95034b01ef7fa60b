import type { z } from 'zod';

/**
 * The contract of one action kind: what both sides must agree on. The controller checks inputs against it without
 * knowing how the work is done; the agent implements it (`agent/actions`).
 */
export interface ActionContract<K extends string, I extends z.ZodType, O extends z.ZodType> {
  /** The word in a task: `command: …`. */
  kind: K;
  /** Raised when a share for the new contract would be misunderstood by an older agent. */
  version: number;
  /** One line for `--help` and documentation. */
  summary: string;
  /** Inputs as a map, after {@link shorthand}. Strict: an unknown key is an error. */
  input: I;
  output: O;
  /** `command: ls` instead of `command: {shell: ls}`. Gets what is not a map; returns the map, or undefined if it makes no sense. */
  shorthand?: (value: unknown) => unknown;
  /** May it change the node? Actions that may wait for the precheck gate (ENGINE 1.5). */
  changes: boolean;
  /**
   * May it be run again after a crash without having ended? `true`: inspect tells what is left to do. A function decides
   * by the inputs (a command is repeatable when it has `creates` or `unless`).
   */
  repeatable: boolean | ((input: z.infer<I>) => boolean);
  /**
   * What a rollback can do about it (ENGINE 3.8): `restores` what was there before, from the node's undo journal; `nothing`
   * is to be done, for it changes nothing that stays; or it `cannot` tell, and only `rollback:` tasks help.
   */
  undo: 'restores' | 'nothing' | 'cannot';
  /** A lock that its steps take besides the task's own: what they use serves one at a time on a node (ENGINE 1.8). */
  lock?: string;
  /**
   * Its `src` names files of the plan (`shared/blob.ts`): the compiler puts their digests into the task, the controller holds the
   * bytes, and an agent fetches those that its own share names.
   */
  takesFiles?: true;
  /**
   * Done by the controller itself, in tasks `on: controller` (ENGINE 1.7): the list is closed, and there is no shell. Its
   * `changes` is false, for no node is changed; it is `repeatable`, since a controller that died does it again; and `undo`
   * says what the controller does about it.
   */
  place?: 'controller';
  /** Made by kk and not written by the author of a plan. */
  internal?: true;
  /** Inputs as a person writes them; tests hold it against the schema. */
  example: unknown;
}

export function defineAction<const K extends string, I extends z.ZodType, O extends z.ZodType>(
  contract: ActionContract<K, I, O>,
): Readonly<ActionContract<K, I, O>> {
  return Object.freeze(contract);
}
