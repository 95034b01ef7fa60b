import type { RunSummary, StatusView } from '../../views/types.ts';
import { type Colors, painted } from './colors.ts';
import { table } from './table.ts';
import { age, clean, span } from './text.ts';

export function runRows(runs: readonly RunSummary[], nowMs: number, colors: Colors): string[] {
  const rows = runs.map((run) => [
    run.revision > 1 ? `${run.id} (revision ${run.revision})` : run.id,
    clean(run.name),
    run.kind,
    painted(run.status, colors),
    age(run.created, nowMs),
    span(run.durationMs),
    clean(run.by),
  ]);
  return table(['run', 'name', 'kind', 'status', 'age', 'duration', 'by'], rows);
}

/** That nothing goes on until a person has adopted the runs; nothing when none is held. */
export function heldLines({ held }: StatusView, colors: Colors): string[] {
  if (held === undefined) return [];
  return ['', `${colors.yellow('Runs are held:')} ${clean(held)}`, '  do: kk-controller runs adopt'];
}
