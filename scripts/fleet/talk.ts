/** What a fleet and its processes say to each other over the process channel; the token never shows in argv or environment. */
import { join } from 'node:path';
import type { ErrorReport } from '../../shared/errors.ts';
import type { Work } from './behaviour.ts';

/** What a process is to simulate; the same after each of its deaths. */
export interface Crew {
  folder: string;
  nodes: string[];
  seed: number;
  work: Work;
}

export function ledgerPath({ folder, nodes }: Crew): string {
  return join(folder, `ledger-${nodes[0]}.ndjson`);
}

/** Asked by the fleet; each is answered once. `cut`: so many connections, drawn by `draw`, end without a word. */
export type Ask =
  | { ask: 'crew'; crew: Crew }
  | { ask: 'join'; endpoint: string; token: string; atOnce: number }
  | { ask: 'start' }
  | { ask: 'cut'; count: number; draw: string }
  | { ask: 'usage' }
  | { ask: 'stop' };

/** What the process costs: bytes, CPU seconds since its start, open file descriptors. */
export interface Usage {
  rss: number;
  heap: number;
  cpuSeconds: number;
  descriptors: number;
}

export type Answer = { id: number; value?: Usage | number; error?: ErrorReport };

/** Told unasked: how many agents are connected; or that an agent could not go on. */
export type News = { connected: number } | { node: string; fatal: ErrorReport };
