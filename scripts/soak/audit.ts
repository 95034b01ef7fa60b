import type { TaskGraph } from '../../controller/compile/graph.ts';
import type { RunView } from '../../controller/views/types.ts';
import { behaviourOf, textOf } from '../fleet/behaviour.ts';
import type { LedgerReader } from '../fleet/ledger.ts';
import { model } from '../fleet/model.ts';

/** What came out otherwise than it must. */
export interface Findings {
  /** Steps that the model has done, and that were not done or not told of. */
  lost: number;
  /** Steps done twice, done though the model blocks them, or done after the end of their run. */
  twice: number;
  /** The first few, in words. */
  examples: string[];
}

const EXAMPLES = 20;

/** Compares what was done on the machines (their ledgers) and what the controller tells with what the model says. */
export class Audit {
  readonly findings: Findings = { lost: 0, twice: 0, examples: [] };
  readonly #ledgers: readonly Pick<LedgerReader, 'more'>[];
  readonly #seed: number;
  /** run -> `node task` -> times begun. */
  readonly #begun = new Map<string, Map<string, number>>();
  readonly #closed = new Set<string>();

  constructor(ledgers: readonly Pick<LedgerReader, 'more'>[], seed: number) {
    this.#ledgers = ledgers;
    this.#seed = seed;
  }

  /** Of a run that has ended by itself. Gives how many steps were checked. */
  async check(run: string, graph: TaskGraph, view: Pick<RunView, 'nodes'>): Promise<number> {
    await this.read();
    const begun = this.#begun.get(run) ?? new Map<string, number>();
    const { ends } = this.#model(graph);
    let steps = 0;
    for (const [index, name] of graph.nodes.entries()) {
      const counts = { ok: 0, failed: 0, blocked: 0 };
      for (const task of graph.tasks) {
        const end = ends[task.index]?.get(index);
        if (end === undefined) continue;
        steps += 1;
        counts[end] += 1;
        if (task.action === 'command') this.#compare(run, name, task.index, end === 'blocked' ? 0 : 1, begun);
      }
      const told = view.nodes.find(({ node }) => node === name);
      const isTold = told?.ok === counts.ok && told.failed === counts.failed && told.blocked === counts.blocked;
      if (!isTold)
        this.#found('lost', `${run} ${name}: told ${JSON.stringify(told)}, modelled ${JSON.stringify(counts)}`);
    }
    this.close(run);
    return steps;
  }

  /** Nothing of the run may begin any more. */
  close(run: string): void {
    for (const [step, times] of this.#begun.get(run) ?? [])
      if (times > 1) this.#found('twice', `${run} ${step}: begun ${times} times`);
    this.#begun.delete(run);
    this.#closed.add(run);
  }

  /** Takes in what the machines have done since the last time. */
  async read(): Promise<void> {
    for (const ledger of this.#ledgers) {
      for (const deed of await ledger.more()) {
        if (!('began' in deed)) continue;
        const [run = '', task = ''] = deed.began.folder.split('/').slice(-4);
        if (this.#closed.has(run)) this.#found('twice', `${run} ${deed.node} ${task}: begun after the end`);
        const steps = this.#begun.get(run) ?? new Map<string, number>();
        const key = `${deed.node} ${task}`;
        this.#begun.set(run, steps.set(key, (steps.get(key) ?? 0) + 1));
      }
    }
  }

  #model(graph: TaskGraph): ReturnType<typeof model> {
    return model(graph, (node, task) => {
      const spec = graph.common.tasks[task];
      if (spec?.action !== 'command') return { durationMs: 0, ok: true };
      const place = { seed: this.#seed, node: graph.nodes[node] ?? '', step: `${task}/0.1` };
      const { argv } = spec.inputs as { argv: string[] };
      const { durationMs, code } = behaviourOf(textOf(argv), place, { ms: [0, 0], fail: 0 });
      return { durationMs, ok: code === 0 };
    });
  }

  #compare(run: string, node: string, task: number, wanted: number, begun: Map<string, number>): void {
    const key = `${node} ${task}`;
    const times = begun.get(key) ?? 0;
    if (times < wanted) this.#found('lost', `${run} ${key}: never begun`);
    if (times > wanted) this.#found('twice', `${run} ${key}: begun ${times} times instead of ${wanted}`);
    begun.delete(key);
  }

  #found(what: 'lost' | 'twice', example: string): void {
    this.findings[what] += 1;
    if (this.findings.examples.length < EXAMPLES) this.findings.examples.push(`${what}: ${example}`);
  }
}
