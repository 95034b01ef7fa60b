import { z } from 'zod';
import { BlobRef } from './blob.ts';
import { ErrorReportShape } from './error-report.ts';

/**
 * What a node is given to do. A push carries two JSON documents: `Common`, the same bytes for every node of the run
 * (sent once, cached by digest), and `Share`, the little that differs (ENGINE 2.8). Protobuf frames carry them as bytes:
 * action inputs are JSON-shaped by nature, since a person wrote them as YAML.
 */
export const SHARE_FORMAT = 1;

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export const Json: z.ZodType<Json> = z.lazy(() =>
  z.union([z.null(), z.boolean(), z.number(), z.string(), z.array(Json), z.record(z.string(), Json)]),
);

export type Vars = { [name: string]: Json };
const Vars = z.record(z.string(), z.json()) as unknown as z.ZodType<Vars>;

/** [line, column], from 1, in the task's file. */
export type Place = [line: number, column: number];
const Place = z.tuple([z.int().min(0), z.int().min(0)]);

/** A condition or expression as written, with its place. */
export const SourceText = z.strictObject({ text: z.string(), at: Place });
export type SourceText = z.infer<typeof SourceText>;

/**
 * What must be satisfied before a step starts. `task`: the step of that task on the same node (no such step: satisfied).
 * `gate`: a cross-node edge; shut until the controller opens it. Gate names: `all/3`, `first/3`, `any/3` (task 3),
 * `value/3@cp1` (task 3's register on cp1), `batch/1/0` (play 1's batch 0), `precheck`; and `same/3`: the controller has done
 * task 3 for this very node. Its values are a map of names that are bound on the node when it opens (null in a dry run: nobody
 * can say).
 */
export const Need = z.union([z.strictObject({ task: z.int().min(0) }), z.strictObject({ gate: z.string().max(300) })]);
export type Need = z.infer<typeof Need>;

export const RegisterType = z.enum(['string', 'integer', 'number', 'boolean', 'list', 'map', 'any']);
export type RegisterType = z.infer<typeof RegisterType>;

/** The three parts of a block, in the order in which they may run on a node. */
export const BlockPart = z.enum(['block', 'rescue', 'always']);
export type BlockPart = z.infer<typeof BlockPart>;

/** Files that a task's `src` may name, by `blobName`. */
const Blobs = z.record(z.string().max(4200), BlobRef);

const Register = z.strictObject({ name: z.string(), type: RegisterType, pattern: z.string().optional() });

/**
 * A task that restores a known state after an interruption, before its step runs again (ENGINE 3.3). It may be repeated, and
 * is evaluated with the variables of its step, the loop's item, and the registers of those before it.
 */
export const RecoverTask = z.strictObject({
  name: z.string(),
  at: Place,
  action: z.string(),
  inputs: z.json() as unknown as z.ZodType<Json>,
  places: z.record(z.string(), Place),
  when: z.array(SourceText),
  vars: Vars,
  /** Seconds; 0 = no limit. */
  timeout: z.number().min(0),
  register: Register.optional(),
  blobs: Blobs.optional(),
});
export type RecoverTask = z.infer<typeof RecoverTask>;

export const TaskSpec = z.strictObject({
  /** Stable identity across runs: `play/role/task`. */
  key: z.string(),
  name: z.string(),
  play: z.int().min(0),
  role: z.string(),
  /** The file that states the task; `at` and `places` are positions in it. */
  file: z.string(),
  at: Place,
  /** Done by the controller itself (ENGINE 1.7): it is in no node's share. */
  place: z.literal('controller').optional(),
  /** A kind of the catalogue, or `block`: begun before its parts and ended after them, see shared/blocks.ts. */
  action: z.string(),
  /** The block, by its task's index, that the task is a direct member of. */
  within: z.strictObject({ block: z.int().min(0), part: BlockPart }).optional(),
  /** The action's inputs as written; strings may hold templates. */
  inputs: z.json() as unknown as z.ZodType<Json>,
  /** Place of each templated string in `inputs`, `vars` and `loop`: key is a JSON pointer such as `/inputs/content`. */
  places: z.record(z.string(), Place),
  needs: z.array(Need),
  when: z.array(SourceText),
  /** A list, or a template that yields one. */
  loop: (z.json() as unknown as z.ZodType<Json>).optional(),
  /** `name` is bound on this node; `exported` ones travel to the controller with the step's end, because a gate reads them. */
  register: Register.extend({
    exported: z.boolean(),
    /**
     * Public key of the controller (X25519, DER in base64): of a sensitive task whose register the controller itself reads. It
     * travels, and is kept, sealed for that key (shared/seal.ts, ENGINE 2.7).
     */
    seal: z.string().max(200).optional(),
  }).optional(),
  /** Other nodes' registers that this task reads: `node('cp1').token` is answered from gate `value/3@cp1`. */
  reads: z.array(
    z.strictObject({
      node: z.string(),
      register: z.string(),
      gate: z.string(),
      /** Known from an earlier run, as far as there was a value: no gate brings it. */
      known: z.strictObject({ value: (z.json() as unknown as z.ZodType<Json>).optional() }).optional(),
    }),
  ),
  until: SourceText.optional(),
  retries: z.int().min(0),
  /** Seconds between attempts. */
  delay: z.number().min(0),
  /** Seconds for one attempt; 0 = no limit. */
  timeout: z.number().min(0),
  failedWhen: z.array(SourceText),
  changedWhen: z.array(SourceText),
  vars: Vars,
  ignoreErrors: z.boolean(),
  lock: z.string().optional(),
  alone: z.boolean(),
  permit: z.strictObject({ name: z.string(), count: z.int().min(1) }).optional(),
  sensitive: z.boolean(),
  onInterrupt: z.enum(['fail', 'rerun']),
  /** In order; absent: none. */
  recover: z.array(RecoverTask).optional(),
  blobs: Blobs.optional(),
  /** Secrets that its texts ask for, by name; their values come from the controller when the step starts. Absent: none. */
  secrets: z.array(z.string().max(63)).optional(),
});
export type TaskSpec = z.infer<typeof TaskSpec>;

export const Common = z.strictObject({
  format: z.literal(SHARE_FORMAT),
  tasks: z.array(TaskSpec),
  /** Variables by rising precedence: role defaults (per role), inventory, groups, [host: in the share], plan config, run time. */
  roleDefaults: z.record(z.string(), Vars),
  inventoryVars: Vars,
  groups: z.record(z.string(), z.strictObject({ nodes: z.array(z.string()), vars: Vars })),
  /** Every node of the inventory; `groups` from the widest to the narrowest, so that later ones win. */
  nodes: z.record(z.string(), z.strictObject({ address: z.string(), groups: z.array(z.string()) })),
  planVars: Vars,
  runVars: Vars,
  /** Role templates and files by `role/templates/x` or `role/files/x`. */
  files: z.record(z.string(), z.string()),
});
export type Common = z.infer<typeof Common>;

/**
 * What becomes, in a revision above 1, of the steps that the node ended in earlier ones (ENGINE 3.4). A step that ended ok
 * and whose evaluated inputs are the same is kept: it ends again at once, `kept`, and nothing is done.
 */
export const Revised = z.strictObject({
  /** False: failed, interrupted and blocked steps of this node end again as they had. */
  retryFailed: z.boolean(),
  /** Tasks that run again although they ended ok; also one that is not idempotent and whose inputs have changed. */
  rerun: z.array(z.int().min(0)),
  /** Tasks that a person has taken out; they end skipped, with the reason. */
  skip: z.array(z.strictObject({ task: z.int().min(0), reason: z.string().max(1000) })),
});
export type Revised = z.infer<typeof Revised>;

export const Share = z.strictObject({
  format: z.literal(SHARE_FORMAT),
  node: z.string(),
  /** `exec` runs outside the four slots and takes no node lock (ENGINE 2.10). */
  kind: z.enum(['plan', 'exec']),
  /** A dry run: steps are inspected, nothing on the node is written. `changed` then means: would change. */
  check: z.literal(true).optional(),
  /** Of revision 2 and up. */
  revised: Revised.optional(),
  /** Indexes into `Common.tasks`, rising. */
  tasks: z.array(z.int().min(0)),
  hostVars: Vars,
  /** What registers hold from the start: of a rollback, what the run that it undoes had bound here. */
  bindings: Vars.optional(),
  /** play index -> this node's batch (plays with `serial` only). */
  batches: z.record(z.string(), z.int().min(0)),
});
export type Share = z.infer<typeof Share>;

/** One unit of captured output: head and tail of the stream, the whole of it on the node (ENGINE 3.1). */
export const Captured = z.strictObject({
  head: z.string(),
  tail: z.string(),
  /** Bytes the command wrote; more than head + tail means that the middle is only on the node. */
  bytes: z.number(),
});
export type Captured = z.infer<typeof Captured>;

export const Diff = z.strictObject({ path: z.string(), before: z.string(), after: z.string(), unified: z.string() });
export type Diff = z.infer<typeof Diff>;

/** The result of a step as it travels and is stored: bounded, and with sensitive values already masked. */
export const StepResult = z.strictObject({
  changed: z.boolean(),
  /** The action's output, for people (`sensitive`: absent). */
  output: z.json().optional(),
  diffs: z.array(Diff).optional(),
  /** Changes that a rollback cannot bring back, each with why. */
  lost: z.array(z.string()).optional(),
  /** One for the step, or one per loop item that failed. */
  error: ErrorReportShape.optional(),
  /** Why it was skipped or blocked, in words. */
  reason: z.string().optional(),
  /** The register's value, when it is exported. */
  register: z.json().optional(),
  items: z.int().optional(),
  attempts: z.int().optional(),
  /** Ended in an earlier revision with the same inputs; not done again. */
  kept: z.literal(true).optional(),
  /** Dry run: why it cannot be told what this step would do (it needs the output of one that was not run). */
  unknown: z.string().optional(),
});
export type StepResult = z.infer<typeof StepResult>;
