import pc from 'picocolors';

export type Colors = ReturnType<typeof pc.createColors>;

/** `wanted` is decided by the caller from the stream and NO_COLOR; nothing is asked of the environment here. */
export function colorsFor(wanted: boolean): Colors {
  return pc.createColors(wanted);
}

/** The colour of a state, an outcome or a status; the word itself stays. */
export function painted(word: string, colors: Colors): string {
  if (GOOD.has(word)) return colors.green(word);
  if (BAD.has(word)) return colors.red(word);
  if (DOUBTFUL.has(word)) return colors.yellow(word);
  return ACTIVE.has(word) ? colors.cyan(word) : word;
}

const GOOD = new Set(['done', 'pass', 'ok', 'connected', 'approved']);
const BAD = new Set([
  'failed',
  'fail',
  'error',
  'unreachable',
  'interrupted',
  'precheck_failed',
  'revoked',
  'refused',
  'rejected',
  'cancel undelivered',
]);
const DOUBTFUL = new Set(['warn', 'changed', 'blocked', 'cancelled', 'away', 'held', 'paused', 'unknown', 'pending']);
const ACTIVE = new Set(['working', 'running', 'joining']);
