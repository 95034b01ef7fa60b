import type { Need, RecoverTask, TaskSpec } from '../../shared/share.ts';
import type { Play, TaskDocument } from '../plan/types.ts';
import type { DraftTask } from './draft.ts';
import type { Edge } from './graph.ts';
import type { ResolvedRead } from './reads.ts';

/** What a task has to do with the controller. */
export interface Locality {
  isLocal(task: number): boolean;
  /** Those that it asks for. */
  secrets: readonly string[];
  /** Of a sensitive one that they read. */
  seal?: { seal: string };
}

/** How a node waits for an edge. `crosses`: what it needs is done by the controller, and the node is told. */
export function needOf({ task, of }: Edge, crosses: boolean): Need {
  return of === 'same' && !crosses ? { task } : { gate: `${of}/${task}` };
}

/** The wire form of a task: what every agent is told about it. */
export function specOf(
  draft: DraftTask,
  play: Play,
  reads: readonly ResolvedRead[],
  exported: boolean,
  guarded: boolean,
  local: Locality,
): TaskSpec {
  const d = draft.document;
  const needs: Need[] = draft.edges
    .filter((edge) => edge.of !== 'value')
    .map((edge) => needOf(edge, d.place === undefined && local.isLocal(edge.task)));
  for (const gate of new Set(reads.map(gateOf))) needs.push({ gate });
  if (guarded) needs.push({ gate: 'precheck' });
  return {
    key: draft.key,
    name: d.name,
    play: draft.play,
    role: draft.role,
    file: d.at.file,
    at: [d.at.line, d.at.column],
    action: d.action,
    ...(d.place ? { place: d.place } : {}),
    ...(draft.within ? { within: { block: draft.within.block.index, part: draft.within.part } } : {}),
    inputs: d.inputs,
    places: d.places,
    needs,
    // A block is asked for the whole of it, and what is in it follows.
    when: [...(draft.within ? [] : draft.roleUse.when), ...d.when],
    ...(d.loop === undefined ? {} : { loop: d.loop }),
    ...(d.register ? { register: { ...d.register, exported: exported || d.place !== undefined, ...local.seal } } : {}),
    reads: reads.map((read) => ({ node: read.node, register: read.register, gate: gateOf(read) })),
    ...(d.until ? { until: d.until } : {}),
    retries: d.retries,
    delay: d.delay,
    timeout: d.timeout,
    failedWhen: d.failedWhen,
    changedWhen: d.changedWhen,
    vars: { ...play.vars, ...draft.roleUse.vars, ...d.vars },
    ignoreErrors: d.ignoreErrors,
    ...(d.lock === undefined ? {} : { lock: d.lock }),
    alone: d.alone,
    ...(d.permit ? { permit: d.permit } : {}),
    sensitive: d.sensitive || local.secrets.length > 0,
    onInterrupt: d.onInterrupt,
    ...(d.recover.length > 0 ? { recover: d.recover.map(recoverOf) } : {}),
    ...(d.blobs ? { blobs: d.blobs } : {}),
    ...(local.secrets.length > 0 ? { secrets: [...local.secrets] } : {}),
  };
}

function recoverOf(d: TaskDocument): RecoverTask {
  const { name, at, action, inputs, places, when, vars, timeout, register, blobs } = d;
  const place: RecoverTask['at'] = [at.line, at.column];
  const task = { name, at: place, action, inputs, places, when, vars, timeout };
  return { ...task, ...(register ? { register } : {}), ...(blobs ? { blobs } : {}) };
}

export function gateOf(read: ResolvedRead): string {
  return `value/${read.task}@${read.node}`;
}
