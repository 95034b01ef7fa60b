/** Lives of the controller over one store: real runner, gateway conversations, fleet and arrivals. */

import { graphFromJson } from '../../controller/compile/serialise.ts';
import { Fleet } from '../../controller/dispatch/fleet.ts';
import { Conversation } from '../../controller/dispatch/gateway.ts';
import type { GatewayParts } from '../../controller/dispatch/ports.ts';
import { Arrivals } from '../../controller/operations/arrivals.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import type { AppendBatch, EventLog, RunRecord } from '../../controller/run/ports.ts';
import { Runner } from '../../controller/run/runner.ts';
import type { Cursor, NodeRecord, Nodes } from '../../controller/store/nodes.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import { NOTHING_LOCAL } from '../support/local-parts.ts';
import { recordedBy } from '../support/simulated-fleet.ts';
import { never, type SimulatedTime } from './time.ts';
import type { Wire } from './wire.ts';

export const LEASE_MS = 100_000;
export const MARGIN_MS = 10_000;
export const CONNECT_TIMEOUT_MS = 60_000;

export interface StoredRun {
  record: RunRecord;
  graphJson: string;
  events: RunEvent[];
}

/** What the database holds: survives every crash. */
export class Store {
  readonly runs = new Map<string, StoredRun>();
  readonly cursors = new Map<string, Cursor>();
  readonly nodes = new Map<string, NodeRecord>();
  /** node -> the plan run that was started there last. */
  readonly plans = new Map<string, string>();
  /** `run node` -> incarnation of its disk when the run's last revision for the loss of its journal was stored. */
  readonly losses = new Map<string, number>();
  readonly #incarnationOf: (node: string) => number;
  generation = 0;
  /** Transactions under way. */
  appends: { commit(): void }[] = [];

  constructor(incarnationOf: (node: string) => number) {
    this.#incarnationOf = incarnationOf;
  }

  /** One transaction. */
  write({ runs, cursors }: AppendBatch): void {
    for (const { run, firstSequence } of runs)
      if (this.runs.get(run)?.events.length !== firstSequence - 1) throw new Error(`${run}: not the next event`);
    for (const { run, events, graphs = [], takes = [] } of runs) {
      const kept = this.runs.get(run);
      for (const node of takes) this.plans.set(node, run);
      if (kept) kept.graphJson = graphs.at(-1)?.graphJson ?? kept.graphJson;
      for (const event of events) {
        // What is stored is a copy, as it would be read again.
        kept?.events.push(structuredClone(event));
        if (event.kind === 'revised' && event.node !== undefined && kept) {
          const node = graphFromJson(kept.graphJson).nodes[event.node] ?? '';
          this.losses.set(`${run} ${node}`, this.#incarnationOf(node));
        }
        if (kept) Object.assign(kept.record, recordedBy(event));
      }
    }
    for (const { node, journal, sequence } of cursors) this.cursors.set(node, { journal, sequence });
  }
}

export interface ControllerTroubles {
  trouble(text: string): void;
}

export class Controller {
  readonly runner: Runner;
  readonly fleet: Fleet;
  readonly generation: number;
  alive = true;
  /** Runs are rebuilt: agents are listened to. */
  ready = false;
  readonly #store: Store;
  readonly #parts: GatewayParts;
  readonly #arrivals: Arrivals;

  constructor(store: Store, time: SimulatedTime, troubles: ControllerTroubles) {
    this.#store = store;
    store.generation += 1;
    this.generation = store.generation;
    const clock = { nowMs: () => time.now, monotonicMs: () => time.now };
    this.fleet = new Fleet(clock);
    this.runner = new Runner({
      local: NOTHING_LOCAL,
      log: this.#log(),
      dispatcher: this.fleet,
      clock,
      watcher: { events: () => {} },
      options: {
        leaseMs: LEASE_MS,
        leaseMarginMs: MARGIN_MS,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        execTimeoutMs: 10_000,
      },
      trouble: (error) => {
        if (error !== undefined) troubles.trouble(error instanceof Error ? String(error.stack) : String(error));
      },
    });
    this.#arrivals = new Arrivals({
      nodes: this.#nodes(),
      clock,
      onDoubt: (node, error) => this.runner.doubt(node, error.message),
      onTrust: (node) => this.runner.trust(node),
      onVoid: (node, present) => {
        this.fleet.supersede(node);
        return this.runner.voided(node, present);
      },
    });
    const { runner } = this;
    this.#parts = {
      authority: {
        generationMac: () => new Uint8Array(32),
        bundlePem: () => '',
        bundleVersion: 1,
        fleetId: 'f',
      } as never,
      ledger: { node: () => undefined } as never,
      clock,
      timer(ms, then) {
        let cancel = time.after(ms, then);
        return {
          refresh() {
            cancel();
            cancel = time.after(ms, then);
          },
          cancel: () => cancel(),
        };
      },
      generation: this.generation,
      leaseMs: LEASE_MS,
      helloMs: 10_000,
      endpoints: () => [],
      // Sets the pace: heartbeats every 20 s.
      fleetSize: () => 1000,
      arrived: async (node, hello, ends, live) => {
        await runner.flush();
        return this.#arrivals.arrived(node, hello, ends, live);
      },
      connected: (node, hello) => runner.connected(node, hello),
      installation: () => {},
      left: () => {},
      durable: (node, journal, sequence, message, refuse) => runner.receive(node, journal, sequence, message, refuse),
      permitWanted: (node, wish) => runner.permitWanted(node, wish.run, wish.revision, wish.task),
      log: async () => {},
      blob: (node, sha256) => runner.blob(node, sha256),
      renew: () => never(),
      audit: () => {},
    };
    void runner.recover().then(() => {
      this.ready = true;
    });
  }

  /** An agent's connection comes in. */
  accept(wire: Wire): void {
    const judge = () => ({ kind: 'node' as const, name: wire.node, serial: '1' });
    new Conversation(
      { socket: wire.gateway, remote: '', judge, certificateEndsMs: 0 },
      this.#parts,
      this.fleet,
    ).start();
  }

  tick(): void {
    if (!this.ready) return;
    this.runner.tick();
    this.#arrivals.tick();
  }

  /** SIGKILL. */
  kill(): void {
    this.alive = false;
    this.ready = false;
  }

  #log(): EventLog {
    const store = this.#store;
    return {
      createRun: async (record, graphJson) => {
        if (!this.alive) return never();
        store.runs.set(record.id, { record: { ...record }, graphJson, events: [] });
      },
      append: (batch) =>
        new Promise((resolve) => {
          if (!this.alive) return;
          if (batch.runs.length === 0 && batch.cursors.length === 0) return resolve();
          store.appends.push({
            commit: () => {
              store.write(batch);
              if (this.alive) resolve();
            },
          });
        }),
      activeRuns: async () =>
        [...store.runs.values()]
          .filter(({ record }) => !runHasEnded(record.status))
          .map(({ record, graphJson }) => ({ record: { ...record }, graphJson })),
      find: async (id) => {
        const found = store.runs.get(id);
        return found && { record: { ...found.record }, graphJson: found.graphJson };
      },
      lastPlans: async () =>
        [...store.plans].map(([node, run]) => ({ node, run, status: store.runs.get(run)?.record.status ?? 'done' })),
      events: async (run) => structuredClone(store.runs.get(run)?.events ?? []),
    };
  }

  #nodes(): Nodes {
    const store = this.#store;
    const ifAlive = async <T>(what: () => T): Promise<T> => (this.alive ? what() : never());
    return {
      get: (name) =>
        ifAlive(() => ({
          record: store.nodes.get(name),
          cursor: store.cursors.get(name) ?? { journal: '', sequence: 0 },
        })),
      put: (name, record) =>
        ifAlive(() => {
          store.nodes.set(name, record);
        }),
      seen: () => ifAlive(() => {}),
      all: () => ifAlive(() => []),
      remove: () => ifAlive(() => {}),
    };
  }
}
