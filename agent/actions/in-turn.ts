import type { HostFiles } from '../host/host.ts';

/** The last work on each path of a machine; steps of one node may run side by side. */
const turns = new WeakMap<HostFiles, Map<string, Promise<unknown>>>();

/** Reads and writes of one file do not mix: a step would write back what it read before another one's change. */
export async function inTurn<T>(files: HostFiles, path: string, work: () => Promise<T>): Promise<T> {
  const last = turns.get(files) ?? new Map<string, Promise<unknown>>();
  turns.set(files, last);
  const turn = (last.get(path) ?? Promise.resolve()).then(work, work);
  last.set(path, turn);
  try {
    return await turn;
  } finally {
    if (last.get(path) === turn) last.delete(path);
  }
}
