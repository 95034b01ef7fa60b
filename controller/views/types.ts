import { z } from 'zod';
import { Verdict } from '../../shared/checks/outcome.ts';
import { ErrorReportShape } from '../../shared/error-report.ts';
import { Facts } from '../../shared/facts.ts';
import { RUN_STATUSES } from '../../shared/lifecycle.ts';

/**
 * Pictures for people and programs: what the operator API answers and `-o json` prints. Times are ISO 8601 in UTC,
 * durations milliseconds.
 */

/** A newer controller may say more. */
const Report = ErrorReportShape.strip();

export const RunNodeView = z.object({
  node: z.string(),
  /** waiting, working, done, failed, blocked, unreachable, cancelled, cancel undelivered. */
  state: z.string(),
  ok: z.number(),
  changed: z.number(),
  skipped: z.number(),
  failed: z.number(),
  ignored: z.number(),
  /** Failed, and a rescue made it good. */
  rescued: z.number(),
  /** Of those that are ok: done in an earlier revision of the run, and not again. */
  kept: z.number(),
  blocked: z.number(),
  pending: z.number(),
  /** Tasks at work now. */
  at: z.array(z.string()),
  error: Report.optional(),
});
export type RunNodeView = z.infer<typeof RunNodeView>;

export const RoleView = z.object({
  play: z.string(),
  role: z.string(),
  steps: z.number(),
  ended: z.number(),
  failed: z.number(),
});
export type RoleView = z.infer<typeof RoleView>;

export const FailureView = z.object({
  node: z.string(),
  task: z.string(),
  outcome: z.string(),
  error: Report.optional(),
  /** How many more steps were blocked by it. */
  blocks: z.number(),
});
export type FailureView = z.infer<typeof FailureView>;

export const ChangeView = z.object({
  node: z.string(),
  task: z.string(),
  diffs: z.array(z.object({ path: z.string(), unified: z.string() })),
});
export type ChangeView = z.infer<typeof ChangeView>;

/** A step on the critical path, with the time that its agent measured. */
export const PathStep = z.object({ node: z.string(), task: z.string(), ms: z.number() });
export type PathStep = z.infer<typeof PathStep>;

/** Where the time of a run went. */
export const RunTimes = z.object({
  /** From the start of the run to its end. */
  makespanMs: z.number(),
  /** Sum of the times on the critical path. */
  pathMs: z.number(),
  /** Share of the makespan that the critical path does not explain: the engine's own time. */
  overhead: z.number(),
  /** When each play was at work, from the start of the run; plays overlap. In plan order. */
  plays: z.array(z.object({ play: z.string(), fromMs: z.number(), untilMs: z.number() })),
  /** The longest chain of steps that had to follow each other, in order. */
  path: z.array(PathStep),
});
export type RunTimes = z.infer<typeof RunTimes>;

export const RunView = z.object({
  id: z.string(),
  name: z.string(),
  kind: z.enum(['plan', 'exec', 'check']),
  status: z.enum(RUN_STATUSES),
  /** From 1; raised by resume, retry and skip. What is told is of this one. */
  revision: z.number(),
  by: z.string(),
  created: z.string(),
  ended: z.string().optional(),
  durationMs: z.number(),
  nodes: z.array(RunNodeView),
  roles: z.array(RoleView),
  failures: z.array(FailureView),
  changes: z.array(ChangeView),
  verdicts: z.array(Verdict.extend({ node: z.string() })),
  /** Of a dry run: steps of which it cannot be told what they would do. */
  unknown: z.array(z.object({ node: z.string(), task: z.string(), why: z.string() })),
  /** Of a run that has ended. */
  times: RunTimes.optional(),
  /** Runs this one waits for: who holds which of its nodes, since when. */
  /** What it waits for a person to confirm. */
  asks: z.array(z.object({ node: z.string(), task: z.string(), message: z.string() })).default([]),
  waitingFor: z.array(
    z.object({ run: z.string(), name: z.string(), by: z.string(), since: z.string(), nodes: z.array(z.string()) }),
  ),
  /** How the present revision came about; absent: it is the first. */
  revised: z
    .object({
      how: z.string(),
      by: z.string(),
      at: z.string(),
      /** With `voided`: the node that lost its journal, and does again what it knows no more. */
      node: z.string().optional(),
      /** Tasks that a person has taken out; without `nodes`: everywhere. */
      skip: z.array(z.object({ task: z.string(), reason: z.string(), nodes: z.array(z.string()).optional() })),
    })
    .optional(),
});
export type RunView = z.infer<typeof RunView>;

export const RunSummary = RunView.pick({
  id: true,
  name: true,
  kind: true,
  status: true,
  revision: true,
  by: true,
  created: true,
  ended: true,
  durationMs: true,
});
export type RunSummary = z.infer<typeof RunSummary>;

export const NodeView = z.object({
  name: z.string(),
  connected: z.boolean(),
  revoked: z.boolean(),
  version: z.string(),
  arch: z.string(),
  address: z.string().optional(),
  lastSeen: z.string().optional(),
  /** As when its certificate ends: '' until it connects for the first time. */
  joined: z.string(),
  certificateEnds: z.string(),
  machineId: z.string(),
  /** DUPLICATE_IDENTITY and the like: why the node is held. */
  held: z.string().optional(),
  /** Of the fleet, by the token it joined with. */
  groups: z.array(z.string()).optional(),
  /** "<version>-<digest>" of its executable; absent: not connected, or not installed by kk. */
  release: z.string().optional(),
  /** It is no node yet: a person has to approve it. */
  pending: z
    .object({
      state: z.enum(['pending', 'approved', 'rejected']),
      /** Of its key. */
      fingerprint: z.string(),
      token: z.string(),
      asked: z.string(),
      expires: z.string(),
      /** Who decided. */
      by: z.string().optional(),
      /** What the machine says of itself. */
      machine: z
        .object({
          hostname: z.string(),
          os: z.string(),
          kernel: z.string(),
          arch: z.string(),
          version: z.string(),
          cpus: z.number(),
          memory: z.number(),
        })
        .optional(),
    })
    .optional(),
});
export type NodeView = z.infer<typeof NodeView>;

/** What a node told of itself; `facts` and `at` absent: nothing yet. */
export const FactsView = z.object({ node: z.string(), at: z.string().optional(), facts: Facts.optional() });
export type FactsView = z.infer<typeof FactsView>;

/** `uninstalled` false: the machine was not there, and only forgotten. */
export const RemovedView = z.object({ node: z.string(), uninstalled: z.boolean() });
export type RemovedView = z.infer<typeof RemovedView>;

export const TokenView = z.object({
  id: z.string(),
  name: z.string().optional(),
  replace: z.string().optional(),
  names: z.string().optional(),
  cidrs: z.array(z.string()).optional(),
  groups: z.array(z.string()).optional(),
  approve: z.boolean().optional(),
  usesLeft: z.number(),
  created: z.string(),
  expires: z.string(),
});
export type TokenView = z.infer<typeof TokenView>;

/** What a next revision of a run will do anew; everything else that ended well is kept. */
export const AgainView = z.object({
  task: z.string(),
  nodes: z.array(z.string()),
  /** `changed`: its definition is another one; `not done`: it has not ended well. */
  why: z.enum(['new', 'changed', 'not done', 'asked for']),
  /** False: it was done, cannot be done twice without harm, and runs only when asked for with --rerun. */
  repeatable: z.boolean(),
});
export type AgainView = z.infer<typeof AgainView>;

export const RevisedView = z.object({ run: z.string(), revision: z.number(), again: z.array(AgainView) });
export type RevisedView = z.infer<typeof RevisedView>;

/** What a backup says of itself. */
export const BackupView = z.object({
  version: z.string(),
  fleetId: z.string(),
  created: z.string(),
  logs: z.boolean(),
});
export type BackupView = z.infer<typeof BackupView>;

export const StatusView = z.object({
  version: z.string(),
  fleetId: z.string(),
  generation: z.number(),
  pid: z.number(),
  stateFolder: z.string(),
  endpoints: z.array(z.string()),
  /** Every join waits for a person, whatever its token says. */
  approve: z.boolean().optional(),
  started: z.string(),
  nodes: z.object({ known: z.number(), connected: z.number() }),
  /** Why nothing new starts until `runs adopt`. */
  held: z.string().optional(),
  runs: z.array(RunSummary),
});
export type StatusView = z.infer<typeof StatusView>;

/** One line of the stream of a run: what `apply`, `logs -f` and `exec` follow. */
export const StreamLine = z.discriminatedUnion('type', [
  /** First line, and again whenever the reader should start over. */
  z.object({ type: z.literal('run'), run: RunView }),
  z.object({
    type: z.literal('node'),
    at: z.string(),
    node: z.string(),
    state: z.string(),
    phase: z.string().optional(),
    error: Report.optional(),
  }),
  z.object({
    type: z.literal('begun'),
    at: z.string(),
    node: z.string(),
    task: z.string(),
    name: z.string(),
    role: z.string(),
    play: z.string(),
    /** It waits until a person has confirmed this. */
    asks: z.string().optional(),
  }),
  z.object({
    type: z.literal('ended'),
    at: z.string(),
    node: z.string(),
    task: z.string(),
    name: z.string(),
    role: z.string(),
    play: z.string(),
    outcome: z.string(),
    /** Of a dry run: it would. */
    changed: z.boolean(),
    /** It ended so in an earlier revision of the run, and nothing was done. */
    kept: z.boolean(),
    check: z.boolean(),
    ignored: z.boolean(),
    /** It failed where a rescue takes it up. */
    caught: z.boolean(),
    durationMs: z.number(),
    error: Report.optional(),
    reason: z.string().optional(),
    output: z.json().optional(),
    diffs: z.array(z.object({ path: z.string(), unified: z.string() })).optional(),
    verdict: Verdict.optional(),
  }),
  z.object({
    type: z.literal('blocked'),
    at: z.string(),
    node: z.string(),
    tasks: z.array(z.string()),
    cause: z.string(),
    cancelled: z.boolean(),
  }),
  z.object({
    type: z.literal('log'),
    at: z.string(),
    node: z.string(),
    task: z.string(),
    stream: z.enum(['stdout', 'stderr']),
    offset: z.number(),
    text: z.string(),
  }),
  /** How far a step of the controller's own is. */
  z.object({ type: z.literal('progress'), at: z.string(), node: z.string(), task: z.string(), text: z.string() }),
  /** What a person asked of the run while it was at work. */
  z.object({ type: z.literal('asked'), at: z.string(), by: z.string(), what: z.string() }),
  /** The last line. */
  z.object({ type: z.literal('finished'), run: RunView }),
]);
export type StreamLine = z.infer<typeof StreamLine>;

/** A task on some nodes, with a word about it. */
export const TaskOnNodes = z.object({ task: z.string(), nodes: z.array(z.string()), why: z.string() });

/** What a rollback undoes of a run, and what it cannot. */
export const RollbackView = z.object({
  /** The run that is undone. */
  of: z.string(),
  /** The run that undoes it; absent: none was started. */
  run: z.string().optional(),
  /** In the order of undoing; `why`: how. Empty: nothing is left to undo. */
  undoes: z.array(TaskOnNodes),
  /** What stays as it is. */
  cannot: z.array(TaskOnNodes),
});
export type RollbackView = z.infer<typeof RollbackView>;

/** Text messages of a shell's WebSocket; binary ones are what the program prints. Credit is bytes that may be typed. */
export const ShellLine = z.discriminatedUnion('type', [
  z.object({ type: z.literal('opened'), credit: z.number() }),
  z.object({ type: z.literal('taken'), bytes: z.number() }),
  z.object({ type: z.literal('ended'), code: z.number(), signal: z.number() }),
  z.object({ type: z.literal('error'), error: Report }),
]);
export type ShellLine = z.infer<typeof ShellLine>;
