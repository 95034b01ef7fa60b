import { Facts } from '../../shared/facts.ts';
import type { StreamLine } from '../views/types.ts';
import type { Watcher } from './follow.ts';
import { byName } from './output/exec-text.ts';
import type { ToldFacts } from './output/facts-text.ts';
import type { Problem } from './output/problems.ts';

/** Gathers what the nodes of a facts run tell. */
export class FactsWatcher implements Watcher {
  readonly note: (text: string) => void;
  readonly #told = new Map<string, ToldFacts>();
  readonly #errors = new Map<string, Problem>();

  constructor(note: (text: string) => void) {
    this.note = note;
  }

  get told(): ToldFacts[] {
    return [...this.#told.values()].sort((a, b) => byName(a.node, b.node));
  }

  /** Of the nodes that told nothing. */
  get errors(): Problem[] {
    return [...this.#errors.values()];
  }

  line(line: StreamLine): void {
    if (line.type !== 'ended' && line.type !== 'node') return;
    const { node, at, error } = line;
    if (error) this.#errors.set(node, { ...error, node });
    if (line.type !== 'ended') return;
    const output = line.output as { facts?: unknown } | undefined;
    const facts = Facts.safeParse(output?.facts);
    if (facts.success) this.#told.set(node, { node, at, facts: facts.data });
  }

  restart(): void {
    this.#told.clear();
    this.#errors.clear();
  }

  end(): void {}
}
