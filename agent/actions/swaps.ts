import type { Host } from '../host/host.ts';
import { fromOctal } from './octal.ts';
import { swapFailed } from './swap-errors.ts';

/** Swap space in use. */
export interface Swap {
  path: string;
  /** Below 0: given by the kernel. */
  priority: number;
}

/** What is in swap is brought back into memory, from a slow disk maybe. */
const SWAPOFF_MS = 30 * 60_000;

/** The swap space of the running kernel (swapon(2)). */
export interface Swaps {
  list(): Promise<Swap[]>;
  /** Throws SWAP_DENIED, SWAP_TOOLS_MISSING, SWAP_FAILED. */
  on(path: string, priority: number | undefined, signal: AbortSignal): Promise<void>;
  /** Throws SWAP_NO_MEMORY too. */
  off(path: string, signal: AbortSignal): Promise<void>;
}

/** `root`: what /proc is below. */
export function swapsOf(host: Host, root: string): Swaps {
  async function run(path: string, argv: readonly [string, ...string[]], signal: AbortSignal): Promise<void> {
    const { code, stderr } = await host.run(argv, { timeoutMs: SWAPOFF_MS, signal });
    if (code !== 0) throw swapFailed(path, stderr);
  }
  return {
    list: async () => parseSwaps((await host.files.read(`${root}/proc/swaps`))?.toString('utf8') ?? ''),
    on: (path, priority, signal) =>
      run(path, ['swapon', ...(priority === undefined ? [] : ['-p', `${priority}`]), '--', path], signal),
    off: (path, signal) => run(path, ['swapoff', '--', path], signal),
  };
}

/** Pure: the lines of /proc/swaps below its heading: name, type, size, used, priority. A file that was removed is marked. */
export function parseSwaps(text: string): Swap[] {
  return text.split('\n').flatMap((line) => {
    const [, name = '', priority = ''] = /^(\/\S*)\s+\S+\s+\d+\s+\d+\s+(-?\d+)\s*$/.exec(line) ?? [];
    return name === '' ? [] : [{ path: fromOctal(name).replace(/ \(deleted\)$/, ''), priority: Number(priority) }];
  });
}
