import type { RevisedView } from '../../views/types.ts';
import { clean, names } from './text.ts';

/** So many tasks are listed. */
const MOST = 40;

/** What the next revision of a run does anew, before it does. */
export function againLines({ run, revision, again }: RevisedView): string[] {
  const head = `run ${run}, revision ${revision}`;
  if (again.length === 0) return [`${head}: nothing runs again; what was done is kept where its inputs are the same.`];
  const lines = again.slice(0, MOST).map(({ task, nodes, why, repeatable }) => {
    const caution = repeatable ? '' : '; it was done and cannot be repeated safely: only with --rerun';
    return `  ${clean(task)} on ${names(nodes.map(clean))} (${why}${caution})`;
  });
  if (again.length > MOST) lines.push(`  … ${again.length - MOST} more`);
  return [`${head} runs again:`, ...lines];
}
