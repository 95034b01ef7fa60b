import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ActionContext } from '../../agent/actions/executor.ts';
import type { Host } from '../../agent/host/host.ts';
import { createHost } from '../../agent/host/index.ts';

export const WRAPPER_MAIN = fileURLToPath(new URL('../../agent/host/command-wrapper-main.ts', import.meta.url));

/** This machine, with the wrapper run from source. */
export function realHost(): Host {
  return createHost({ wrapper: { argv: [process.execPath, WRAPPER_MAIN] } });
}

/** A context for one attempt of one action, with what a test wants otherwise. */
export function contextWith(host: Host, folder: string, other: Partial<ActionContext> = {}): ActionContext {
  return {
    host,
    step: { run: 'r', task: 0 },
    folder,
    signal: new AbortController().signal,
    log: () => {},
    starting: () => {},
    facts: () => Promise.reject(new Error('no facts here')),
    node: { name: 'n1', address: '127.0.0.1', groups: [] },
    blobs: {},
    roleFile: () => undefined,
    render: (text) => text,
    remember: async () => {},
    ...other,
  };
}

/** Looks until it holds; a test that waits for ever fails by its own timeout. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** A process that is there and not a zombie. */
export function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

export function numberIn(path: string): number {
  return Number(readFileSync(path, 'utf8'));
}

/** A file that the shell wrote whole, with its line break. */
export function isWritten(path: string): boolean {
  return existsSync(path) && readFileSync(path, 'utf8').endsWith('\n');
}
