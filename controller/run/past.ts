import { contractOf } from '../../shared/actions/index.ts';
import type { Json, Vars } from '../../shared/share.ts';
import type { TaskGraph } from '../compile/graph.ts';
import type { Past, PastStep } from '../compile/rollback.ts';
import type { RunEvent } from './events.ts';

/** What is known of a run: its graphs, each with the revision that began with it, and its events of all revisions. */
export interface Story {
  run: string;
  graphs: readonly { revision: number; graph: TaskGraph }[];
  events: readonly RunEvent[];
}

/** A step by its task's key and its node's name: what stays the same from one revision, or rollback, to the next. */
export function stepKey(task: string, node: string): string {
  return `${task}\0${node}`;
}

interface Deed {
  /** It has begun, and nothing was heard of its end. */
  isOpen: boolean;
  applied: boolean;
  register?: Json;
  bound?: Vars;
  lost: string[];
}

/** A past with what a rollback must know besides its steps. */
export interface RunPast extends Past {
  /** Nodes that did, or may have done, something in the run. */
  tookPart: ReadonlySet<number>;
  /** Applied steps of tasks that the last revision has no more. */
  gone: { task: string; node: string }[];
}

/** What became of a run's steps, over all of its revisions. `undone`: steps, by {@link stepKey}, that were rolled back since. */
export function pastOf({ run, graphs, events }: Story, undone: ReadonlySet<string>): RunPast {
  const deeds = new Map<string, Deed>();
  const firstOk = new Map<string, string>();
  const accepted = new Set<string>();
  const lostSight = new Set<string>();
  let graph = graphs[0]?.graph as TaskGraph;
  const keyOf = (task: number, node: number): string => stepKey(graph.tasks[task]?.key ?? '', graph.nodes[node] ?? '');
  for (const event of events) {
    switch (event.kind) {
      case 'revised':
        graph = graphs.findLast(({ revision }) => revision <= event.revision)?.graph ?? graph;
        break;
      case 'accepted':
        accepted.add(graph.nodes[event.node] ?? '');
        break;
      case 'given_up':
        lostSight.add(graph.nodes[event.node] ?? '');
        break;
      case 'begun': {
        const key = keyOf(event.task, event.node);
        deeds.set(key, { applied: false, lost: [], ...deeds.get(key), isOpen: true });
        break;
      }
      case 'ended': {
        const deed = deeds.get(keyOf(event.task, event.node));
        if (event.outcome === 'ok' && !firstOk.has(graph.tasks[event.task]?.key ?? ''))
          firstOk.set(graph.tasks[event.task]?.key ?? '', graph.nodes[event.node] ?? '');
        if (deed) end(deed, event, graph);
        break;
      }
    }
  }
  const isUnknown = (node: string): boolean => lostSight.has(node) && accepted.has(node);
  const step = (task: number, node: number): PastStep | undefined => {
    const [{ key, action } = { key: '', action: '' }, name = ''] = [graph.tasks[task], graph.nodes[node]];
    const deed = deeds.get(stepKey(key, name));
    if (deed === undefined && !isUnknown(name)) return undefined;
    const { isOpen, applied, ...rest } = deed ?? { isOpen: true, applied: false, lost: [] };
    return { ...rest, applied: (isOpen || applied) && leavesSomething(action) && !undone.has(stepKey(key, name)) };
  };
  const names = new Set([...deeds.keys()].map((key) => key.slice(key.indexOf('\0') + 1)));
  const keys = new Set(graph.tasks.map(({ key }) => key));
  return {
    run,
    graph,
    step,
    firstOk(task) {
      const node = graph.nodes.indexOf(firstOk.get(graph.tasks[task]?.key ?? '') ?? '');
      return node < 0 ? undefined : node;
    },
    tookPart: new Set([...graph.nodes.keys()].filter((node) => isPart(graph.nodes[node] ?? ''))),
    gone: [...deeds].flatMap(([key, deed]) => {
      const [task = '', node = ''] = key.split('\0');
      const isGone = !keys.has(task) && (deed.isOpen || deed.applied) && !undone.has(key);
      return isGone ? [{ task, node }] : [];
    }),
  };

  function isPart(node: string): boolean {
    return names.has(node) || isUnknown(node);
  }
}

function end(deed: Deed, event: Extract<RunEvent, { kind: 'ended' }>, graph: TaskGraph): void {
  const { outcome, result, task } = event;
  deed.isOpen = false;
  if (result.register !== undefined) deed.register = result.register;
  const spec = graph.common.tasks[task];
  if (outcome === 'ok' && spec?.action === 'set_fact' && isMap(result.output)) deed.bound = result.output;
  deed.lost.push(...(result.lost ?? []));
  // With changed_when the task says what counts as a change, which is not what happened.
  const isUnchanged = outcome === 'ok' && !result.changed && (spec?.changedWhen ?? []).length === 0;
  if (outcome !== 'skipped' && !isUnchanged) deed.applied = true;
}

function isMap(value: Json | undefined): value is Vars {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Does it leave anything that a rollback could be asked for? */
function leavesSomething(action: string): boolean {
  const contract = contractOf(action);
  if (contract === undefined) return false;
  return contract.changes || (contract.place !== undefined && contract.undo === 'restores');
}

/** The steps of a run, by {@link stepKey}, that a rollback of it has undone. */
export function undoneBy(graph: TaskGraph, events: readonly RunEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.kind !== 'ended' || event.outcome !== 'ok') return [];
    const spec = graph.common.tasks[event.task];
    const task = spec?.action === 'undo' && isMap(spec.inputs) ? spec.inputs['task'] : undefined;
    return typeof task === 'string' ? [stepKey(task, graph.nodes[event.node] ?? '')] : [];
  });
}
