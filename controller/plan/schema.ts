import { z } from 'zod';
import { contractOf, PLAN_ACTIONS } from '../../shared/actions/index.ts';
import { isNodeName, NODE_NAME_RULE } from '../../shared/identity.ts';
import { type Json, RegisterType, type Vars } from '../../shared/share.ts';

/**
 * The shapes of everything a person writes, and nothing about how the parts refer to each other. The reader checks
 * documents against them field by field; editors get them as JSON Schema.
 */

/** A variable: what an expression can name. */
export const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** A group, lock, permit or tag. */
const WORD = /^[A-Za-z][A-Za-z0-9_-]*$/;
/** Parts of a role's name are folders. */
const ROLE = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$/;

/** A document holds nothing but JSON, so there is nothing to check. */
const Anything = z.unknown() as z.ZodType<Json>;
const Variable = z.string().regex(VARIABLE, 'a letter or "_", then letters, digits and "_"');
const Word = z.string().max(63).regex(WORD, 'a letter, then letters, digits, "-" and "_"');
const NodeName = z.string().refine(isNodeName, NODE_NAME_RULE);
export const RoleName = z
  .string()
  .max(200)
  .regex(ROLE, 'the name of a folder below roles/, such as etcd or precheck/os');
const VarMap = z.record(Variable, Anything) as unknown as z.ZodType<Vars>;

/** One text or a list of them. */
const Texts = z.union([z.string().min(1), z.array(z.string().min(1))]);
const Tags = z.union([Word, z.array(Word)]);
/** Conditions hold all together. `when: false` is allowed, to switch a task off. */
const Condition = z.union([z.string().min(1), z.boolean()]);
const Conditions = z.union([Condition, z.array(Condition)]);

const DURATION = /^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/;
/** Seconds, or a number with its unit. */
const Duration = z.union([
  z.number().min(0),
  z.string().regex(DURATION, 'seconds as a number, or such as "500ms", "30s", "10m", "1h"'),
]);
const Percentage = z.number().min(0).max(100);
/** Nodes at a time: a number or a share of the play's nodes. */
const BatchSize = z.union([
  z.int().min(1),
  z.string().regex(/^(?:[1-9]\d?|100)%$/, 'a number of nodes, or a percentage such as "30%"'),
]);

export const Ssh = z
  .strictObject({
    host: z.string().min(1).optional().describe('where ssh connects to; default: the address of the node'),
    port: z.int().min(1).max(65535).optional().describe('default 22'),
    user: z.string().min(1).optional().describe('default root'),
    private_key_file: z.string().min(1).optional(),
    password_file: z.string().min(1).optional(),
    sudo_password_file: z.string().min(1).optional(),
    known_hosts_file: z.string().min(1).optional(),
    host_keys: z.enum(['strict', 'accept-new']).optional().describe('default accept-new'),
    jump: z.string().min(1).optional().describe('ProxyJump: [user@]host[:port]'),
    connect_timeout: Duration.optional().describe('default 10s'),
  })
  .meta({ id: 'ssh' });

export const Host = z.strictObject({
  address: z.string().min(1).describe('IP address by which the other nodes know it'),
  ssh: z
    .union([Ssh, z.literal(false)])
    .optional()
    .describe('false: the node joins by itself'),
  vars: VarMap.optional(),
});

export const Group = z.strictObject({
  hosts: z.array(z.string().min(1)).optional(),
  groups: z.array(z.string().min(1)).optional().describe('groups whose nodes are in this one too'),
  vars: VarMap.optional(),
});

export const Inventory = z.strictObject({
  hosts: z
    .record(NodeName, Host)
    .optional()
    .describe('by name; node[001:100] is a hundred, with addresses that advance'),
  csv: z.string().min(1).optional().describe('a table of hosts, relative to the file that names it'),
  ssh: Ssh.optional().describe('defaults for every host'),
  groups: z.record(Word, z.union([Group, z.array(z.string().min(1))])).optional(),
  vars: VarMap.optional(),
});

/** In a file of its own it may say what it is. */
export const InventoryDocument = Inventory.extend({
  apiVersion: z.literal('kk.dev/v1').optional(),
  kind: z.literal('Inventory').optional(),
});

export const InventoryReference = z.strictObject({ file: z.string().min(1).describe('relative to the plan file') });

export const Need = z
  .union([
    z.string().min(1),
    z.strictObject({
      task: z.string().min(1).optional(),
      role: z.string().min(1).optional(),
      play: z.string().min(1).optional(),
      of: z.enum(['all', 'same', 'first', 'any']).optional().describe('default same'),
    }),
  ])
  .meta({ id: 'need' });

export const Register = z.union([
  Variable,
  z.strictObject({
    name: Variable,
    type: RegisterType.optional(),
    pattern: z.string().min(1).optional(),
  }),
]);

/** What a task may say beside its action (ENGINE 1.9). */
export const TaskWords = z.strictObject({
  id: z
    .string()
    .max(100)
    .regex(/^[\p{L}\p{N}][\p{L}\p{N}_.-]*$/u, 'letters, digits, "-", "_" and "."')
    .optional(),
  name: z.string().min(1).optional(),
  action: z.string().min(1).optional(),
  with: Anything.optional(),
  on: Texts.optional().describe('nodes and groups, or `controller` for what the controller itself does'),
  per: Texts.optional().describe('with on: controller: once for each of these nodes and groups'),
  needs: z.union([Need, z.array(Need)]).optional(),
  when: Conditions.optional(),
  loop: z.union([z.string().min(1), z.array(Anything)]).optional(),
  register: Register.optional(),
  until: Condition.optional(),
  retries: z.int().min(0).max(10_000).optional(),
  delay: Duration.optional(),
  timeout: Duration.optional(),
  failed_when: Conditions.optional(),
  changed_when: Conditions.optional(),
  vars: VarMap.optional(),
  tags: Tags.optional(),
  run_once: z.boolean().optional(),
  ignore_errors: z.boolean().optional(),
  lock: Word.optional(),
  alone: z.boolean().optional(),
  permit: z.union([Word, z.strictObject({ name: Word, count: z.int().min(1).optional() })]).optional(),
  sensitive: z.boolean().optional(),
  on_interrupt: z.enum(['fail', 'rerun']).optional(),
  any_errors_fatal: z.boolean().optional().describe("a failure exceeds the play's budget at once"),
  recover: z.array(Anything).min(1).optional().describe('tasks that restore a known state after an interruption'),
  rollback: z.array(Anything).min(1).optional().describe('tasks that undo this one in a rollback'),
  include_tasks: z.string().min(1).optional().describe('a file of tasks beside this one'),
});

/** What an `include_tasks` may carry along. */
export const IncludeWords = TaskWords.pick({ name: true, when: true, tags: true, vars: true, include_tasks: true });

/** What a `recover` task may say beside its action. */
export const RecoverWords = TaskWords.pick({
  name: true,
  action: true,
  with: true,
  when: true,
  vars: true,
  timeout: true,
  register: true,
});

/** What a `rollback` task may say: it runs where its task ran, after those before it. */
export const RollbackWords = TaskWords.pick({
  id: true,
  name: true,
  action: true,
  with: true,
  when: true,
  loop: true,
  register: true,
  until: true,
  retries: true,
  delay: true,
  timeout: true,
  failed_when: true,
  changed_when: true,
  vars: true,
  ignore_errors: true,
  lock: true,
  alone: true,
  sensitive: true,
  on_interrupt: true,
});

/** What a block may say: words for the whole of it, and those that it hands down to its tasks. */
export const BlockWords = TaskWords.pick({
  id: true,
  name: true,
  on: true,
  needs: true,
  when: true,
  vars: true,
  tags: true,
  run_once: true,
  ignore_errors: true,
  any_errors_fatal: true,
  lock: true,
  permit: true,
}).extend({
  block: z.array(Anything).min(1),
  rescue: z.array(Anything).min(1).optional(),
  always: z.array(Anything).min(1).optional(),
});

const ACTION_KEYS = Object.fromEntries(
  PLAN_ACTIONS.map((kind) => [kind, Anything.optional().describe(contractOf(kind).summary)]),
);

/** A task as editors see it; the reader takes the action apart by itself. */
const Task: z.ZodType = TaskWords.extend({
  ...ACTION_KEYS,
  recover: z
    .array(z.lazy(() => Task))
    .min(1)
    .optional()
    .describe('tasks that restore a known state after an interruption'),
  rollback: taskList().describe('tasks that undo this one in a rollback'),
  block: taskList().describe('tasks that fail as one'),
  rescue: taskList().describe('what is done on a node where the block failed'),
  always: taskList().describe('what is done in any case'),
}).meta({ id: 'task' });

function taskList() {
  return z
    .array(z.lazy(() => Task))
    .min(1)
    .optional();
}

export const RoleUse = z.union([
  RoleName,
  z.strictObject({ role: RoleName, tags: Tags.optional(), when: Conditions.optional(), vars: VarMap.optional() }),
]);

export const Play = z.strictObject({
  name: z.string().min(1).max(200),
  hosts: Texts.describe('nodes and groups, `all`, and `!x` to leave some out'),
  precheck: z.boolean().optional(),
  roles: z.array(RoleUse).optional(),
  tasks: z.array(Anything).optional(),
  serial: z.union([BatchSize, z.array(BatchSize).min(1)]).optional(),
  max_fail_percentage: Percentage.optional(),
  any_errors_fatal: z.boolean().optional(),
  after: z.literal('all').optional(),
  vars: VarMap.optional(),
  tags: Tags.optional(),
});

const EditorPlay = Play.extend({ tasks: z.array(Task).optional() }).meta({ id: 'play' });
const PlaybookDocument = z.union([
  z.array(EditorPlay),
  z.strictObject({ name: z.string().min(1).optional(), plays: z.array(EditorPlay) }),
]);

/** A playbook: a map with `plays`; a bare list of plays is taken too. */
export const Playbook = z.strictObject({ name: z.string().min(1).optional(), plays: z.array(Anything) });

export const PlaybookReference = z.union([
  z.string().min(1),
  z.strictObject({ name: z.string().min(1), plays: z.array(EditorPlay) }),
]);

export const PlanMetadata = z.strictObject({ name: z.string().refine(isNodeName, NODE_NAME_RULE) });

const Scripts = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

/** Scripts beside a play. */
export const Hook = z
  .strictObject({
    before: z.string().min(1).optional().describe('name of a play'),
    after: z.string().min(1).optional().describe('name of a play'),
    scripts: z
      .strictObject({
        all: Scripts.optional().describe('on every node of the play'),
        groups: z.record(Word, Scripts).optional().describe('then on nodes of these groups, in this order'),
        hosts: z.record(NodeName, Scripts).optional().describe('then on these nodes'),
      })
      .describe('files, relative to the plan file'),
    args: z.array(Anything).optional(),
    env: Anything.optional().describe('variables of their environment'),
    user: Anything.optional().describe('default: root'),
    timeout: Duration.optional().describe('for each'),
  })
  .meta({ id: 'hook' });

/** The outer frame of a plan file; inventory and playbooks have readers of their own. */
export const PlanFrame = z.strictObject({
  apiVersion: z.literal('kk.dev/v1'),
  kind: z.literal('Plan'),
  metadata: PlanMetadata,
  spec: z.strictObject({
    inventory: Anything,
    playbooks: z.array(Anything).min(1),
    hooks: z.array(Anything).optional(),
    config: VarMap.optional(),
  }),
});

const PlanDocument = PlanFrame.extend({
  spec: z.strictObject({
    inventory: z.union([InventoryReference, Inventory]),
    playbooks: z.array(PlaybookReference).min(1),
    hooks: z.array(Hook).optional().describe('scripts before and after plays'),
    config: VarMap.optional(),
  }),
});

/** A role's defaults.yaml. */
export const Defaults = VarMap;

/** The documents by the name of their definition. */
const DOCUMENTS = z.object({
  plan: PlanDocument.meta({ id: 'plan' }),
  inventory: InventoryDocument.meta({ id: 'inventory' }),
  playbook: PlaybookDocument.meta({ id: 'playbook' }),
  tasks: z.array(Task).meta({ id: 'tasks' }),
  defaults: Defaults.meta({ id: 'defaults' }),
});

/**
 * JSON Schema (2020-12) of every document kk reads: the plan at the root, the others and their parts under `$defs`:
 * `inventory`, `playbook`, `tasks`, `defaults`.
 */
export function planJsonSchema(): Record<string, unknown> {
  const { $schema, $defs } = z.toJSONSchema(DOCUMENTS, { io: 'input' });
  return { $schema, title: 'kk plan', $ref: '#/$defs/plan', $defs };
}
