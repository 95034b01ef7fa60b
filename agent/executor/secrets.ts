/** Values of secrets that steps of this node ask for: in memory, for as long as their run has something to do (ENGINE 2.7). */
import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import { FINAL_REFUSALS, hiddenPartsOf } from '../../shared/secrets.ts';
import { pause } from './pause.ts';
import type { Clock, ExecutorPorts, Logger } from './ports.ts';

/** A controller that cannot give one is asked again after this long, then twice as long, up to the longest. */
const FIRST_MS = 1_000;
const LONGEST_MS = 15_000;

export interface SecretsParts {
  ask: ExecutorPorts['secret'];
  clock: Clock;
  logger: Logger;
  /** Is there a step left that asks for it? */
  isWanted(run: string, name: string): boolean;
  /** Something that was wanted is there, or will never be. */
  onCome(): void;
}

/** What is known and wanted of one run. */
interface OfRun {
  values: Map<string, string>;
  /** What will never be there, and why. */
  refused: Map<string, ErrorReport>;
  wanted: Set<string>;
  forgotten: AbortController;
  waiting: Set<() => void>;
}

export class Secrets {
  readonly #parts: SecretsParts;
  readonly #runs = new Map<string, OfRun>();
  /** Ends the pauses between two questions. */
  #again = new AbortController();

  constructor(parts: SecretsParts) {
    this.#parts = parts;
  }

  /** Throws KkError with the controller's refusal of one that will never be there: its step fails by that. */
  value(run: string, name: string): string | undefined {
    const known = this.#runs.get(run);
    const refused = known?.refused.get(name);
    if (refused !== undefined) throw new KkError(refused);
    return known?.values.get(name);
  }

  /** Has each been decided: there, or refused for good? */
  has(run: string, names: readonly string[]): boolean {
    const known = this.#runs.get(run);
    return names.every((name) => known?.values.has(name) === true || known?.refused.has(name) === true);
  }

  /** A later revision may make what the one before did not. */
  askAgain(run: string): void {
    const known = this.#runs.get(run);
    if (known !== undefined) known.refused = new Map();
  }

  /** Is anything known or wanted of the run? */
  holds(run: string): boolean {
    return this.#runs.has(run);
  }

  /** Of all values of all runs what must be shown nowhere, the longest first: one may hold another. */
  values(): string[] {
    const all = [...this.#runs.values()].flatMap(({ values }) => [...values.values()].flatMap(hiddenPartsOf));
    return all.sort((a, b) => b.length - a.length);
  }

  /** The text with names in place of the run's values. */
  named(run: string, text: string): string {
    let named = text;
    for (const [name, value] of this.#runs.get(run)?.values ?? []) named = named.replaceAll(value, `secret:${name}`);
    return named;
  }

  /** Asks for what is not there, until it is. */
  want(run: string, names: readonly string[]): void {
    const known = this.#of(run);
    for (const name of names) {
      if (this.has(run, [name]) || known.wanted.has(name)) continue;
      known.wanted.add(name);
      void this.#fetch(run, name, known);
    }
  }

  /** Resolves when they are there or refused for good (true), or the run was forgotten. */
  async ready(run: string, names: readonly string[]): Promise<boolean> {
    this.want(run, names);
    const known = this.#of(run);
    const isOver = (): boolean => known.forgotten.signal.aborted || this.has(run, names);
    while (!isOver()) await new Promise<void>((resolve) => known.waiting.add(resolve));
    return this.has(run, names);
  }

  /** The controller is there again: what is wanted is asked for at once. */
  retry(): void {
    this.#again.abort();
    this.#again = new AbortController();
  }

  forget(run: string): void {
    const known = this.#runs.get(run);
    this.#runs.delete(run);
    known?.forgotten.abort();
    for (const resolve of known?.waiting ?? []) resolve();
  }

  /** Nothing is asked for any more. */
  close(): void {
    for (const run of [...this.#runs.keys()]) this.forget(run);
  }

  #of(run: string): OfRun {
    const known = this.#runs.get(run) ?? {
      values: new Map(),
      refused: new Map(),
      wanted: new Set(),
      forgotten: new AbortController(),
      waiting: new Set(),
    };
    this.#runs.set(run, known);
    return known;
  }

  /** Goes on for as long as a step waits, which fails only when the secret will never be there (ENGINE 2.7, ADR 8). */
  async #fetch(run: string, name: string, known: OfRun): Promise<void> {
    const { ask, clock, logger, isWanted } = this.#parts;
    const { signal } = known.forgotten;
    for (let ms = FIRST_MS; !signal.aborted; ms = Math.min(2 * ms, LONGEST_MS)) {
      const { refused } = known;
      try {
        const value = await ask(run, name, signal);
        if (signal.aborted) return;
        known.values.set(name, value);
        this.#decided(name, known);
        return;
      } catch (thrown) {
        const report = reportOf(thrown);
        // An answer to a question of an earlier revision decides nothing.
        if (FINAL_REFUSALS.has(report.code) && refused === known.refused && !signal.aborted) {
          known.refused.set(name, report);
          this.#decided(name, known);
          return;
        }
        if (ms === FIRST_MS && !signal.aborted)
          logger.warn({ run, secret: name, report }, 'a secret cannot be had yet; its step waits');
        await pause(clock, ms, AbortSignal.any([signal, this.#again.signal]));
        if (!isWanted(run, name)) break;
      }
    }
    known.wanted.delete(name);
  }

  #decided(name: string, known: OfRun): void {
    known.wanted.delete(name);
    const waiting = [...known.waiting];
    known.waiting.clear();
    for (const resolve of waiting) resolve();
    this.#parts.onCome();
  }
}
