import { KkError } from '../../shared/errors.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { asksForFacts, bindersOf, evaluateStep } from '../run/local/evaluate.ts';
import { newRunState } from '../run/state.ts';

/**
 * What a run of this graph will ask a person, as far as the plan alone tells: neither the condition nor the message of the
 * `confirm` needs what the run finds out first.
 */
export function questionsAhead(graph: TaskGraph): string[] {
  const asking = [...graph.common.tasks.entries()].filter(([, { action }]) => action === 'confirm');
  if (asking.length === 0) return [];
  const state = newRunState(graph);
  const around = {
    facts: undefined,
    unseal: () => {
      throw new TypeError('nothing was told that could be sealed');
    },
  };
  const questions = asking.flatMap(([task, spec]) => {
    const texts = JSON.stringify([spec.inputs, spec.when, spec.vars]);
    const isOfRun = asksForFacts(spec) || /\b(node|secret)\(/.test(texts);
    if (isOfRun || [...bindersOf(graph).keys()].some((name) => new RegExp(`\\b${name}\\b`).test(texts))) return [];
    return (graph.sets[graph.tasks[task]?.set ?? -1]?.members ?? []).flatMap((node) => {
      try {
        const { skipped, inputs } = evaluateStep(state, { task, node }, around);
        return skipped === undefined ? [(inputs as { message: string }).message] : [];
      } catch (thrown) {
        // What cannot be evaluated fails in its turn, with all that there is to say about it.
        if (thrown instanceof KkError) return [];
        throw thrown;
      }
    });
  });
  return [...new Set(questions)];
}
