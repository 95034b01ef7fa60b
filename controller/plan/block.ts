import { isActionKind } from '../../shared/actions/index.ts';
import { BLOCK } from '../../shared/blocks.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import { BlockPart } from '../../shared/share.ts';
import { refuseNotYet } from './action.ts';
import { type DocMap, type DocNode, keyPlace, nodeAt, textsOf } from './document.ts';
import { type Problems, suggest } from './problems.ts';
import { read } from './read.ts';
import { BlockWords, TaskWords } from './schema.ts';
import { checkInBlock, type Inherited, listOf, permitOf, placedTexts, readNeeds, slug, type TaskRead } from './task.ts';
import { TASK_DEFAULTS } from './task-defaults.ts';
import type { TaskDocument } from './types.ts';
import { placeIn, readConditions, templateUses, type Use } from './uses.ts';
import { readVars } from './vars.ts';

/** Is the item of a task list a block, or meant to be one? */
export function isBlockNode(node: DocNode): node is DocMap {
  return node.kind === 'map' && BlockPart.options.some((part) => node.entries.has(part));
}

/**
 * Reads a block: a task of its own, followed by the tasks of its parts, which know their part. `readTasks` reads a list. Its
 * `when` is for the whole of it; `vars`, `tags`, `lock`, `ignore_errors` and `any_errors_fatal` are handed down.
 */
export function readBlock(
  node: DocMap,
  inherited: Inherited,
  readTasks: (list: DocNode, inherited: Inherited) => TaskRead[],
  problems: Problems,
): TaskRead[] {
  const words = wordsOf(node, problems);
  const found = read(BlockWords, words, 'a block', problems) ?? {};
  checkInBlock(words, inherited.within, problems);
  const around = inherited.within?.block;
  const uses: Use[] = [...inherited.uses];
  const when = readConditions(nodeAt(words, ['when']), (text, origin) => {
    uses.push({ kind: 'condition', text, origin, item: false, after: false });
  });
  const varsNode = nodeAt(words, ['vars']);
  const name = found.name ?? BLOCK;
  const document: TaskDocument = {
    ...TASK_DEFAULTS,
    id: found.id ?? slug(name, BLOCK),
    name,
    at: node.at,
    action: BLOCK,
    inputs: {},
    places: placesOf(varsNode),
    needs: readNeeds(nodeAt(words, ['needs']), problems),
    when: [...inherited.when.map(({ text }) => ({ text, at: placeIn(node.at) })), ...when],
    vars: { ...inherited.vars, ...readVars(varsNode, 'templates', problems) },
    tags: [...new Set([...inherited.tags, ...listOf(found.tags)])],
    runOnce: found.run_once ?? false,
    ignoreErrors: found.ignore_errors ?? around?.ignoreErrors ?? false,
    lock: found.lock ?? around?.lock,
    permit: permitOf(found.permit),
    anyErrorsFatal: found.any_errors_fatal ?? around?.anyErrorsFatal ?? false,
    within: inherited.within,
  };
  const parts = BlockPart.options.flatMap((part) => {
    const list = nodeAt(words, [part]);
    const { tags, vars } = document;
    const within = { block: document, part };
    return list?.kind === 'list' ? readTasks(list, { when: [], tags, vars, uses: inherited.uses, within }) : [];
  });
  // Its variables are evaluated by whoever names them, so they may read what the tasks before have bound.
  parts.at(-1)?.uses.push(...templateUses(varsNode));
  const head = { document, uses, texts: {}, per: [], recover: [], rollback: [], idStated: found.id !== undefined };
  return [{ ...head, on: placedTexts(nodeAt(words, ['on'])) }, ...parts];
}

function placesOf(vars: DocNode | undefined): TaskDocument['places'] {
  const texts = vars ? [...textsOf(vars)].filter(({ node }) => isTemplate(node.value)) : [];
  return Object.fromEntries(texts.map(({ pointer, node }) => [`/vars${pointer}`, placeIn(node.content)]));
}

/** The words of a block; others are told. */
function wordsOf(node: DocMap, problems: Problems): DocMap {
  const words = Object.keys(BlockWords.shape);
  for (const key of node.entries.keys()) {
    if (words.includes(key)) continue;
    const at = keyPlace(node, key);
    if (refuseNotYet(key, at, problems)) continue;
    const isOfTask = Object.hasOwn(TaskWords.shape, key);
    const message = isActionKind(key)
      ? `A block has no action of its own, and "${key}" is one.`
      : isOfTask
        ? `"${key}" cannot be given to a block.`
        : `A block has no key "${key}".`;
    const remedy = isActionKind(key) || isOfTask ? 'Give it to a task of the block.' : suggest(key, words);
    problems.add('PLAN_UNKNOWN_KEY', at, message, remedy);
  }
  return { ...node, entries: new Map([...node.entries].filter(([key]) => words.includes(key))) };
}
