import { randomBytes } from 'node:crypto';
import type { Server } from 'node:https';
import { performance } from 'node:perf_hooks';
import pino, { type Logger } from 'pino';
import { type AgentPackage, readAgentPackages } from './bootstrap/agent-package.ts';
import { Address } from './compose/address.ts';
import { agentsPort, timer } from './compose/agents.ts';
import { makeEngine } from './compose/engine.ts';
import type { OnEnd } from './compose/on-end.ts';
import { openState } from './compose/state.ts';
import { PATIENCE, type ServeIo, type ServeOptions, socketPath } from './config/settings.ts';
import { BUILD, BUILD_HEADER, VERSION } from './config/version.ts';
import { blobs } from './operations/blobs.ts';
import { Bootstrapper } from './operations/bootstrapper.ts';
import { bringNodes } from './operations/bring.ts';
import { operations } from './operations/operations.ts';
import { Rollbacks } from './operations/rollbacks.ts';
import { Shells } from './operations/shells.ts';
import type { ActiveRun } from './run/active-run.ts';
import type { Clock } from './run/ports.ts';
import { listenOnSocket } from './server/listen-on-socket.ts';
import { openRequests } from './server/open-requests.ts';
import { operatorApi } from './server/operator-api.ts';
import { autoRollbacks, lastApprove, rememberApprove } from './store/meta.ts';
import { takeStateFolder } from './store/state-folder.ts';

const TICK_MS = 1_000;
const CERTIFICATE_CHECK_MS = 12 * 3_600_000;
/** How often files of plans that nobody wants any more are looked for. */
const SWEEP_MS = 3_600_000;
/** `--until-idle`: ends this long after the last run, reader or request of an operator. */
const IDLE_MS = 60_000;

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
    for (const close of opened.reverse()) {
      // A part that cannot close (a full disk) must not keep the others open.
      await close().catch((error: unknown) => log.error({ error: String(error) }, 'a part did not close'));
    }
  }
}

async function serve(options: ServeOptions, io: ServeIo, log: Logger, onEnd: OnEnd): Promise<number> {
  const stopping = new AbortController();
  io.stop.addEventListener('abort', () => stopping.abort(), { once: true });
  const clock: Clock = { nowMs: io.nowMs ?? Date.now, monotonicMs: () => performance.now() };
  const leaseMs = options.leaseSeconds * 1000;

  const state = await openState(options.stateFolder, clock, onEnd);
  const { authority, identities, tokens } = state;
  const connectTimeoutMs = options.connectTimeoutSeconds * 1000;
  const engine = await makeEngine(state, clock, log, { leaseMs, connectTimeoutMs });
  const { runner, fleet, hub } = engine;

  const files = blobs(state.blobs, runner);

  // Agents
  const packages = await readAgentPackages(options.agentFolder).catch((): AgentPackage[] => []);
  const address = await Address.of(options, state.database);
  const endpoints = (): readonly string[] => address.endpoints();
  // Kept: a controller that apply starts must not let in whom the one before would have asked about.
  const approve = options.approve ?? (await lastApprove(state.database)) ?? false;
  if (options.approve !== undefined) await rememberApprove(state.database, options.approve);
  const agentApp = await agentsPort({
    state,
    engine,
    clock,
    log,
    leaseMs,
    patience: options.patience ?? PATIENCE,
    packages,
    blobs: files,
    endpoints,
    approve,
    stopping: stopping.signal,
  });
  onEnd(() => runner.idle());
  onEnd(async () => runner.close());
  onEnd(() => agentApp.close());
  // Before any agent is heard: what it says of a run that is not there yet would be dropped.
  await runner.recover();
  await address.open(agentApp);

  // Operators
  const bootstrapper = new Bootstrapper({
    authority,
    ledger: identities,
    tokens,
    dispatcher: fleet,
    clock,
    random: randomBytes,
    agentFolder: options.agentFolder,
    port: () => address.port,
    endpoints,
    environment: io.environment,
  });
  const startedMs = clock.nowMs();
  const process = { version: VERSION, pid: globalThis.process.pid, startedMs, stateFolder: state.folder };
  const stop = stopping.signal;
  const bring = (run: ActiveRun): void => bringNodes({ runner, dispatcher: fleet, bootstrapper, clock, stop }, run);
  // Nodes that still waited for their SSH step when the last controller ended.
  for (const run of runner.active.values()) bring(run);
  const automatic = autoRollbacks(state.database);
  const rollbacks = new Rollbacks({ ...state, ...engine, files, automatic, clock, log, stop });
  await rollbacks.recover();
  const shells = new Shells({
    fleet,
    identities,
    clock,
    timer,
    idleMs: options.shellIdleSeconds * 1000,
    audit: (what, details) => log.info(details, what),
  });
  const manifests = packages.map(({ manifest }) => manifest);
  const audit = (what: string, details: object): void => log.info(details, what);
  const parts = {
    ...process,
    audit,
    manifests,
    ...state,
    ...engine,
    files,
    bootstrapper,
    bring,
    rollbacks,
    shells,
    connectTimeoutMs,
    clock,
    endpoints,
    approve,
    stop,
  };
  const api = operatorApi(operations(parts), { [BUILD_HEADER]: BUILD });
  onEnd(async () => {
    shells.close();
    await api.close();
  });
  let lastBusyMs = clock.monotonicMs();
  const requests = openRequests(api, () => {
    lastBusyMs = clock.monotonicMs();
  });
  await listenOnSocket(api, socketPath(state.folder));
  log.info(
    { ...process, generation: engine.generations.value, fleet: authority.fleetId, endpoints: endpoints() },
    'controller ready',
  );

  // Time
  const tick = setInterval(() => {
    runner.tick();
    engine.arrivals.tick();
    if (runner.active.size > 0 || hub.busy || shells.size > 0 || requests.size > 0) lastBusyMs = clock.monotonicMs();
    if (options.untilIdle && clock.monotonicMs() - lastBusyMs > IDLE_MS) stopping.abort();
  }, TICK_MS);
  const certificates = setInterval(() => {
    authority
      .refresh()
      .then((renewed) => {
        if (renewed) (agentApp.server as unknown as Server).setSecureContext(authority.controllerTls());
      })
      .catch((error: unknown) => log.error({ error: String(error) }, "the controller's certificate was not renewed"));
  }, CERTIFICATE_CHECK_MS);

  const sweep = (): void => {
    files.sweep().catch((error: unknown) => log.warn({ error: String(error) }, 'old files of plans were not removed'));
  };
  sweep();
  const sweeping = setInterval(sweep, SWEEP_MS);

  await aborted(stopping.signal);
  log.info('controller stopping');
  clearInterval(tick);
  clearInterval(certificates);
  clearInterval(sweeping);
  return 0;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
