/** Plans for tests of the engine, as values: only what matters is said, everything else is as the defaults have it. */
import { type CompileOptions, compile, DEFAULT_COMPILE_OPTIONS } from '../../controller/compile/compile.ts';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { TASK_DEFAULTS } from '../../controller/plan/index.ts';
import type { NeedDocument, Plan, Play, TaskDocument } from '../../controller/plan/types.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import type { Place } from '../../shared/share.ts';

/** As a person writes it: `{ task: 'init', of: 'all' }`; `of` is `same` unless said. */
export type NeedSketch = Partial<Record<NeedDocument['target'], string>> & { of?: NeedDocument['of'] };

export type TaskSketch =
  | string
  | (Partial<Omit<TaskDocument, 'needs' | 'when'>> & { id: string; needs?: NeedSketch[]; when?: string[] });

export type PlaySketch = Partial<Omit<Play, 'roles'>> & {
  name: string;
  nodes: string[];
  /** Role names; `{role, tags}` where tags matter. */
  roles: (string | { role: string; tags: string[] })[];
};

export interface PlanSketch {
  nodes: string[];
  groups?: Record<string, string[]>;
  roles: Record<string, TaskSketch[]>;
  /** Role files by their path, such as `join/templates/config.j2`. */
  files?: Record<string, string>;
  plays: PlaySketch[];
}

const HERE: Place = [1, 1];
const at = { file: 'test', line: 1, column: 1 };

export function planFrom(sketch: PlanSketch): Plan {
  const groups = { all: sketch.nodes, ...sketch.groups };
  const filesOf = (role: string) =>
    Object.fromEntries(Object.entries(sketch.files ?? {}).filter(([path]) => path.startsWith(`${role}/`)));
  return {
    name: 'test',
    inventory: {
      vars: {},
      nodes: sketch.nodes.map((name, i) => ({
        name,
        address: `10.0.${i >> 8}.${i & 255}`,
        ssh: undefined,
        vars: {},
        groups: ['all'],
        at,
      })),
      groups: Object.fromEntries(
        Object.entries(groups).map(([name, nodes]) => [name, { name, nodes, children: [], vars: {} }]),
      ),
    },
    config: {},
    roles: Object.fromEntries(
      Object.entries(sketch.roles).map(([name, tasks]) => [
        name,
        { name, tasks: tasks.map(taskFrom), defaults: {}, files: filesOf(name) },
      ]),
    ),
    plays: sketch.plays.map(({ roles, ...play }) => ({
      precheck: false,
      serial: undefined,
      maxFailPercentage: undefined,
      anyErrorsFatal: false,
      afterAll: false,
      vars: {},
      at,
      ...play,
      roles: roles.map((use) => ({
        when: [],
        vars: {},
        at,
        ...(typeof use === 'string' ? { role: use, tags: [] } : use),
      })),
    })),
  };
}

export function taskFrom(sketch: TaskSketch): TaskDocument {
  const { needs, when, ...task } = typeof sketch === 'string' ? { id: sketch } : sketch;
  return {
    ...TASK_DEFAULTS,
    name: task.id,
    at,
    action: 'command',
    inputs: { shell: 'true' },
    ...task,
    when: (when ?? []).map((text) => ({ text, at: HERE })),
    needs: needs?.map((need) => needFrom(need)),
  };
}

function needFrom({ of = 'same', ...target }: NeedSketch): NeedDocument {
  const [[kind, name] = ['task', '']] = Object.entries(target);
  return { target: kind as NeedDocument['target'], name, of, at };
}

export function graphFrom(sketch: PlanSketch, options: Partial<CompileOptions> = {}): TaskGraph {
  const compiled = compile(planFrom(sketch), { ...DEFAULT_COMPILE_OPTIONS, ...options });
  if ('problems' in compiled)
    throw new Error(compiled.problems.map(({ code, message }) => `${code} ${message}`).join('\n'));
  return compiled.graph;
}

export function problemsFrom(sketch: PlanSketch): ErrorReport[] {
  const compiled = compile(planFrom(sketch));
  return 'problems' in compiled ? compiled.problems : [];
}

/** What each task waits for, as a person would say it: `same a/x`, `all a/x`, `precheck`, `value a/x@n1`. */
export function waitsIn(graph: TaskGraph): Record<string, string[]> {
  const short = (task: number): string => (graph.tasks[task]?.key ?? '?').split('/').slice(1).join('/');
  const text = (need: { task: number } | { gate: string }): string =>
    'task' in need
      ? `same ${short(need.task)}`
      : need.gate.replace(/^(\w+)\/(\d+)/, (_, kind: string, task: string) => `${kind} ${short(Number(task))}`);
  return Object.fromEntries(
    graph.tasks.map((task) => [short(task.index), (graph.common.tasks[task.index]?.needs ?? []).map(text)]),
  );
}

/** The names of the nodes a task runs on. */
export function nodesOf(graph: TaskGraph, key: string): string[] {
  const task = graph.tasks.find((found) => found.key.endsWith(key));
  return (graph.sets[task?.set ?? -1]?.members ?? []).map((node) => graph.nodes[node] ?? '?');
}
