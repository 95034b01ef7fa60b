import type { BlobRef } from '../../shared/blob.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import type { Vars } from '../../shared/share.ts';
import type { Sources } from '../plan/types.ts';
import type {
  BackupView,
  FactsView,
  NodeView,
  RemovedView,
  RevisedView,
  RollbackView,
  RunSummary,
  RunView,
  StatusView,
  StreamLine,
  TokenView,
} from '../views/types.ts';

export interface ApplyOptions {
  runVars: Vars;
  tags: string[];
  skipTags: string[];
  skipPrechecks: boolean;
  /** Run the precheck plays and nothing else (`kk-controller precheck`). */
  prechecksOnly: boolean;
  /** The run is rolled back by itself when it fails. */
  autoRollback: boolean;
  /** A dry run: agents look and change nothing. */
  check: boolean;
  /** False: refused (NODE_LOCKED) when another run holds one of its nodes, instead of queued. */
  wait: boolean;
  by: string;
}

export interface ResumeOptions extends ApplyOptions {
  /** Default: the last run of the plan's name. */
  run?: string;
  /** Tasks that run again although they ended ok. */
  rerun: string[];
}

/** What `retry` is about; both empty: everything that failed. */
export interface RetryWish {
  nodes: string[];
  tasks: string[];
  by: string;
}

/** What `rollback` undoes; `to`, `tasks` and `nodes` unstated: all of the run. */
export interface RollbackWish {
  /** Everything that depends on this task. */
  to?: string;
  tasks: string[];
  nodes: string[];
  withDependents: boolean;
  /** False: only tells what it would do. */
  start: boolean;
  by: string;
}

export interface SkipWish {
  task: string;
  reason: string;
  /** Empty: wherever the task runs. */
  nodes: string[];
  by: string;
}

export interface ExecRequest {
  /** Of the nodes the fleet knows, with the groups of the last plan and the facts told last (operations/select-nodes). */
  selector: string[];
  /** Several words are a program and its arguments; one word is a line of shell. */
  argv: [string, ...string[]];
  timeoutSeconds: number;
  /** So many nodes at a time; undefined: all. */
  forks: number | undefined;
  by: string;
}

/** An ad-hoc run that was started. */
export interface Started {
  run: string;
  nodes: number;
  /** Nodes that an expression of the selector passed over because they have told no facts yet. */
  withoutFacts: string[];
}

/** Who looks for whom; `from` unstated: the first node that is connected. */
export interface ScanWish {
  /** `10.0.0.0/24`, or one address. */
  network: string;
  ports: number[];
  timeoutSeconds: number;
  from: string | undefined;
  by: string;
}

export interface CopyRequest {
  direction: 'to' | 'from';
  selector: string[];
  /** Paths are absolute on both sides; `blobs`: what is copied to nodes, by `blobName`. */
  copies: { from: string; to: string; blobs: Record<string, BlobRef> }[];
  by: string;
}

/** A program on a terminal of a node. */
export interface ShellWish {
  node: string;
  /** Default: root. */
  user?: string;
  /** None: the user's login shell; one word is a line of shell; several are a program and its arguments. */
  argv: string[];
  /** TERM of the person's terminal, and its size. */
  term: string;
  columns: number;
  rows: number;
  /** Also while a step of the node is alone. */
  now: boolean;
  by: string;
}

/** What a shell shows to its person. */
export interface ShellScreen {
  /** The program runs; so many bytes may be typed. */
  opened(credit: number): void;
  /** Resolves when the bytes are on their way: until then they are counted as not taken. */
  show(data: Uint8Array): Promise<void>;
  /** So many bytes more may be typed. */
  taken(bytes: number): void;
  /** Once, the last of all; not after {@link ShellKeys.close}. */
  ended(end: { code: number; signal: number } | { report: ErrorReport }): void;
}

/** What the person does. */
export interface ShellKeys {
  type(data: Uint8Array): void;
  resize(columns: number, rows: number): void;
  /** The person is gone. */
  close(): void;
}

/** What an operator can ask of a controller; the routes of the operator API call it, `compose` makes it. */
export interface Operations {
  status(): Promise<StatusView>;
  /** Checks, compiles and starts a run. All problems of the plan come back together and nothing is touched. */
  apply(sources: Sources, options: ApplyOptions): Promise<{ run: string } | { problems: ErrorReport[] }>;
  /** Goes on with a run that failed or was cancelled, by the perhaps mended plan; keeps what was done with the same inputs. */
  resume(sources: Sources, options: ResumeOptions): Promise<RevisedView | { problems: ErrorReport[] }>;
  /** Tries again what failed in a run. Throws KkError RUN_NOT_RESUMABLE, RUN_SUPERSEDED, TASK_UNKNOWN, NODE_NOT_IN_RUN. */
  retry(id: string, wish: RetryWish): Promise<RevisedView>;
  /** Takes a task out of a run, which then goes on. */
  skip(id: string, wish: SkipWish): Promise<RevisedView>;
  /** Undoes what a run that has ended did, in a run of its own. Throws KkError RUN_UNKNOWN, ROLLBACK_*. */
  rollback(id: string, wish: RollbackWish): Promise<RollbackView>;
  exec(request: ExecRequest): Promise<Started>;
  /** Has nodes tell their facts anew, in a run whose steps have them as output. */
  gatherFacts(wish: { selector: string[]; by: string }): Promise<Started>;
  /** Has a node look which addresses answer. Throws KkError SCAN_NETWORK, NODES_AWAY, SELECTOR_*. */
  scan(wish: ScanWish): Promise<{ run: string; node: string }>;
  /** The facts of nodes as they were told last; without them where none were. */
  facts(selector: string[]): Promise<FactsView[]>;
  /** Copies to or from nodes. Throws KkError SELECTOR_*, BLOBS_MISSING. */
  copy(request: CopyRequest): Promise<Started>;
  /** Those of the digests whose file is not there yet; the others are kept for some days more. */
  missingBlobs(digests: string[]): Promise<string[]>;
  /** Takes in a file that a plan names. Throws KkError BLOB_CHANGED, DISK_FULL. */
  addBlob(sha256: string, bytes: AsyncIterable<Uint8Array>): Promise<void>;
  /** Opens a terminal on a node. Throws KkError NODE_UNKNOWN, NODE_NOT_CONNECTED, AGENT_TOO_OLD. */
  shell(wish: ShellWish, screen: ShellScreen): ShellKeys;
  /** Newest first. */
  runs(limit: number): Promise<RunSummary[]>;
  /** `id` may be a unique prefix, or `last`. Throws KkError RUN_UNKNOWN. */
  run(id: string): Promise<RunView>;
  /** Past lines, revision after revision, then live ones, until `finished`. Not `live`: ends with the past ones. */
  follow(id: string, options: FollowWish, signal: AbortSignal): AsyncIterable<StreamLine>;
  /** `force`: kills also what holds a permit. */
  cancel(id: string, wish: { by: string; force: boolean }): Promise<void>;
  /** Nothing new starts until `unpause`. */
  pause(id: string, by: string): Promise<void>;
  unpause(id: string, by: string): Promise<void>;
  /** Says yes or no to what a run waits for. Throws KkError CONFIRM_NOT_ASKED. */
  confirm(id: string, answer: { yes: boolean; by: string; task?: string }): Promise<void>;
  /** Names of the clusters of which a kubeconfig is kept. */
  clusters(): Promise<string[]>;
  /** Throws KkError KUBECONFIG_UNKNOWN. */
  kubeconfig(cluster: string): Promise<string>;
  /** After agents have met a newer controller: goes on with one run, or with all. Returns their ids. */
  adopt(id: string | undefined, by: string): Promise<string[]>;
  /** Frees a permit that a failed step keeps. */
  releasePermit(id: string, wish: { name: string; by: string }): Promise<void>;
  /** Writes the whole state into one file. Throws KkError BACKUP_EXISTS, BACKUP_NOT_WRITABLE. */
  backup(file: string, logs: boolean): Promise<BackupView>;
  nodes(): Promise<NodeView[]>;
  revoke(name: string): Promise<NodeView>;
  /** Takes the agent off a node and forgets the node. Throws KkError NODE_UNKNOWN, NODE_AWAY, NODE_BUSY. */
  removeNode(name: string, wish: { force: boolean; by: string }): Promise<RemovedView>;
  /** One line per change of phase, then per result. Throws KkError SELECTOR_UNKNOWN, SELECTOR_EMPTY. */
  upgrade(wish: UpgradeWish, signal: AbortSignal): AsyncIterable<UpgradeLine>;
  /** Lets a machine in that waits, or not. Throws KkError JOIN_NOT_PENDING. */
  decideJoin(
    name: string,
    decision: { what: 'approved' | 'rejected'; fingerprint: string; by: string },
  ): Promise<NodeView>;
  createToken(wish: NewToken): Promise<{ text: string; token: TokenView }>;
  tokens(): Promise<TokenView[]>;
  deleteToken(id: string): Promise<void>;
  /** The line to paste on a node, with a new token in it; with `cloudInit` the same as user-data, too. */
  joinCommand(
    wish: NewToken & { endpoint?: string; cloudInit?: boolean },
  ): Promise<{ command: string; token: TokenView; userData?: string }>;
  /** Puts the agent on nodes of an inventory by SSH, without a run; one line per change of phase, then per result. */
  bootstrap(sources: Sources, nodes: string[], signal: AbortSignal): AsyncIterable<BootstrapLine>;
}

/** Replaces the agents of the selected nodes by the packaged one. */
export interface UpgradeWish {
  /** As for exec; empty: all. */
  selector: string[];
  /** Nodes at once. */
  batch: number;
  /** From the start of a new agent to its Welcome; after it the node goes back by itself. */
  limitSeconds: number;
}

export interface UpgradeLine {
  node: string;
  phase: string;
  done: boolean;
  /** With `done`: `newest`: it was; `left`: not begun, because an earlier one failed. */
  result?: 'upgraded' | 'newest' | 'failed' | 'left';
  error?: ErrorReport;
}

/** A join token to be made (pki/tokens.ts TokenWish). */
export interface NewToken {
  ttlSeconds: number;
  uses: number;
  name?: string;
  replace?: string;
  names?: string;
  cidrs?: string[];
  groups?: string[];
  approve?: boolean;
}

export interface FollowWish {
  logs: boolean;
  live: boolean;
  /** Tells nothing of the revisions before this one; default: from the beginning. */
  revision?: number;
}

export interface BootstrapLine {
  node: string;
  phase: string;
  done: boolean;
  error?: ErrorReport;
}
