import { Mode, modeBits } from './mode.ts';

/** Actions that put text into a file whose mode the task states: who may read it must be said when that text holds a secret. */
export function writesWithMode(kind: string): boolean {
  return kind === 'file' || kind === 'line_in_file' || kind === 'block_in_file';
}

/** Nobody but the file's owner and group may do anything with it. False for what is no mode. */
export function isPrivate(mode: unknown): boolean {
  const parsed = Mode.safeParse(mode);
  return parsed.success && (modeBits(parsed.data) & 7) === 0;
}
