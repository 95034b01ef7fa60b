/** A role's tasks as a person writes them, compiled over a few nodes: for tests of what is easier to read as YAML. */
import { compile, DEFAULT_COMPILE_OPTIONS } from '../../controller/compile/compile.ts';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { parsePlan } from '../../controller/plan/index.ts';

export interface RoleSketch {
  /** Default cp1, w1, w2; the group `worker` has all but the first. */
  nodes?: string[];
  tags?: string[];
  /** More words of the play, such as `serial: 1`. */
  play?: string;
}

/** The graph of a play `p` with the role `r`, followed by a play `q` with one task; or what is wrong with it. */
export function compileRole(tasks: string, sketch: RoleSketch = {}): TaskGraph | string[] {
  const { nodes = ['cp1', 'w1', 'w2'], tags = [], play } = sketch;
  const hosts = nodes.map((name, index) => `      ${name}: {address: 10.0.0.${index + 1}}\n`).join('');
  const plan = `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: role}
spec:
  inventory:
    hosts:
${hosts}    groups: {worker: [${nodes.slice(1).join(', ')}]}
  playbooks: [site.yaml]
`;
  const words = play === undefined ? '' : `, ${play}`;
  const site = `- {name: p, hosts: all, roles: [r]${words}}\n- {name: q, hosts: all, roles: [s]}\n`;
  const texts = {
    'plan.yaml': plan,
    'site.yaml': site,
    'roles/r/tasks.yaml': tasks,
    'roles/s/tasks.yaml': '- {id: after, command: after}\n',
  };
  const parsed = parsePlan({ plan: 'plan.yaml', texts });
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  const found = compile(parsed.plan, { ...DEFAULT_COMPILE_OPTIONS, tags });
  if ('graph' in found) return found.graph;
  return found.problems.map(
    ({ code, message, position }) => `${position?.line}:${position?.column} ${code} ${message}`,
  );
}

/** Throws when the role cannot be compiled. */
export function roleGraph(tasks: string, sketch: RoleSketch = {}): TaskGraph {
  const graph = compileRole(tasks, sketch);
  if (Array.isArray(graph)) throw new Error(graph.join('\n'));
  return graph;
}

/** The index of the task of that id. */
export function taskOf(graph: TaskGraph, id: string): number {
  const found = graph.tasks.findIndex(({ key }) => key.endsWith(`/${id}`));
  if (found < 0) throw new Error(`no task ${id}`);
  return found;
}
