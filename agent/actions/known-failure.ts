import { runInNewContext } from 'node:vm';
import type { Known, KnownFailure } from '../../shared/actions/known-failure.ts';

/** What stands for a part that may not be shown. */
const HIDDEN = '…';

/** What is looked at of what was printed: the last lines, and the beginning of each. */
const LINES = 500;
const LINE = 1000;
/** All patterns together. One may need longer than anybody lives, and the agent does nothing else meanwhile. */
const LIMIT_MS = 1000;

/**
 * The first that fits what a program has printed; none where that is not found out in time. `hidden`: nothing of what it has
 * printed may be shown.
 */
export function knownFailure(
  failures: readonly KnownFailure[],
  printed: string,
  hidden: boolean = false,
): Known | undefined {
  const found = firstFit(
    failures.map(({ match }) => match),
    lookedAt(printed),
  );
  const known = failures[found?.at ?? -1];
  if (found === undefined || known === undefined) return undefined;
  const filled = (text: string): string =>
    text.replaceAll(/\$<(\w+)>/g, (_, name: string) => (hidden ? HIDDEN : (found.groups[name] ?? '')));
  return { cause: filled(known.cause), remedy: filled(known.remedy) };
}

function lookedAt(printed: string): string {
  const lines = printed.split('\n').slice(-LINES);
  return lines.map((line) => line.slice(0, LINE)).join('\n');
}

/** A regular expression cannot be stopped by the thread that it runs on, except where a limit was set for the whole script. */
const SEARCH = `
  let fit;
  for (const [at, pattern] of patterns.entries()) {
    const found = new RegExp(pattern, 'mu').exec(text);
    if (found === null) continue;
    fit = JSON.stringify({ at, groups: { ...found.groups } });
    break;
  }
  fit`;

function firstFit(patterns: string[], text: string): { at: number; groups: Record<string, string> } | undefined {
  try {
    const fit: unknown = runInNewContext(SEARCH, { patterns, text }, { timeout: LIMIT_MS });
    return typeof fit === 'string' ? JSON.parse(fit) : undefined;
  } catch (thrown) {
    // An Error of that context is none of this one.
    if ((thrown as { code?: unknown }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return undefined;
    throw thrown;
  }
}
