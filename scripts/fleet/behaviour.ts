/** What a simulated machine does with a command: drawn from the seed and the command itself, so the same seed gives the same fleet. */
import { createHash } from 'node:crypto';

/** What commands do that say nothing themselves. */
export interface Work {
  /** Shortest and longest duration, drawn evenly. */
  ms: readonly [number, number];
  /** Part of the commands that fail, 0 to 1. */
  fail: number;
}

/** One run of a command. */
export interface Behaviour {
  durationMs: number;
  /** Exit code. */
  code: number;
  /** Bytes that it writes to stdout. */
  output: number;
}

/** Where a command runs: a step of a node, whatever the run is called. */
export interface Place {
  seed: number;
  node: string;
  /** Of the step: `<task>/<item>.<attempt>`. */
  step: string;
}

/**
 * The behaviour of a command. Words in its text are stronger than `work`: `ms=200` or `ms=200..900`, `fail=0.1`, `code=3` (of
 * a failure; default 1), `out=4096`. Pure.
 */
export function behaviourOf(text: string, place: Place, work: Work): Behaviour {
  const [when, whether] = uniform(`${place.seed} ${place.node} ${place.step} ${text}`);
  const [shortest, longest = shortest] = wordOf(text, 'ms')?.split('..').map(Number) ?? work.ms;
  const durationMs = Math.round((shortest ?? 0) + when * ((longest ?? 0) - (shortest ?? 0)));
  const fails = whether < Number(wordOf(text, 'fail') ?? work.fail);
  return {
    durationMs,
    code: fails ? Number(wordOf(text, 'code') ?? 1) : 0,
    output: Number(wordOf(text, 'out') ?? 0),
  };
}

/** The text that {@link behaviourOf} reads: the arguments of a program, or a line of shell. */
export function textOf(argv: readonly string[]): string {
  return argv.join(' ');
}

/** Two numbers in [0, 1) that depend on the text alone. */
export function uniform(text: string): [number, number] {
  const digest = createHash('sha256').update(text).digest();
  return [digest.readUInt32BE(0) / 2 ** 32, digest.readUInt32BE(4) / 2 ** 32];
}

function wordOf(text: string, name: string): string | undefined {
  return new RegExp(`(?:^|\\s)${name}=(\\S+)`).exec(text)?.[1];
}
