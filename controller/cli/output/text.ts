import { stripVTControlCharacters } from 'node:util';

/** Text from a node or a file as it may go to a terminal: no escape sequences, no control characters but line breaks and tabs. */
export function clean(text: string): string {
  return stripVTControlCharacters(text).replace(/\p{Cc}/gu, (char) => (char === '\n' || char === '\t' ? char : ''));
}

/** `340ms`, `12s`, `3m20s`, `2h5m`, `4d3h`: two units at most. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s}s`;
  if (s < 3600) return pair(Math.floor(s / 60), 'm', s % 60, 's');
  if (s < 86_400) return pair(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'm');
  return pair(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

function pair(large: number, unit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${unit}` : `${large}${unit}${small}${smallUnit}`;
}

/** How long ago, or `-`. */
export function age(time: string | undefined, nowMs: number): string {
  return time === undefined ? '-' : span(Math.max(0, nowMs - Date.parse(time)));
}

export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}

/** Names for a line: all of a few, the first ones and how many more of many. */
export function names(list: readonly string[], most = 5): string {
  const unique = [...new Set(list)];
  if (unique.length <= most) return unique.join(', ');
  return `${unique.slice(0, most).join(', ')} and ${unique.length - most} more`;
}

/** At most so many lines; says how many are left out. */
export function bounded(text: string, most: number): string[] {
  const lines = text.replace(/\n+$/, '').split('\n');
  if (lines.length <= most) return lines;
  return [...lines.slice(0, most), `… ${lines.length - most} more lines`];
}

/** The time of day, UTC, of a line in a log. */
export function clock(at: string): string {
  return `${at.slice(11, 19)}Z`;
}

/** A message about a node as it would read for any node, so that the same one on many is told once. */
export function alike(message: string, node: string): string {
  const word = new RegExp(`(?<![\\w.-])${node.replace(/[^\w-]/g, '\\$&')}(?![\\w-])`, 'g');
  return node === '' ? message : message.replace(word, '<node>');
}
