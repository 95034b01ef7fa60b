import type { ActionInput, ActionKind, ActionOutput } from '../../shared/actions/index.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';

/** The executor of an action that changes nothing: there is no "already", it only looks. */
export function observing<K extends ActionKind>(
  look: (input: ActionInput<K>, context: ActionContext) => Promise<ActionOutput<K>> | ActionOutput<K>,
): ActionExecutor<K> {
  return {
    inspect: async () => ({ already: false }),
    apply: async (input, context) => ({ output: await look(input, context), changed: false }),
  };
}
