import { type ActionKind, contractOf, runsProgram } from '../../shared/actions/index.ts';
import { BLOCK } from '../../shared/blocks.ts';
import { type DocNode, keyPlace } from './document.ts';
import type { Problems } from './problems.ts';
import { RecoverWords, TaskWords } from './schema.ts';
import type { TaskRead } from './task.ts';
import type { TaskDocument } from './types.ts';

/** A block's words; they are no words of a task. */
const BLOCK_WORDS: readonly string[] = [BLOCK, 'rescue', 'always'];
/** They bind names for the tasks that follow, and nobody follows a recovery. */
const POINTLESS: readonly string[] = ['set_fact', 'facts', 'check'] satisfies ActionKind[];

/**
 * The `recover` tasks of a task (ENGINE 3.3): simple ones, which may be repeated, since a crash can meet them too. `readOne`
 * reads a task; it comes from the caller, since a task holds these.
 */
export function readRecover(
  node: DocNode,
  readOne: (item: DocNode) => TaskRead | undefined,
  problems: Problems,
): TaskRead[] {
  const items = node.kind === 'list' ? node.items : [];
  return items.flatMap((item) => {
    const read = readOne(onlyWords(item, 'recover', RecoverWords.shape, problems));
    if (read) checkRepeatable(read.document, problems);
    return read ?? [];
  });
}

/** The task without the words that a task of that list cannot have; they are told. */
export function onlyWords(item: DocNode, list: string, words: object, problems: Problems): DocNode {
  if (item.kind !== 'map') return item;
  const isRefused = (key: string): boolean =>
    BLOCK_WORDS.includes(key) || (Object.hasOwn(TaskWords.shape, key) && !Object.hasOwn(words, key));
  for (const key of item.entries.keys()) {
    if (!isRefused(key)) continue;
    const allowed = Object.keys(words).filter((word) => word !== 'action' && word !== 'with');
    const message = `"${key}" is not supported in a ${list} task yet.`;
    problems.add('PLAN_NOT_YET', keyPlace(item, key), message, `It takes an action and ${allowed.join(', ')}.`);
  }
  return { ...item, entries: new Map([...item.entries].filter(([key]) => !isRefused(key))) };
}

function checkRepeatable({ action, inputs, at }: TaskDocument, problems: Problems): void {
  if (POINTLESS.includes(action)) {
    const message = `${action} cannot be in recover: what it tells is of no use to the task that runs again.`;
    problems.add('PLAN_TYPE', at, message, 'Use register, and read it in the recover tasks that follow.');
    return;
  }
  const repeatable = contractOf(action)?.repeatable ?? true;
  const may = typeof repeatable === 'boolean' ? repeatable : repeatable(inputs as never);
  if (may) return;
  problems.add(
    'PLAN_NOT_REPEATABLE',
    at,
    `This recover task cannot be repeated, and a crash may meet it as it met its task.`,
    runsProgram(action)
      ? `Give the ${action} \`creates\` or \`unless\`, which say that nothing is to do.`
      : 'Use an action that looks before it acts.',
  );
}
