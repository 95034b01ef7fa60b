import { KkError } from '../../shared/errors.ts';
import type { Generation } from '../../shared/protocol/messages.ts';
import type { Authority } from '../pki/authority.ts';
import type { Runner } from '../run/runner.ts';
import type { Database } from '../store/database.ts';
import { generationHold, raiseGeneration, rememberGenerationHold } from '../store/meta.ts';

export interface GenerationsParts {
  database: Database;
  authority: Authority;
  /** Raised by this start. */
  generation: number;
  warn(details: object, message: string): void;
}

/**
 * Agents return the highest generation they have seen, with our MAC. One above ours means that a later state of this
 * controller has led them (this one comes from a backup, or a copy of it is at work): max + 1 is taken durably, and every
 * run is held until a person has adopted it (ENGINE 3.6).
 */
export class Generations {
  private readonly parts: GenerationsParts;
  private current: number;
  private hold: { reason: string; adopted: string[] } | undefined;
  private runner: Runner | undefined;

  private constructor(parts: GenerationsParts, hold: { reason: string; adopted: string[] } | undefined) {
    this.parts = parts;
    this.current = parts.generation;
    this.hold = hold;
  }

  static async open(parts: GenerationsParts): Promise<Generations> {
    return new Generations(parts, await generationHold(parts.database));
  }

  /** Before the runner takes up its runs: what was held is held. */
  govern(runner: Runner): void {
    this.runner = runner;
    this.tell();
  }

  get value(): number {
    return this.current;
  }

  /** What an agent has seen; one whose MAC does not verify is ignored. Done before it is welcomed. */
  async seen(node: string, { value, mac }: Generation): Promise<void> {
    if (value <= this.current || !this.parts.authority.verifyGenerationMac(value, mac)) return;
    const reason = `${node} was led by generation ${value} of this controller, this one was ${this.current}: its state is older than what the nodes did.`;
    const hold = { reason, adopted: [] };
    await rememberGenerationHold(this.parts.database, hold);
    this.current = Math.max(this.current, await raiseGeneration(this.parts.database, value));
    this.hold = hold;
    this.parts.warn({ node, seen: value, generation: this.current }, `held until \`runs adopt\`: ${reason}`);
    this.tell();
  }

  /** Goes on with one run, or with all and everything new. */
  async adopt(run: string | undefined): Promise<void> {
    if (!this.hold) {
      throw new KkError({
        code: 'RUNS_NOT_HELD',
        message: 'No run is held: this controller is the newest that the nodes have met.',
        remedy: 'A paused run goes on with `kk-controller resume`.',
      });
    }
    const hold = run === undefined ? undefined : { ...this.hold, adopted: [...this.hold.adopted, run] };
    await rememberGenerationHold(this.parts.database, hold);
    this.hold = hold;
    this.tell();
  }

  /** Throws KkError GENERATION_BEHIND while a person has to adopt the runs first. */
  checkNew(): void {
    if (!this.hold) return;
    throw new KkError({
      code: 'GENERATION_BEHIND',
      message: `Nothing new is started: ${this.hold.reason}`,
      remedy:
        'Make sure that no other copy of this controller runs; cancel the runs of `kk-controller runs` that shall not go on; then `kk-controller runs adopt`.',
    });
  }

  private tell(): void {
    this.runner?.holdBehind(this.hold && { reason: this.hold.reason, adopted: new Set(this.hold.adopted) });
  }
}
