import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import pino, { type Logger } from 'pino';
import { isSystemError, KkError, reportOf } from '../shared/errors.ts';
import { type AgentPackage, openAgent, readAgentPackages } from './bootstrap/agent-package.ts';
import { renderJoinScript } from './bootstrap/join-script.ts';
import {
  DEFAULT_LISTEN,
  type ListenAddress,
  PATIENCE,
  type ServeIo,
  type ServeOptions,
  socketPath,
} from './config/settings.ts';
import { VERSION } from './config/version.ts';
import { Fleet } from './dispatch/fleet.ts';
import { gateway, peerOf } from './dispatch/gateway.ts';
import type { GatewayParts } from './dispatch/ports.ts';
import { Arrivals } from './operations/arrivals.ts';
import { Bootstrapper } from './operations/bootstrapper.ts';
import { Hub } from './operations/hub.ts';
import { operations } from './operations/operations.ts';
import { Runs } from './operations/runs.ts';
import { openAuthority } from './pki/authority.ts';
import { enrolNode } from './pki/enrol.ts';
import { renewNode } from './pki/renew.ts';
import type { Clock } from './run/ports.ts';
import { Runner } from './run/runner.ts';
import { agentPort } from './server/agent-port.ts';
import { listenOnSocket } from './server/listen-on-socket.ts';
import { operatorApi } from './server/operator-api.ts';
import { openDatabase } from './store/database.ts';
import { eventLog } from './store/event-log.ts';
import { openIdentities } from './store/identities.ts';
import { lastServing, raiseGeneration, rememberServing } from './store/meta.ts';
import { nodeStore } from './store/nodes.ts';
import { runLogs } from './store/run-logs.ts';
import { takeStateFolder } from './store/state-folder.ts';
import { tokenStore } from './store/tokens.ts';

const TICK_MS = 1_000;
const CERTIFICATE_CHECK_MS = 12 * 3_600_000;
/** `--until-idle`: ends this long after the last run, reader or connection of an operator. */
const IDLE_MS = 15_000;
/** Beyond the lease, for the way and the clocks' drift (ENGINE 2.6). */
const LEASE_MARGIN_MS = 30_000;

/**
 * Builds the parts and introduces them to each other; serves until asked to stop, or until idle. Returns the exit code.
 * Throws KkError for what a person can mend: the folder, the port, the certificates.
 */
export async function runServe(options: ServeOptions, io: ServeIo): Promise<number> {
  const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, io.log);
  const folder = await takeStateFolder(options.stateFolder, process.pid);
  // What is open must be closed also when a later part cannot start: an open database keeps the process alive.
  const opened: (() => Promise<unknown>)[] = [() => folder.release()];
  try {
    return await serve(options, io, log, (close) => opened.push(close));
  } finally {
    for (const close of opened.reverse()) await close();
  }
}

/** `onEnd` takes what closes a part; they are called in reverse order, however it ends. */
async function serve(
  options: ServeOptions,
  io: ServeIo,
  log: Logger,
  onEnd: (close: () => Promise<unknown>) => void,
): Promise<number> {
  const stopping = new AbortController();
  io.stop.addEventListener('abort', () => stopping.abort(), { once: true });
  const clock: Clock = { nowMs: io.nowMs ?? Date.now, monotonicMs: () => performance.now() };
  const patience = options.patience ?? PATIENCE;

  // State
  const authority = await openAuthority(join(options.stateFolder, 'pki'), { clock: clock.nowMs });
  const database = await openDatabase(options.stateFolder);
  onEnd(() => database.close());
  const generation = await raiseGeneration(database);
  const [archive, identities, tokens, nodes] = [
    eventLog(database),
    await openIdentities(database),
    tokenStore(database),
    nodeStore(database),
  ];
  const logs = runLogs(join(options.stateFolder, 'runs'));
  const agentFolder = options.agentFolder;
  const agents = await readAgentPackages(agentFolder).catch((): AgentPackage[] => []);

  // Engine
  const fleet = new Fleet(clock);
  const hub = new Hub();
  const leaseMs = options.leaseSeconds * 1000;
  const runner = new Runner({
    log: archive,
    dispatcher: fleet,
    clock,
    watcher: hub,
    options: {
      leaseMs,
      leaseMarginMs: LEASE_MARGIN_MS,
      connectTimeoutMs: options.connectTimeoutSeconds * 1000,
      execTimeoutMs: 10_000,
    },
    trouble(error) {
      if (error === undefined) log.info('the state can be written again');
      else log.error({ error: reportOf(error) }, 'what happens cannot be stored; agents keep it until it can');
    },
  });
  const runs = new Runs({ archive, runner, hub, logs, nowMs: clock.nowMs });
  const arrivals = new Arrivals({
    nodes,
    clock,
    onDuplicate: (node, error) => log.warn({ node, error: error.message }, 'duplicate identity'),
  });

  // Agents
  const before = await lastServing(database);
  const wanted = options.listen ?? before?.listen ?? DEFAULT_LISTEN;
  const advertise = options.advertise ?? before?.advertise ?? [];
  let port = wanted.port;
  const endpoints = (): readonly string[] => (advertise.length > 0 ? advertise : ownEndpoints(wanted.host, port));
  const audit = (what: string, details: Record<string, unknown>): void => log.info(details, what);
  const parts: GatewayParts = {
    authority,
    ledger: identities,
    clock,
    generation,
    leaseMs,
    helloMs: patience.helloMs,
    endpoints,
    fleetSize: () => identities.all().length,
    async arrived(node, hello, certificateEndsMs, live) {
      await runner.flush();
      return arrivals.arrived(node, hello, certificateEndsMs, live);
    },
    connected(node, hello) {
      log.info({ node, version: hello.version, journal: hello.journal_id }, 'agent connected');
      runner.connected(node, hello);
    },
    left(node) {
      log.info({ node }, 'agent disconnected');
      if (stopping.signal.aborted) return;
      arrivals
        .left(node)
        .catch((error: unknown) => log.warn({ node, error: String(error) }, 'last seen was not noted'));
    },
    durable: (node, journal, sequence, message, refuse) => runner.receive(node, journal, sequence, message, refuse),
    permitWanted: (node, { run, task }) => runner.permitWanted(node, run, task),
    async log(node, chunk) {
      const line = {
        at: chunk.at_ms,
        node,
        task: chunk.task,
        stream: chunk.stream === 'STREAM_STDERR' ? ('stderr' as const) : ('stdout' as const),
        offset: chunk.offset,
        text: Buffer.from(chunk.data).toString('utf8'),
      };
      if (!runner.active.get(chunk.run)?.graph.nodes.includes(node)) return;
      await logs.append(chunk.run, line);
      hub.log(chunk.run, line);
    },
    blob: (node, sha256) => runner.blob(node, sha256),
    renew: (name, csrPem) => renewNode({ name, csrPem }, { authority, ledger: identities, clock: clock.nowMs }),
    audit,
  };
  const agentApp = agentPort({
    tls: authority.controllerTls(),
    requestMs: patience.requestMs,
    peerOf: (request) => peerOf(parts, request),
    joinScript: (host) =>
      renderJoinScript({
        endpoints: [...new Set([...(host ? [`https://${host}`] : []), ...endpoints()])],
        pin: authority.controllerKeyPin,
        agents: agents.map(({ manifest }) => manifest),
      }),
    agentFile(sha256) {
      const found = agents.find(({ manifest }) => manifest.gz.sha256 === sha256);
      return found && { stream: openAgent(found), size: found.manifest.gz.size };
    },
    async enrol(request, remote) {
      const enrolled = await enrolNode(request, {
        authority,
        tokens,
        ledger: identities,
        endpoints,
        clock: clock.nowMs,
      });
      audit(enrolled.ok ? 'node enrolled' : 'enrolment refused', {
        node: request.name,
        from: remote,
        ...(enrolled.ok ? {} : { code: enrolled.report.code }),
      });
      if (enrolled.ok && enrolled.replaced) {
        fleet
          .get(request.name)
          ?.close({ code: 'REPLACED', message: `${request.name} was joined anew.`, remedy: 'Nothing to do.' }, true);
      }
      return enrolled;
    },
  });
  onEnd(() => runner.idle());
  onEnd(() => agentApp.close());
  await agentApp.register(gateway, { parts, fleet });
  // Before any agent is heard: what it says of a run that is not there yet would be dropped.
  await runner.recover();
  port = await listen(agentApp, wanted);
  await rememberServing(database, { listen: { host: wanted.host, port }, advertise });

  // Operators
  const bootstrapper = new Bootstrapper({
    authority,
    ledger: identities,
    tokens,
    dispatcher: fleet,
    clock,
    random: randomBytes,
    agentFolder,
    port: () => port,
    endpoints,
    environment: io.environment,
  });
  const api = operatorApi(
    operations({
      version: VERSION,
      stateFolder: options.stateFolder,
      startedMs: clock.nowMs(),
      generation,
      pid: process.pid,
      authority,
      identities,
      tokens,
      nodes,
      archive,
      runner,
      runs,
      fleet,
      arrivals,
      bootstrapper,
      clock,
      endpoints,
      stop: stopping.signal,
    }),
  );
  onEnd(() => api.close());
  let lastBusyMs = clock.monotonicMs();
  api.addHook('onResponse', async () => {
    lastBusyMs = clock.monotonicMs();
  });
  await listenOnSocket(api, socketPath(options.stateFolder));
  log.info(
    { version: VERSION, generation, fleet: authority.fleetId, endpoints: endpoints(), state: options.stateFolder },
    'controller ready',
  );

  // Time
  const tick = setInterval(() => {
    runner.tick();
    if (runner.active.size > 0 || hub.busy) lastBusyMs = clock.monotonicMs();
    if (options.untilIdle && clock.monotonicMs() - lastBusyMs > IDLE_MS) stopping.abort();
  }, TICK_MS);
  const certificates = setInterval(() => {
    void authority.refresh().then((renewed) => {
      if (renewed)
        (agentApp.server as unknown as { setSecureContext(tls: object): void }).setSecureContext(
          authority.controllerTls(),
        );
    });
  }, CERTIFICATE_CHECK_MS);

  await new Promise<void>((resolve) => {
    if (stopping.signal.aborted) resolve();
    stopping.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  log.info('controller stopping');
  clearInterval(tick);
  clearInterval(certificates);
  return 0;
}

async function listen(app: ReturnType<typeof agentPort>, { host, port }: ListenAddress): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (cause) {
    if (isSystemError(cause, 'EADDRINUSE') || isSystemError(cause, 'EACCES') || isSystemError(cause, 'EADDRNOTAVAIL')) {
      throw new KkError({
        code: 'PORT_IN_USE',
        message: `The controller cannot listen on ${host}:${port}: ${(cause as Error).message}.`,
        remedy: `See who has it with \`ss -ltnp 'sport = :${port}'\`, or choose another with --listen (or KK_LISTEN).`,
        cause,
      });
    }
    throw cause;
  }
  const address = app.server.address();
  return typeof address === 'object' && address ? address.port : port;
}

/** Endpoints made from the machine's own addresses, when none are told with --advertise. */
function ownEndpoints(host: string, port: number): string[] {
  const wildcard = host === '0.0.0.0' || host === '::';
  if (!wildcard) return [`https://${host.includes(':') ? `[${host}]` : host}:${port}`];
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = addresses.filter((a) => !a.internal && a.family === 'IPv4').map((a) => a.address);
  return [...outside, '127.0.0.1'].map((address) => `https://${address}:${port}`);
}
