import { distance } from 'fastest-levenshtein';
import { KkError } from '../../shared/errors.ts';
import type { TaskGraph } from '../compile/graph.ts';

/** Near matches that an error names. */
const MOST_NEAR = 5;

/**
 * The task that a person means: its whole key, or an end of it that begins at a slash and is the only such one.
 * Throws KkError TASK_UNKNOWN with what comes near, TASK_AMBIGUOUS.
 */
export function taskMeant(graph: TaskGraph, text: string): number {
  const found = graph.tasks.filter(({ key }) => key === text || key.endsWith(`/${text}`));
  const exact = found.find(({ key }) => key === text);
  const [only, second] = found;
  if (exact || (only && !second)) return (exact ?? only)?.index ?? -1;
  if (only) {
    throw new KkError({
      code: 'TASK_AMBIGUOUS',
      message: `Several tasks end with "${text}": ${found.map(({ key }) => key).join(', ')}.`,
      remedy: 'Give more of the key of the one that is meant.',
    });
  }
  throw new KkError({
    code: 'TASK_UNKNOWN',
    message: `The run has no task "${text}".`,
    remedy: `Near it are: ${nearest(graph, text).join(', ')}. \`kk-controller logs\` names each task by its key.`,
  });
}

function nearest(graph: TaskGraph, text: string): string[] {
  const last = text.slice(text.lastIndexOf('/') + 1);
  const far = ({ key }: { key: string }): number =>
    key.includes(text) ? 0 : distance(key.slice(key.lastIndexOf('/') + 1), last);
  return graph.tasks
    .map((task) => ({ key: task.key, far: far(task) }))
    .sort((a, b) => a.far - b.far)
    .slice(0, MOST_NEAR)
    .map(({ key }) => key);
}

/** Indexes of the named nodes. Throws KkError NODE_NOT_IN_RUN. */
export function nodesMeant(graph: TaskGraph, names: readonly string[]): number[] {
  return names.map((name) => {
    const index = graph.nodes.indexOf(name);
    if (index >= 0) return index;
    throw new KkError({
      code: 'NODE_NOT_IN_RUN',
      message: `Node "${name}" has no part in the run.`,
      remedy: `Its nodes: ${graph.nodes.slice(0, 20).join(', ')}.`,
    });
  });
}
