import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { needText, readText, unescapeOctal } from './text.ts';

export async function gatherMemory(host: Host): Promise<Facts['memory']> {
  return parseMeminfo(await needText(host, '/proc/meminfo'));
}

/** The kernel's `kB` are KiB. MemAvailable came with Linux 3.14; before it, free and cached memory is the best guess. */
export function parseMeminfo(text: string): Facts['memory'] {
  const bytes = (key: string): number | undefined => {
    const found = new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found) * 1024;
  };
  const total = bytes('MemTotal');
  if (total === undefined) throw new Error('/proc/meminfo has no MemTotal');
  const guessed = (bytes('MemFree') ?? 0) + (bytes('Buffers') ?? 0) + (bytes('Cached') ?? 0);
  return { total, available: bytes('MemAvailable') ?? guessed };
}

/** A kernel without /proc/swaps cannot swap. */
export async function gatherSwap(host: Host): Promise<Facts['swap']> {
  return parseSwaps((await readText(host, '/proc/swaps')) ?? '');
}

/** Columns: file name, type, size in KiB, used, priority; a heading first. */
export function parseSwaps(text: string): Facts['swap'] {
  const rows = text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns.length >= 3);
  return {
    total: rows.reduce((sum, columns) => sum + Number(columns[2]) * 1024, 0),
    devices: rows.map((columns) => unescapeOctal(columns[0] ?? '')),
  };
}
