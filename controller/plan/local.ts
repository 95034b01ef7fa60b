import { isLocalAction } from '../../shared/actions/local.ts';
import { type DocMap, keyPlace, nodeAt } from './document.ts';
import type { Problems } from './problems.ts';
import type { TaskDocument } from './types.ts';

/** What `on` says of a task that the controller itself does. */
const CONTROLLER = 'controller';

/** Words about a node, its agent, or a program there. */
const OF_NODES = ['alone', 'lock', 'permit', 'recover', 'on_interrupt', 'run_once'];
const NOT_YET = ['loop', 'until', 'failed_when', 'changed_when', 'rollback'];
/** Words about trying again: a person who has said no is not asked until they say yes. */
const OF_ATTEMPTS = ['retries', 'delay'];

/**
 * Is it a task of the controller's own (ENGINE 1.7)? Tells an action of the controller that is to run on nodes, `per`
 * without the controller, and words that make no sense there.
 */
export function readPlace(
  words: DocMap,
  task: { action: string; at: DocMap['at']; around: TaskDocument['within'] },
  problems: Problems,
): TaskDocument['place'] {
  const { action, at, around } = task;
  const on = nodeAt(words, ['on']);
  const isThere = isController(on);
  if (!isLocalAction(action)) {
    if (nodeAt(words, ['per'])) {
      const message = '"per" is for tasks of the controller, and this one runs on nodes.';
      problems.add('PLAN_NOT_YET', keyPlace(words, 'per'), message, 'Name the nodes with on.');
    }
    return undefined;
  }
  if (!isThere) {
    const remedy = 'Add on: controller, and per: <group> to have it done once for each node of a group.';
    problems.add('PLAN_TYPE', on?.at ?? at, `${action} is done by the controller and not by nodes.`, remedy);
  }
  if (around) {
    const message = `A task of the controller cannot be in a block, and this one is in "${around.block.name}".`;
    problems.add('PLAN_NOT_YET', on?.at ?? at, message, 'Put it before or after the block.');
  }
  const senseless = [...OF_NODES, ...(action === 'confirm' ? OF_ATTEMPTS : [])];
  for (const word of [...senseless, ...NOT_YET]) {
    if (!nodeAt(words, [word])) continue;
    const isSenseless = senseless.includes(word);
    const message = isSenseless
      ? `"${word}" makes no sense in a ${action === 'confirm' ? 'question' : 'task of the controller'}.`
      : `"${word}" is not supported in a task of the controller yet.`;
    problems.add(isSenseless ? 'PLAN_TYPE' : 'PLAN_NOT_YET', keyPlace(words, word), message, 'Remove it.');
  }
  return CONTROLLER;
}

/** Is the selector `controller`, alone or as a list of one? */
function isController(on: ReturnType<typeof nodeAt>): boolean {
  const only = on?.kind === 'list' && on.items.length === 1 ? on.items[0] : on;
  return only?.kind === 'scalar' && only.value === CONTROLLER;
}
