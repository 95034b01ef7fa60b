import type { ErrorReport, Position } from '../../shared/errors.ts';
import { evaluate, isTemplate, nodeReads, parseExpression, parseTemplate, scopeOf } from '../../shared/expr/index.ts';
import type { Json, Place } from '../../shared/share.ts';
import type { Plan } from '../plan/types.ts';
import type { DraftTask } from './draft.ts';
import { contains, type NodeSets } from './node-set.ts';

/** One read of another node's register, resolved to the step that makes it. */
export interface ResolvedRead {
  node: string;
  nodeIndex: number;
  register: string;
  task: number;
}

/**
 * The cross-node reads of a task (ENGINE 2.3): `node(<selector known from the plan>).<register>`. The nearest earlier task
 * with that register is meant. Reads of a register that no task makes on that node are errors unless defaulted.
 */
export function resolveReads(
  plan: Plan,
  drafts: readonly DraftTask[],
  draft: DraftTask,
  sets: NodeSets,
): { reads: ResolvedRead[]; problems: ErrorReport[] } {
  const reads: ResolvedRead[] = [];
  const problems: ErrorReport[] = [];
  const inventory = inventoryScope(plan);
  const documents = [draft.document, ...draft.document.recover];
  const texts = documents.flatMap((document) => textsOf(plan, { ...draft, document }));
  const found = texts.flatMap(({ ast, shell }) => nodeReads(ast).map((read) => ({ read, shell })));
  for (const { read, shell } of found) {
    const at: Position = read.origin;
    if (shell && !read.quoted) {
      problems.push({
        code: 'READ_UNQUOTED',
        message: `node(…).${read.register} of task "${draft.document.name}" goes into a shell without quotes.`,
        remedy: "Add `| quote`, or give the command as `argv`: another node's value must not become a command here.",
        position: at,
      });
    }
    let selected: unknown;
    try {
      selected = evaluate(read.selector, inventory);
    } catch (thrown) {
      problems.push({
        code: 'READ_SELECTOR',
        message: `node(…).${read.register}: which node is not known from the plan alone (${thrown instanceof Error ? thrown.message : thrown}).`,
        remedy: 'Name the node or take it from `groups`, such as node(groups.control_plane[0]).',
        position: at,
      });
      continue;
    }
    const nodeIndex = plan.inventory.nodes.findIndex((node) => node.name === selected);
    const source = drafts.findLast(
      (d) =>
        d.index < draft.index && d.document.register?.name === read.register && contains(sets.get(d.set), nodeIndex),
    );
    if (source) {
      reads.push({ node: String(selected), nodeIndex, register: read.register, task: source.index });
    } else if (!read.defaulted) {
      const why =
        nodeIndex < 0
          ? `there is no node "${String(selected)}"`
          : `no earlier task registers it on ${String(selected)}`;
      problems.push({
        code: 'READ_UNKNOWN',
        message: `node(…).${read.register} of task "${draft.document.name}": ${why}.`,
        remedy: 'Register it in an earlier task that runs on that node, or add `| default(…)`.',
        position: at,
      });
    }
  }
  return { reads, problems };
}

function inventoryScope(plan: Plan): ReturnType<typeof scopeOf> {
  const groups = Object.fromEntries(Object.values(plan.inventory.groups).map((g) => [g.name, g.nodes]));
  const nodes = Object.fromEntries(plan.inventory.nodes.map((n) => [n.name, { address: n.address, groups: n.groups }]));
  return scopeOf({ groups, nodes });
}

/** A text of a task that may read other nodes. `shell`: its result is run by a shell. */
export interface TaskText {
  ast: Parameters<typeof nodeReads>[0];
  shell: boolean;
  /** Where in the task it stands, such as `/inputs/content` or `/vars/port`; undefined: a condition, or a template file. */
  pointer?: string;
}

/** Every template and condition of a task, parsed: also those that its play, its role's use and its template file give it. */
export function textsOf(plan: Plan, { document, roleUse, play, role }: DraftTask): TaskText[] {
  const file = document.at.file;
  const place = (at: Place | undefined) => ({
    file,
    line: at?.[0] ?? document.at.line,
    column: at?.[1] ?? document.at.column,
  });
  const texts: TaskText[] = [];
  const condition = (text: string, at: Place | undefined): void => {
    texts.push({ ast: parseExpression(text, place(at)), shell: false });
  };
  const walk = (value: Json | undefined, pointer: string): void => {
    const isCondition = document.action === 'assert' && pointer.startsWith('/inputs/that/');
    if (typeof value === 'string') {
      if (isCondition) condition(value, document.places[pointer]);
      else if (isTemplate(value))
        texts.push({
          ast: parseTemplate(value, place(document.places[pointer])),
          shell: isRunByShell(document.action, pointer),
          pointer,
        });
    } else if (Array.isArray(value)) for (const [i, item] of value.entries()) walk(item, `${pointer}/${i}`);
    else if (value && typeof value === 'object')
      for (const [key, item] of Object.entries(value)) walk(item, `${pointer}/${key}`);
  };
  for (const c of [document.until, ...document.when, ...document.failedWhen, ...document.changedWhen])
    if (c !== undefined) condition(c.text, c.at);
  for (const c of roleUse.when) condition(c.text, c.at);
  walk(document.inputs, '/inputs');
  walk({ ...plan.plays[play]?.vars, ...roleUse.vars, ...document.vars }, '/vars');
  walk(document.loop, '/loop');
  const template = templateFileOf(plan, role, document.inputs);
  if (template)
    texts.push({ ast: parseTemplate(template.text, { file: template.path, line: 1, column: 1 }), shell: false });
  return texts;
}

/** The role's template that a task names literally, as `file` and `systemd` do. */
function templateFileOf(plan: Plan, role: string, inputs: Json): { path: string; text: string } | undefined {
  const name = typeof inputs === 'object' && inputs !== null && !Array.isArray(inputs) ? inputs['template'] : undefined;
  const path = `${role}/templates/${String(name)}`;
  const files = plan.roles[role]?.files ?? {};
  return typeof name === 'string' && Object.hasOwn(files, path) ? { path, text: files[path] ?? '' } : undefined;
}

/** Texts in which a foreign value could become a command. */
function isRunByShell(action: string, pointer: string): boolean {
  return pointer === '/inputs/shell' || (action === 'script' && pointer === '/inputs/content');
}
