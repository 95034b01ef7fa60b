import type { Logger } from 'pino';
import { reportOf } from '../../shared/errors.ts';
import { Fleet } from '../dispatch/fleet.ts';
import { Arrivals } from '../operations/arrivals.ts';
import { Generations } from '../operations/generations.ts';

import { Hub } from '../operations/hub.ts';
import { Installations } from '../operations/installations.ts';
import { Runs } from '../operations/runs.ts';
import { Confirmations } from '../run/local/confirmations.ts';
import type { Clock } from '../run/ports.ts';
import { Runner } from '../run/runner.ts';
import { timer } from './agents.ts';
import { localParts } from './local.ts';
import type { State } from './state.ts';

/** Beyond the lease, for the way and the clocks' drift (ENGINE 2.6). */
const LEASE_MARGIN_MS = 30_000;
/** `exec` waits this long for a node that is away: a person sits in front of it. */
const EXEC_TIMEOUT_MS = 10_000;

/** What decides and remembers: runs, who is connected, who watches. */
export interface Engine {
  fleet: Fleet;
  hub: Hub;
  runner: Runner;
  runs: Runs;
  arrivals: Arrivals;
  generations: Generations;
  installations: Installations;
  confirmations: Confirmations;
}

export async function makeEngine(
  state: State,
  clock: Clock,
  log: Logger,
  times: { leaseMs: number; connectTimeoutMs: number },
): Promise<Engine> {
  const fleet = new Fleet(clock);
  const hub = new Hub();
  const confirmations = new Confirmations();
  const runner = new Runner({
    log: state.archive,
    dispatcher: fleet,
    clock,
    watcher: hub,
    local: localParts(state, confirmations, timer, clock.nowMs, (run, step, text) =>
      hub.progress(run, clock.nowMs(), step, text),
    ),
    options: { ...times, leaseMarginMs: LEASE_MARGIN_MS, execTimeoutMs: EXEC_TIMEOUT_MS },
    trouble(error) {
      if (error === undefined) log.info('the state can be written again');
      else log.error({ error: reportOf(error) }, 'what happens cannot be stored; agents keep it until it can');
    },
  });
  const generations = await Generations.open({
    database: state.database,
    authority: state.authority,
    generation: state.generation,
    warn: (details, message) => log.warn(details, message),
  });
  generations.govern(runner);
  return {
    confirmations,
    fleet,
    generations,
    hub,
    installations: new Installations(),
    runner,
    runs: new Runs({
      archive: state.archive,
      runner,
      hub,
      logs: state.logs,
      nowMs: clock.nowMs,
      isConnected: (node) => fleet.isConnected(node),
    }),
    arrivals: new Arrivals({
      nodes: state.nodes,
      clock,
      onDoubt(node, error) {
        log.warn({ node, error: error.message }, 'duplicate identity');
        runner.doubt(node, error.message);
      },
      onTrust(node) {
        log.info({ node }, 'the node is one machine again');
        runner.trust(node);
      },
      async onVoid(node, present) {
        log.warn({ node }, 'the journal of the node is a new one or was set back: what it knows no more is done again');
        fleet.supersede(node);
        await runner.voided(node, present);
      },
    }),
  };
}
