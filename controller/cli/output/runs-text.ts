import type { RunSummary } from '../../views/types.ts';
import { type Colors, painted } from './colors.ts';
import { table } from './table.ts';
import { age, clean, span } from './text.ts';

export function runRows(runs: readonly RunSummary[], nowMs: number, colors: Colors): string[] {
  const rows = runs.map((run) => [
    run.id,
    clean(run.name),
    run.kind,
    painted(run.status, colors),
    age(run.created, nowMs),
    span(run.durationMs),
    clean(run.by),
  ]);
  return table(['run', 'name', 'kind', 'status', 'age', 'duration', 'by'], rows);
}
