import { jsonBytes } from '../../shared/protocol/codec.ts';
import type { ForAgent } from '../../shared/protocol/messages.ts';
import type { ActiveRun } from './active-run.ts';
import type { Decision } from './decide.ts';
import type { Dispatcher, RunRecord } from './ports.ts';

/** TERM to KILL of a cancelled command (ENGINE 2.6). */
const CANCEL_GRACE_MS = 10_000;

/** Sends a decision to nodes of a run, as far as they are connected. `cached`: common documents that they have. */
export function tell(
  dispatcher: Dispatcher,
  run: ActiveRun,
  nodes: readonly number[],
  decision: Decision,
  cached: readonly string[] = [],
): void {
  if (decision.kind !== 'push') {
    const names = nodes.map((node) => run.graph.nodes[node] ?? '');
    dispatcher.send(names, messageOf(run.record, decision));
    return;
  }
  for (const node of nodes) {
    const name = run.graph.nodes[node] ?? '';
    if (!dispatcher.isConnected(name) || (run.cancelling && !run.state.cancelled)) continue;
    run.sent.add(node);
    dispatcher.send([name], {
      kind: 'push',
      value: run.documents.push(run.record.id, run.record.revision, node, cached),
    });
  }
}

function messageOf({ id: run, revision }: RunRecord, decision: Exclude<Decision, { kind: 'push' }>): ForAgent {
  const head = { run, revision };
  switch (decision.kind) {
    case 'open': {
      const values = decision.values === undefined ? new Uint8Array() : jsonBytes(decision.values);
      return { kind: 'open_gate', value: { ...head, gate: decision.gate, values } };
    }
    case 'close':
      return { kind: 'close_gate', value: { ...head, gate: decision.gate, cause: decision.cause } };
    case 'permit':
      return { kind: 'permit', value: { ...head, task: decision.task } };
    case 'hold':
      return { kind: 'hold', value: { run, reason: decision.reason } };
    case 'resume':
      return { kind: 'resume', value: { run } };
    case 'cancel':
      return { kind: 'cancel', value: { run, grace_ms: CANCEL_GRACE_MS, force: decision.force } };
  }
}
