import type { ErrorReport } from '../../shared/errors.ts';
import type { Vars } from '../../shared/share.ts';
import type { Sources } from '../plan/types.ts';
import type { NodeView, RunSummary, RunView, StatusView, StreamLine, TokenView } from '../views/types.ts';

export interface ApplyOptions {
  runVars: Vars;
  tags: string[];
  skipTags: string[];
  skipPrechecks: boolean;
  /** Run the precheck plays and nothing else (`kk-controller precheck`). */
  prechecksOnly: boolean;
  by: string;
}

export interface ExecRequest {
  /** Group and node names, `!x` excludes; against the nodes the fleet knows and the groups of the last plan. */
  selector: string[];
  /** Several words are a program and its arguments; one word is a line of shell. */
  argv: [string, ...string[]];
  timeoutSeconds: number;
  by: string;
}

/** What an operator can ask of a controller; the routes of the operator API call it, `compose` makes it. */
export interface Operations {
  status(): Promise<StatusView>;
  /** Checks, compiles and starts a run. All problems of the plan come back together and nothing is touched. */
  apply(sources: Sources, options: ApplyOptions): Promise<{ run: string } | { problems: ErrorReport[] }>;
  exec(request: ExecRequest): Promise<{ run: string }>;
  /** Newest first. */
  runs(limit: number): Promise<RunSummary[]>;
  /** `id` may be a unique prefix, or `last`. Throws KkError RUN_UNKNOWN. */
  run(id: string): Promise<RunView>;
  /** From the beginning of the run: past lines, then live ones, until `finished`. Not `live`: ends with the past ones. */
  follow(id: string, options: { logs: boolean; live: boolean }, signal: AbortSignal): AsyncIterable<StreamLine>;
  cancel(id: string, by: string): Promise<void>;
  nodes(): Promise<NodeView[]>;
  revoke(name: string): Promise<NodeView>;
  createToken(wish: {
    ttlSeconds: number;
    uses: number;
    name?: string;
    replace?: string;
  }): Promise<{ text: string; token: TokenView }>;
  tokens(): Promise<TokenView[]>;
  deleteToken(id: string): Promise<void>;
  /** The line to paste on a node, with a new token in it. */
  joinCommand(wish: {
    ttlSeconds: number;
    uses: number;
    name?: string;
    replace?: string;
    endpoint?: string;
  }): Promise<{ command: string; token: TokenView }>;
  /** Puts the agent on nodes of an inventory by SSH, without a run; one line per change of phase, then per result. */
  bootstrap(sources: Sources, nodes: string[], signal: AbortSignal): AsyncIterable<BootstrapLine>;
}

export interface BootstrapLine {
  node: string;
  phase: string;
  done: boolean;
  error?: ErrorReport;
}
