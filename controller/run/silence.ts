import { rebootSeconds } from '../../shared/actions/reboot.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import type { ActiveRun } from './active-run.ts';
import type { Dispatcher } from './ports.ts';
import { stepState } from './state.ts';

export interface Patience {
  leaseMs: number;
  /** After the lease, before a node is given up. */
  leaseMarginMs: number;
  /** For a node to which nothing was sent (ENGINE 2.6). */
  connectTimeoutMs: number;
  /** How long `exec` waits for a node that is away: a person sits in front of it. */
  execTimeoutMs: number;
}

/**
 * Why a node of a run is to be given up now; undefined: it is not. A node that may have its share may be at work until its
 * lease has run out, also when its connection only looks alive; one that has none is waited for as long as it may take to
 * connect. Counted from its last answered heartbeat or from when this controller began to care (ENGINE 2.6). One that went
 * down because a task told it to has no lease when it is back, and is waited for as long as the task says.
 */
export function tooSilent(
  run: ActiveRun,
  node: number,
  dispatcher: Dispatcher,
  patience: Patience,
  nowMs: number,
): ErrorReport | undefined {
  if ((run.state.pending[node] ?? 0) === 0) return undefined;
  const name = run.graph.nodes[node] ?? '';
  const accepted = run.state.nodes[node] === 'accepted';
  const isExec = run.record.kind === 'exec';
  const mayWork = accepted || (!isExec && (run.recovered || run.sent.has(node) || run.older.has(node)));
  if (!mayWork && dispatcher.isConnected(name)) return undefined;
  const limit = mayWork
    ? patience.leaseMs + patience.leaseMarginMs
    : isExec
      ? patience.execTimeoutMs
      : patience.connectTimeoutMs;
  const silent = Math.min(dispatcher.silentFor(name) ?? Number.POSITIVE_INFINITY, nowMs - run.sinceMs);
  const seconds = dispatcher.isConnected(name) ? undefined : awayFor(run, node);
  if (seconds !== undefined && silent >= seconds * 1000) return notBack(name, seconds);
  return silent < limit ? undefined : silentError(name, Math.round(limit / 1000), accepted);
}

/** Seconds that the node may be away, for it is restarting; undefined: it is not. */
function awayFor({ reboots, graph, state }: ActiveRun, node: number): number | undefined {
  const task = reboots.find((one) => stepState(state, one, node) === 'begun');
  return task === undefined ? undefined : rebootSeconds(graph.common.tasks[task]?.inputs);
}

function notBack(node: string, seconds: number): ErrorReport {
  return {
    code: 'REBOOT_NOT_BACK',
    message: `${node} was told to restart, and was not heard of for ${seconds} s.`,
    remedy: `Look at the console of ${node}: what does it wait for (fstab, a disk check, its boot loader)? Is its network up, and kk-agent started? Then apply the plan again: what is done stays done. Raise timeout_seconds if it only needs longer.`,
    node,
  };
}

function silentError(node: string, seconds: number, accepted: boolean): ErrorReport {
  return accepted
    ? {
        code: 'NODE_LOST',
        message: `${node} was not heard of for ${seconds} s, longer than its lease.`,
        remedy: `Look at the machine and its network (journalctl -u kk-agent on ${node}), then apply the plan again: what is done stays done.`,
        node,
      }
    : {
        code: 'NODE_NOT_CONNECTED',
        message: `${node} did not connect within ${seconds} s.`,
        remedy: `Run the line of \`kk-controller join-command --name ${node}\` on it, or give it \`ssh:\` settings in the inventory, then apply again.`,
        node,
      };
}
