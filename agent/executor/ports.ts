/** What the executor is given: hands, clock, actions. Everything that tests replace. */
import type { ActionKind } from '../../shared/actions/index.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import type { Facts } from '../../shared/facts.ts';
import type { LogChunk } from '../../shared/protocol/messages.ts';
import type { ActionContext, ActionExecutor } from '../actions/executor.ts';
import type { Host } from '../host/host.ts';

/** Waiting, handed in so that tests drive it. */
export interface Clock {
  /** CLOCK_BOOTTIME in milliseconds: every duration and the lease are counted with it. */
  bootTimeMs(): number;
  /** Wall clock, for reports only. */
  nowMs(): number;
  /** Calls `then` once after `ms`; the answer cancels it. */
  after(ms: number, then: () => void): () => void;
}

/** One executor for each action kind of the catalogue. */
export type ActionTable = { readonly [K in ActionKind]: ActionExecutor<K> };

/** Says things to the node's journal (the system's, not ours); fields never hold secrets. */
export interface Logger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** What a step is about to change, and what it will leave. */
type Remembering = Parameters<ActionContext['remember']>;

/** The agent's own state on disk that the executor needs. */
export interface ExecutorPorts {
  host: Host;
  clock: Clock;
  actions: ActionTable;
  /** What a command's output says about failure, when the task has no failed_when. */
  commandFailure(output: unknown): ErrorReport | undefined;
  /** Keeps how a resource is before a step changes it; answers why that cannot be undone, if so (agent/undo). */
  remember(step: { run: string; task: string; item: number }, ...what: Remembering): Promise<string | undefined>;
  /**
   * The value of a secret of a run, from the controller. Throws when it cannot be had now; it is asked for again, unless the
   * controller refuses it for good (shared/secrets.ts).
   */
  secret(run: string, name: string, signal: AbortSignal): Promise<string>;
  gatherFacts(host: Host): Promise<Facts>;
  bootId: string;
  /** Folder of the outputs: `<runs>/<run>/<task>/<item>.<attempt>`. */
  runsFolder: string;
  /** At the start: takes away what actions left outside the folders of their attempts, but for those that are in use. */
  sweep(inUse: readonly string[]): Promise<void>;
  /** Live output for people; may be lost. */
  onLog(chunk: LogChunk): void;
  logger: Logger;
}
