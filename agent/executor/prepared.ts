import { createHmac } from 'node:crypto';
import { reportOf } from '../../shared/errors.ts';
import type { Facts } from '../../shared/facts.ts';
import type { Common, TaskSpec } from '../../shared/share.ts';
import type { NodeVariables } from '../../shared/variables.ts';
import type { Digest } from './digest.ts';
import type { Logger } from './ports.ts';
import { readsFacts } from './reads-facts.ts';
import { keepsEarlier } from './revision.ts';
import type { Secrets } from './secrets.ts';
import type { RunRecord } from './state.ts';
import { shareVariables } from './variables.ts';

/** What is made once for each share. */
export interface Prepared {
  common: Common;
  variables: NodeVariables;
  /** Steps may start: facts are there, or could not be gathered. */
  ready: boolean;
  facts?: Promise<Facts>;
  /** Tasks that do not stand as an earlier revision ended them. */
  differing: Set<number>;
}

export interface PreparedPorts {
  secrets: Secrets;
  logger: Logger;
  /** Keys the digests of inputs: they lie on disk. */
  journalId: string;
  gatherFacts(): Promise<Facts>;
  /** The first facts of a run are there. */
  onFacts(run: RunRecord, facts: Facts): void;
  changed(): void;
}

/** The runs whose documents have been read, each with its tasks, variables and facts. */
export class PreparedRuns {
  readonly #ports: PreparedPorts;
  readonly #runs = new Map<string, Prepared>();

  constructor(ports: PreparedPorts) {
    this.#ports = ports;
  }

  add(run: RunRecord, common: Common): void {
    const { secrets } = this.#ports;
    secrets.askAgain(run.run);
    const variables = shareVariables(run, common, (name) => secrets.value(run.run, name));
    const prepared: Prepared = { common, variables, ready: run.facts !== undefined, differing: new Set() };
    this.#runs.set(run.run, prepared);
    if (prepared.ready) return;
    if (run.share.kind === 'plan' || readsFacts(run.share, common)) void this.#firstFacts(run, prepared);
    else prepared.ready = true;
  }

  get(run: string): Prepared | undefined {
    return this.#runs.get(run);
  }

  forget(run: string): void {
    this.#runs.delete(run);
    this.#ports.secrets.forget(run);
  }

  tasks(run: RunRecord): readonly TaskSpec[] {
    return this.#runs.get(run.run)?.common.tasks ?? [];
  }

  keyOf(run: RunRecord, task: number): string {
    return this.tasks(run)[task]?.key ?? '';
  }

  secretsOf(run: RunRecord, task: number): readonly string[] {
    return this.tasks(run)[task]?.secrets ?? [];
  }

  /** Secrets count by their names (ENGINE 3.4). */
  digestOf(run: RunRecord): Digest {
    const { journalId, secrets } = this.#ports;
    return (text) => createHmac('sha256', journalId).update(secrets.named(run.run, text)).digest('hex');
  }

  /** Does what the step did in an earlier revision stand? If not it waits for its slot, and is asked once. */
  keeps(run: RunRecord, task: number): boolean {
    const prepared = this.#runs.get(run.run);
    const spec = prepared?.common.tasks[task];
    if (prepared === undefined || spec === undefined || prepared.differing.has(task)) return false;
    const { common, variables } = prepared;
    const keeps = keepsEarlier({ run, common, variables, task, spec, digest: this.digestOf(run) });
    if (!keeps) prepared.differing.add(task);
    return keeps;
  }

  factsOf(prepared: Prepared): Promise<Facts> {
    prepared.facts ??= this.#ports.gatherFacts();
    return prepared.facts;
  }

  /** Resolves when facts under way are there. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.#runs.values()].map(({ facts }) => facts));
  }

  async #firstFacts(run: RunRecord, prepared: Prepared): Promise<void> {
    try {
      this.#ports.onFacts(run, await this.factsOf(prepared));
    } catch (thrown) {
      const report = reportOf(thrown);
      this.#ports.logger.error({ run: run.run, report }, 'the facts of this node could not be gathered');
    }
    prepared.ready = true;
    this.#ports.changed();
  }
}
