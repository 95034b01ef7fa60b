import type { Logger } from 'pino';
import { clockSkew } from '../../shared/clock-skew.ts';
import { JOIN_PENDING } from '../../shared/enrolment.ts';
import { parseToken } from '../../shared/identity.ts';
import { type AgentPackage, openAgent } from '../bootstrap/agent-package.ts';
import { renderJoinScript } from '../bootstrap/join-script.ts';
import type { Patience } from '../config/settings.ts';
import { gateway, peerOf } from '../dispatch/gateway.ts';
import type { GatewayParts, Timer } from '../dispatch/ports.ts';
import type { Blobs } from '../operations/blobs.ts';
import { fetching } from '../operations/fetching.ts';
import { nodeSecrets } from '../operations/node-secrets.ts';
import { enrolNode } from '../pki/enrol.ts';
import { renewNode } from '../pki/renew.ts';
import type { Clock } from '../run/ports.ts';
import { type AgentApp, agentPort } from '../server/agent-port.ts';
import type { Engine } from './engine.ts';
import type { State } from './state.ts';

export interface AgentsSide {
  state: State;
  engine: Engine;
  clock: Clock;
  log: Logger;
  leaseMs: number;
  patience: Patience;
  packages: readonly AgentPackage[];
  blobs: Blobs;
  endpoints(): readonly string[];
  /** Every join waits for a person. */
  approve: boolean;
  stopping: AbortSignal;
}

/** The TCP port with the agents' gateway in it, not listening yet. */
export async function agentsPort(side: AgentsSide): Promise<AgentApp> {
  const { state, engine, clock, log, packages, endpoints } = side;
  const { authority, identities, tokens, pendings } = state;
  const parts = gatewayParts(side);
  const app = agentPort({
    tls: authority.controllerTls(),
    requestMs: side.patience.requestMs,
    peerOf: (request) => peerOf(parts, request),
    joinScript: (host) =>
      renderJoinScript({
        // The address under which the node found us is known to work from there.
        endpoints: [...new Set([...cameBy(host), ...endpoints()])],
        pin: authority.controllerKeyPin,
        agents: packages.map(({ manifest }) => manifest),
      }),
    agentFile(sha256) {
      const found = packages.find(({ manifest }) => manifest.gz.sha256 === sha256);
      return found && { stream: openAgent(found), size: found.manifest.gz.size };
    },
    blob: (node, sha256) => side.blobs.forNode(node, sha256),
    secret: nodeSecrets(engine.runner, state.secrets),
    fetched: fetching(engine.runner, state.fetched, state.folder),
    async enrol(request, remote) {
      const ports = {
        authority,
        tokens,
        pendings,
        ledger: identities,
        approve: side.approve,
        endpoints,
        clock: clock.nowMs,
      };
      const enrolled = await enrolNode(request, remote, ports);
      const code = enrolled.ok ? {} : { code: enrolled.report.code };
      const token = parseToken(request.token)?.id;
      const what = enrolled.ok ? 'node enrolled' : enrolled.asked ? 'join waits for approval' : 'enrolment refused';
      const isRepeated = !enrolled.ok && enrolled.report.code === JOIN_PENDING && !enrolled.asked;
      if (!isRepeated) log.info({ node: request.name, from: remote, token, ...code }, what);
      if (enrolled.ok && enrolled.replaced) engine.fleet.get(request.name)?.close(joinedAnew(request.name), true);
      if (enrolled.ok) engine.arrivals.trust(request.name);
      return enrolled;
    },
  });
  await app.register(gateway, { parts, fleet: engine.fleet });
  return app;
}

function gatewayParts({ state, engine, clock, log, ...side }: AgentsSide): GatewayParts {
  const { runner, arrivals, hub } = engine;
  const { authority, identities } = state;
  return {
    authority,
    ledger: identities,
    clock,
    timer,
    get generation() {
      return engine.generations.value;
    },
    leaseMs: side.leaseMs,
    helloMs: side.patience.helloMs,
    endpoints: side.endpoints,
    fleetSize: () => identities.all().length,
    async arrived(node, hello, certificateEndsMs, live) {
      // What an earlier connection of the node sent must be stored before we say how far that is.
      await runner.flush();
      await engine.generations.seen(node, hello.generation);
      return arrivals.arrived(node, hello, certificateEndsMs, live);
    },
    connected(node, hello) {
      log.info({ node, version: hello.version, journal: hello.journal_id }, 'agent connected');
      const skew = clockSkew(node, hello.now_ms, clock.nowMs());
      if (skew) log.warn(skew, skew.message);
      runner.connected(node, hello);
    },
    installation: (node, installation) => engine.installations.heard(node, installation),
    left(node) {
      log.info({ node }, 'agent disconnected');
      engine.installations.left(node);
      if (side.stopping.aborted) return;
      arrivals
        .left(node)
        .catch((error: unknown) => log.warn({ node, error: String(error) }, 'last seen was not noted'));
    },
    durable: (node, journal, sequence, message, refuse) => runner.receive(node, journal, sequence, message, refuse),
    permitWanted: (node, { run, revision, task }) => runner.permitWanted(node, run, revision, task),
    async log(node, chunk) {
      const run = runner.active.get(chunk.run);
      const index = run?.indexes.get(node);
      if (!run || index === undefined) return;
      // Until it takes a revision on, a node is at work with the one before.
      const { revision } = run.record;
      const told = revision > 1 && run.state.nodes[index] === 'waiting' ? revision - 1 : revision;
      const line = {
        ...(told > 1 ? { revision: told } : {}),
        at: chunk.at_ms,
        node,
        task: chunk.task,
        stream: chunk.stream === 'STREAM_STDERR' ? ('stderr' as const) : ('stdout' as const),
        offset: chunk.offset,
        text: Buffer.from(chunk.data).toString('utf8'),
      };
      await state.logs.append(chunk.run, line);
      hub.log(chunk.run, line);
    },
    blob: (node, sha256) => runner.blob(node, sha256),
    renew: (name, csrPem) => renewNode({ name, csrPem }, { authority, ledger: identities, clock: clock.nowMs }),
    audit: (what, details) => log.info(details, what),
  };
}

/** Node fires a timer of more milliseconds (24.8 days) at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A timer of the machine's. */
export function timer(ms: number, then: () => void): Timer {
  const set = setTimeout(then, Math.min(ms, LONGEST_TIMER_MS));
  return { refresh: () => set.refresh(), cancel: () => clearTimeout(set) };
}

function joinedAnew(node: string): { code: string; message: string; remedy: string } {
  return { code: 'REPLACED', message: `${node} was joined anew.`, remedy: 'Nothing to do.' };
}

/** The Host of a request as an endpoint; it is the client's word, so only a plain host:port counts. */
function cameBy(host: string | undefined): string[] {
  return host !== undefined && /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}$/.test(host) ? [`https://${host}`] : [];
}
