import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { CLUSTER_DEFAULTS } from '../../controller/cluster/index.ts';
import {
  compileValue,
  evaluate,
  evaluateValue,
  parseExpression,
  parseTemplate,
  render,
  type Scope,
  truthy,
} from '../../shared/expr/index.ts';
import type { Json, Vars } from '../../shared/share.ts';
import { mergeVars } from '../../shared/vars.ts';

const ROLES = 'controller/playbooks/roles';
const at = { file: 'tasks.yaml', line: 1, column: 1 };

interface Task {
  id: string;
  when?: string | string[];
  vars?: Vars;
  block?: Task[];
  [word: string]: unknown;
}

export interface OfNode {
  name: string;
  machines: Record<string, { address: string; groups: string[] }>;
  /** `spec.config`, and variables of the components. */
  config?: Vars;
  facts?: Vars;
  /** Registers and `set_fact`, of this node and of others. */
  bound?: Vars;
  /** Values of secrets; else each is its name in angle brackets. */
  secret?: (name: string) => string;
}

/** A role as a node of a cluster sees it: whether a task runs, its inputs, and its templates, rendered. */
export class RoleOn {
  readonly #role: string;
  readonly #scope: Vars;
  readonly #bound: Vars;
  readonly #tasks: Task[];
  readonly #secret: (name: string) => string;

  constructor(role: string, { name, machines, config = {}, facts = {}, bound = {}, secret }: OfNode) {
    this.#role = role;
    this.#secret = secret ?? ((name) => `<${name}>`);
    const documents = mergeVars(CLUSTER_DEFAULTS, (parse(this.#read('defaults.yaml', '')) ?? {}) as Vars, config);
    const names = Object.keys(machines);
    const groups = Object.fromEntries(
      ['control_plane', 'etcd', 'worker'].map((group) => [
        group,
        names.filter((one) => machines[one]?.groups.includes(group)),
      ]),
    );
    const own = machines[name] ?? { address: '', groups: [] };
    const given = { node_name: name, node_address: own.address, group_names: own.groups, groups, nodes: machines };
    this.#scope = { ...documents, ...(given as unknown as Vars), facts };
    this.#bound = bound;
    const all = parse(this.#read('tasks.yaml')) as Task[];
    this.#tasks = all.flatMap((task) => [task, ...(task.block ?? [])]);
  }

  #read(path: string, otherwise?: string): string {
    try {
      return readFileSync(join(ROLES, this.#role, path), 'utf8');
    } catch (thrown) {
      if (otherwise !== undefined) return otherwise;
      throw thrown;
    }
  }

  #task(id: string): Task {
    const found = this.#tasks.find((task) => task.id === id);
    if (found === undefined) throw new Error(`${this.#role} has no task ${id}`);
    return found;
  }

  #scopeOf({ vars = {} }: Task, item?: Json): Scope {
    const scope: Scope = {
      lookup: (name) => {
        if (name === 'item') return item;
        if (!(name in vars)) return this.#bound[name] ?? this.#scope[name];
        return evaluateValue(
          compileValue(vars[name] as Json, () => at),
          scope,
        );
      },
      readNode: (_node, register) => this.#bound[register],
      secret: this.#secret,
    };
    return scope;
  }

  runs(id: string): boolean {
    const { when = [] } = this.#task(id);
    return [when].flat().every((text) => truthy(evaluate(parseExpression(text, at), this.#scopeOf(this.#task(id)))));
  }

  /** Conditions of an `assert`, judged together. */
  holds(id: string): boolean {
    const task = this.#task(id);
    const { that } = task['assert'] as { that: string[] };
    return that.every((text) => truthy(evaluate(parseExpression(text, at), this.#scopeOf(task))));
  }

  inputs<T>(id: string, action: string, item?: Json): T {
    const task = this.#task(id);
    return evaluateValue(
      compileValue(task[action] as Json, () => at),
      this.#scopeOf(task, item),
    ) as T;
  }

  /** What the role writes from templates, by path, in order. */
  files(): Map<string, string> {
    const written = this.#tasks.flatMap((task) => {
      const { path, template } = (task['file'] ?? {}) as { path?: string; template?: string };
      return path !== undefined && template !== undefined && this.runs(task.id)
        ? [[path, this.text(task.id, 'file')] as const]
        : [];
    });
    return new Map(written);
  }

  /** The template of a task, rendered as its file is. */
  text(id: string, action: string, item?: Json): string {
    const task = this.#task(id);
    const template = `templates/${(task[action] as { template: string }).template}`;
    const origin = { ...at, file: template };
    return String(render(parseTemplate(this.#read(template), origin), this.#scopeOf(task, item)));
  }
}
