import { isCaught } from '../../shared/blocks.ts';
import type { GraphTask, TaskGraph } from '../compile/graph.ts';
import type { RunEvent } from '../run/events.ts';
import { iso } from './times.ts';
import type { StreamLine } from './types.ts';

/**
 * A stored event as the lines that those who follow the run read; none for what means nothing to people. The first line
 * (`run`) and the last (`finished`) hold the whole view and are made where the run is followed.
 */
export function streamLines(graph: TaskGraph, event: RunEvent): StreamLine[] {
  const at = iso(event.at);
  switch (event.kind) {
    case 'bootstrap':
      return [{ type: 'node', at, node: name(graph, event.node), state: 'joining', phase: event.phase }];
    case 'accepted':
      return [{ type: 'node', at, node: name(graph, event.node), state: 'working' }];
    case 'refused':
      return [{ type: 'node', at, node: name(graph, event.node), state: 'failed', error: event.error }];
    case 'given_up':
      return [{ type: 'node', at, node: name(graph, event.node), state: 'unreachable', error: event.error }];
    case 'begun':
      return [{ type: 'begun', at, ...step(graph, event), ...(event.asks === undefined ? {} : { asks: event.asks }) }];
    case 'ended': {
      const { result, verdict } = event;
      return [
        {
          type: 'ended',
          at,
          ...step(graph, event),
          // A block fails by its tasks, and these were told.
          outcome: event.result.error?.code === 'BLOCK_FAILED' ? 'blocked' : event.outcome,
          changed: result.changed && !result.kept,
          kept: result.kept ?? false,
          check: graph.kind === 'check',
          ignored: event.outcome === 'failed' && (graph.tasks[event.task]?.ignoreErrors ?? false),
          caught: (event.outcome === 'failed' || event.outcome === 'interrupted') && isCaughtOn(graph, event),
          durationMs: event.durationMs,
          ...(result.error ? { error: result.error } : {}),
          ...(result.reason === undefined ? {} : { reason: result.reason }),
          ...(result.output === undefined ? {} : { output: result.output }),
          ...(result.diffs ? { diffs: result.diffs.map(({ path, unified }) => ({ path, unified })) } : {}),
          ...(verdict ? { verdict } : {}),
        },
      ];
    }
    case 'blocked':
      return [
        {
          type: 'blocked',
          at,
          node: name(graph, event.node),
          tasks: event.tasks.map((task) => graph.tasks[task]?.key ?? ''),
          cause: event.cause,
          cancelled: event.cancelled,
        },
      ];
    case 'cancel':
      return [{ type: 'asked', at, by: event.by, what: event.force ? 'cancel --force' : 'cancel' }];
    case 'paused':
    case 'unpaused':
      return [{ type: 'asked', at, by: event.by, what: event.kind === 'paused' ? 'pause' : 'resume' }];
    case 'permit_released':
      return [{ type: 'asked', at, by: event.by, what: `permit-release ${event.name}` }];
    case 'facts':
    case 'permit_granted':
    case 'revised':
    case 'started':
    case 'finished':
      return [];
  }
}

function name(graph: TaskGraph, node: number): string {
  return graph.nodes[node] ?? `node ${node}`;
}

function isCaughtOn(graph: TaskGraph, { node, task }: { node: number; task: number }): boolean {
  const runsHere = (index: number): boolean => (graph.sets[graph.tasks[index]?.set ?? -1]?.position[node] ?? -1) >= 0;
  const { tasks } = graph.common;
  return isCaught({ tasks, stateOf: (index) => (runsHere(index) ? 'waiting' : undefined) }, task);
}

function step(graph: TaskGraph, event: { node: number; task: number }) {
  const task: GraphTask | undefined = graph.tasks[event.task];
  return {
    node: name(graph, event.node),
    task: task?.key ?? '',
    name: task?.name ?? '',
    role: task?.role ?? '',
    play: graph.plays[task?.play ?? -1]?.name ?? '',
  };
}
