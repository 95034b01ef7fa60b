import type { ActionInput, ActionKind, ActionOutput } from '../../shared/actions/index.ts';
import type { BlobRef } from '../../shared/blob.ts';
import type { Facts } from '../../shared/facts.ts';
import type { Diff } from '../../shared/share.ts';
import type { Host } from '../host/host.ts';
import type { Image, Resource } from '../undo/image.ts';

/** Nothing was started, for the lease has run out or the run is held: the step waits for its turn again (ENGINE 2.6). */
export class Postponed extends Error {}

/** What an action may use. */
export interface ActionContext {
  host: Host;
  /** Aborted by cancel, by `--force`, and by the step's timeout. */
  signal: AbortSignal;
  /**
   * The step's timeout in milliseconds; absent or 0: none. `signal` keeps it too; a command hands it to its wrapper, which
   * keeps it when the agent is away.
   */
  timeoutMs?: number;
  /**
   * Asked right before something starts on the node: the disk, or a sleep of the machine, may have held the step up since it
   * was let go on. Throws {@link Postponed} when nothing may start now.
   */
  starting(): void;
  /** Which step it is, for what is told to the controller of it. */
  step: { run: string; task: number };
  /** A folder of this attempt's own below the agent's state; made on demand by whoever writes there. */
  folder: string;
  /** Live output for people. */
  log(stream: 'stdout' | 'stderr', offset: number, data: Uint8Array): void;
  /** Fresh facts of the node, gathered once per run and shared by its steps. */
  facts(): Promise<Facts>;
  /** The address of this node in the inventory. */
  node: { name: string; address: string; groups: string[] };
  /** Text of a file of the task's role, by its path in the role: `templates/x`, `files/x`; undefined: not shipped. */
  roleFile(path: string): string | undefined;
  /** The files that the task's `src` may name, by `blobName`; their bytes come from the controller. */
  blobs: Readonly<Record<string, BlobRef>>;
  /** Renders a template text with the step's variables (used by `file: {template: …}`; `file` as in {@link roleFile}); throws KkError with file:line. */
  render(text: string, file: string): string;
  /**
   * Keeps how a resource is, so that a rollback can bring it back (ENGINE 3.8); awaited before it is changed. `after`: what
   * is about to be left. What cannot be kept is told to people before the change.
   */
  remember(resource: Resource, after: Image): Promise<void>;
  /** Set when the agent is recovering this very attempt: the boot in which it began. */
  recovering?: { bootId: string };
  /** Nothing of what it sees may be shown. */
  sensitive?: true;
  /** Nothing on the node may be written, by those that only look neither; throw {@link Unknown} where that would be needed. */
  dryRun?: true;
}

/**
 * `already`: the node is as wanted and apply is not called. For a dry run, `changed: false`: what is left to do changes
 * nothing on the node; `foreseen`: what apply would give, as far as it is known.
 */
export type Inspected<O> =
  | { already: true; output: O }
  | { already: false; diffs?: Diff[]; changed?: false; foreseen?: O };

export interface Applied<O> {
  output: O;
  /** Default true: apply is only called when something was to do. */
  changed?: boolean;
  diffs?: Diff[];
}

/** One action kind on the agent. `inspect` never writes. Both throw KkError for what a person can mend. */
export interface ActionExecutor<K extends ActionKind> {
  inspect(input: ActionInput<K>, context: ActionContext): Promise<Inspected<ActionOutput<K>>>;
  apply(input: ActionInput<K>, context: ActionContext): Promise<Applied<ActionOutput<K>>>;
}
