import { randomUUID } from 'node:crypto';
import { reportIn } from '../../shared/error-report.ts';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
import type { Fleet } from '../dispatch/fleet.ts';
import type { NodeIdentity } from '../pki/ports.ts';
import type { Runner } from '../run/runner.ts';
import type { Identities } from '../store/identities.ts';
import type { Nodes } from '../store/nodes.ts';
import type { RemovedView } from '../views/types.ts';
import type { Installations } from './installations.ts';

/** An agent says at once that it leaves; then it ends its commands and stops. Together less than a client waits. */
const ANSWER_MS = 20_000;
const LEAVE_MS = 90_000;

export interface RemovalParts {
  identities: Identities;
  nodes: Pick<Nodes, 'remove'>;
  fleet: Fleet;
  installations: Installations;
  runner: Pick<Runner, 'active' | 'departures' | 'removed'>;
  stop: AbortSignal;
  audit(what: string, details: object): void;
}

/**
 * Takes the agent off a node, then forgets the node: its certificate opens nothing any more and its name is free. `force`
 * also where a run is at work on it, and where nobody is there to be taken off. No run begins there meanwhile. Throws
 * KkError NODE_UNKNOWN, NODE_AWAY, NODE_BUSY, NODE_LEAVING, AGENT_SILENT, STATE_CONFLICT, and why the agent refused.
 */
export async function removeNode(
  parts: RemovalParts,
  name: string,
  wish: { force: boolean; by: string },
): Promise<RemovedView> {
  const known = parts.identities.node(name);
  if (known === undefined) throw nodeUnknown(name);
  const left = parts.runner.departures.leave(name);
  try {
    return await remove(parts, known, wish);
  } finally {
    left();
  }
}

async function remove(
  parts: RemovalParts,
  known: NodeIdentity,
  { force, by }: { force: boolean; by: string },
): Promise<RemovedView> {
  const { name } = known;
  if (!force) refuseBusy(parts, name);
  const isThere = parts.fleet.isConnected(name);
  if (!isThere && !force && !known.revoked) throw nodeAway(name);
  const error = isThere ? await uninstall(parts, name) : undefined;
  if (error !== undefined && !force) throw new KkError({ ...error, node: name });
  if (!(await parts.identities.remove(known))) {
    throw new KkError({
      code: 'STATE_CONFLICT',
      message: `Node ${name} was changed at the same moment.`,
      remedy: 'Remove it again.',
    });
  }
  await parts.nodes.remove(name);
  parts.fleet.get(name)?.close(
    {
      code: 'CERT_REVOKED',
      message: `${name} was removed from the fleet.`,
      remedy: 'To take the agent off the machine: `kk-agent uninstall --yes`.',
    },
    true,
  );
  const uninstalled = isThere && error === undefined;
  // Its commands ended with it. Where nobody was there to be taken off they may go on: the lease says how long.
  if (uninstalled) await parts.runner.removed(name);
  parts.audit('node removed', { node: name, by, uninstalled });
  return { node: name, uninstalled };
}

/** Undefined: the agent has left. */
async function uninstall({ fleet, installations, stop }: RemovalParts, name: string): Promise<ErrorReport | undefined> {
  const id = randomUUID();
  fleet.send([name], { kind: 'uninstall', value: { id } });
  const heard = await installations.until(name, (one) => (one?.id === id ? one : undefined), {
    ms: ANSWER_MS,
    signal: stop,
  });
  if (heard === undefined) return silent(name);
  const left = await installations.until(
    name,
    (one) => (one === undefined || one.state === 'INSTALL_STATE_REFUSED' ? { error: one?.error } : undefined),
    { ms: LEAVE_MS, signal: stop },
  );
  if (left === undefined) return silent(name);
  return left.error === undefined ? undefined : reportIn(left.error, `The agent of ${name}`);
}

function refuseBusy({ runner }: RemovalParts, name: string): void {
  const run = [...runner.active.values()].find(({ nodes }) => nodes.has(name));
  if (run === undefined) {
    if (!runner.departures.isEntered(name)) return;
    throw new KkError({
      code: 'NODE_BUSY',
      message: `A run is just beginning on ${name}.`,
      remedy: 'See `kk-controller runs`; wait for it or cancel it, or remove the node with --force.',
      node: name,
    });
  }
  throw new KkError({
    code: 'NODE_BUSY',
    message: `Run ${run.record.id} (${run.record.name}) is at work on ${name}.`,
    remedy: `Wait for it or cancel it (\`kk-controller cancel ${run.record.id}\`); or remove the node with --force.`,
    node: name,
  });
}

function silent(node: string): ErrorReport {
  return {
    code: 'AGENT_SILENT',
    message: `The agent of ${node} did not leave.`,
    remedy: `On ${node}: \`kk-agent uninstall --yes\`; then \`kk-controller nodes remove ${node} --force\` here.`,
  };
}

function nodeAway(node: string): KkError {
  return new KkError({
    code: 'NODE_AWAY',
    message: `${node} is not connected: its agent cannot be taken off it.`,
    remedy: `Remove it when it is back; or forget it with --force, and say \`kk-agent uninstall --yes\` on the machine.`,
    node,
  });
}

/** Also for `revoke`. */
export function nodeUnknown(name: string): KkError {
  return new KkError({
    code: 'NODE_UNKNOWN',
    message: `There is no node "${name}".`,
    remedy: 'See `kk-controller nodes` for the nodes there are.',
  });
}
