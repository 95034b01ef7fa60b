import { seconds } from '../../shared/duration.ts';
import type { Position } from '../../shared/errors.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import type { Json, RegisterType, SourceText, Vars } from '../../shared/share.ts';
import { type ActionRead, readAction } from './action.ts';
import { type DocMap, type DocNode, keyPlace, nodeAt, textsOf, toJson } from './document.ts';
import { readPlace } from './local.ts';
import type { Problems } from './problems.ts';
import { read } from './read.ts';
import { readRecover } from './recover.ts';
import { readRollback } from './rollback.ts';
import { TaskWords } from './schema.ts';
import type { NeedDocument, TaskDocument } from './types.ts';
import { placeIn, readConditions, type Use } from './uses.ts';
import { readVars, refuseGiven, refuseLiteral } from './vars.ts';

/** A task with everything in it that is evaluated, for the checks that need the whole plan. */
export interface TaskRead {
  document: TaskDocument;
  uses: Use[];
  /** Where each text of the inputs stands, by JSON pointer. */
  texts: Record<string, Position>;
  /** The selector of `on`, with the place of each name. */
  on: { name: string; at: Position }[];
  /** The selector of `per`. */
  per: { name: string; at: Position }[];
  idStated: boolean;
  /** Its `recover` tasks, in step with the document's. */
  recover: TaskRead[];
  /** Its `rollback` tasks, in step with the document's. */
  rollback: TaskRead[];
}

/** What an enclosing `include_tasks` or block hands down. */
export interface Inherited {
  when: SourceText[];
  tags: string[];
  vars: Vars;
  /** What its own words evaluate, at the places where they stand. */
  uses: Use[];
  within: TaskDocument['within'];
}

/** Nothing is around it. */
export const NOTHING: Inherited = { when: [], tags: [], vars: {}, uses: [], within: undefined };

/** A timeout nobody stated: none, the lease and the person decide (0 = no limit). */
const NO_LIMIT = 0;

/** Reads one task; undefined when it is no map. */
export function readTask(node: DocNode, inherited: Inherited, problems: Problems): TaskRead | undefined {
  if (node.kind !== 'map') {
    problems.add('PLAN_TYPE', node.at, 'A task must be a map.', 'Write the task as keys: name, an action, …');
    return undefined;
  }
  const words = wordsOf(node);
  const found = read(TaskWords, words, 'a task', problems) ?? {};
  // a task whose action is unclear was told; its words are checked all the same
  const action: ActionRead = readAction(node, problems) ?? {
    action: 'debug',
    inputs: {},
    places: {},
    texts: {},
    uses: [],
  };

  const loops = found.loop !== undefined;
  const uses: Use[] = [...inherited.uses, ...action.uses.map((use) => ({ ...use, item: loops, after: false }))];
  const condition = (after: boolean) => (text: string, origin: Position) => {
    uses.push({ kind: 'condition', text, origin, item: loops, after });
  };
  const conditions = (key: string, after: boolean): SourceText[] =>
    readConditions(nodeAt(words, [key]), condition(after));
  const places = { ...action.places };
  for (const key of ['vars', 'loop'] as const) {
    const value = nodeAt(words, [key]);
    for (const { pointer, node: text } of value ? textsOf(value) : []) {
      if (!isTemplate(text.value)) continue;
      if (key === 'loop') refuseLiteral(text, problems);
      places[`/${key}${pointer}`] = placeIn(text.content);
      uses.push({
        kind: 'template',
        text: text.value,
        origin: text.content,
        item: loops && key === 'vars',
        after: false,
      });
    }
  }
  if (typeof found.loop === 'string' && !isTemplate(found.loop)) {
    const at = nodeAt(words, ['loop'])?.at ?? node.at;
    problems.add(
      'PLAN_TYPE',
      at,
      'loop must be a list, or a template that gives one.',
      `Write loop: "{{ ${found.loop} }}".`,
    );
  }
  const recoverNode = nodeAt(words, ['recover']);
  const recover = recoverNode ? readRecover(recoverNode, (item) => readTask(item, NOTHING, problems), problems) : [];
  if (recoverNode && found.on_interrupt === 'rerun') {
    const at = keyPlace(words, 'on_interrupt');
    const message = 'on_interrupt: rerun has no effect beside recover: the task runs again once its state is restored.';
    problems.add('PLAN_TYPE', at, message, 'Remove one of the two.');
  }
  const rollback = readRollback(nodeAt(words, ['rollback']), (item) => readTask(item, NOTHING, problems), problems);
  const around = inherited.within;
  checkInBlock(words, around, problems);
  const place = readPlace(words, { action: action.action, at: node.at, around }, problems);
  const name = found.name ?? action.action;
  const until = conditions('until', true)[0];
  const document: TaskDocument = {
    id: found.id ?? slug(name, action.action),
    name,
    at: node.at,
    action: action.action,
    inputs: action.inputs,
    places,
    blobs: undefined,
    on: undefined,
    place,
    per: undefined,
    needs: readNeeds(nodeAt(words, ['needs']), problems),
    // positions are told within the task's own file, so a condition handed down stands at the task
    when: [...inherited.when.map(({ text }) => ({ text, at: placeIn(node.at) })), ...conditions('when', false)],
    loop: found.loop as Json | undefined,
    register: readRegister(found.register, words, problems),
    until,
    retries: found.retries ?? (until ? 3 : 0),
    delay: seconds(found.delay ?? 5),
    timeout: seconds(found.timeout ?? NO_LIMIT),
    failedWhen: conditions('failed_when', true),
    changedWhen: conditions('changed_when', true),
    vars: { ...inherited.vars, ...readVars(nodeAt(words, ['vars']), 'templates', problems) },
    tags: [...new Set([...inherited.tags, ...listOf(found.tags)])],
    runOnce: found.run_once ?? false,
    ignoreErrors: found.ignore_errors ?? around?.block.ignoreErrors ?? false,
    lock: found.lock ?? around?.block.lock,
    // Whatever else is at work on the node would be cut off.
    alone: action.action === 'reboot' || (found.alone ?? false),
    permit: permitOf(found.permit),
    sensitive: found.sensitive ?? false,
    onInterrupt: found.on_interrupt ?? 'fail',
    anyErrorsFatal: found.any_errors_fatal ?? around?.block.anyErrorsFatal ?? false,
    recover: recover.map((task) => task.document),
    rollback: rollback.map((task) => task.document),
    within: around,
  };
  return {
    document,
    uses,
    texts: action.texts,
    on: place ? [] : placedTexts(nodeAt(words, ['on'])),
    per: place ? placedTexts(nodeAt(words, ['per'])) : [],
    idStated: found.id !== undefined,
    recover,
    rollback,
  };
}

/** The task without its action, as a document of its own. */
function wordsOf(node: DocMap): DocMap {
  return { ...node, entries: new Map([...node.entries].filter(([key]) => Object.hasOwn(TaskWords.shape, key))) };
}

function readRegister(
  found:
    | string
    | { name?: string | undefined; type?: RegisterType | undefined; pattern?: string | undefined }
    | undefined,
  words: DocMap,
  problems: Problems,
): TaskDocument['register'] {
  const given = typeof found === 'string' ? { name: found } : found;
  if (given?.name === undefined) return undefined;
  const node = nodeAt(words, ['register']);
  if (node) refuseGiven(given.name, nodeAt(node, ['name'])?.at ?? node.at, problems);
  if (given.pattern !== undefined) {
    const at = (node && nodeAt(node, ['pattern'])?.at) ?? words.at;
    try {
      new RegExp(given.pattern, 'u');
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      problems.add('PLAN_TYPE', at, `The pattern is no regular expression: ${reason}.`, 'Correct the pattern.');
    }
    if (given.type !== undefined && given.type !== 'string') {
      problems.add(
        'PLAN_TYPE',
        at,
        `A pattern is for texts, and the register is of type ${given.type}.`,
        'Remove one of the two.',
      );
    }
  }
  const type = given.type ?? (given.pattern === undefined ? 'any' : 'string');
  return { name: given.name, type, ...(given.pattern === undefined ? {} : { pattern: given.pattern }) };
}

/** What a task or block cannot say where it stands: what the blocks around it make impossible. */
export function checkInBlock(words: DocMap, around: TaskDocument['within'], problems: Problems): void {
  const wanted = nodeAt(words, ['permit']);
  const permit = toJson(nodeAt(wanted, ['name']) ?? wanted ?? words);
  for (let within = around; within; within = within.block.within) {
    if (wanted && within.block.permit?.name === permit) {
      const message = `The block "${within.block.name}" around it holds the permit "${permit}" already.`;
      problems.add('PLAN_TYPE', keyPlace(words, 'permit'), message, 'Remove it here.');
    }
    if (within.part === 'rescue' && words.entries.has('run_once')) {
      const message = 'run_once cannot be in a rescue: the one node may be one that needs none.';
      problems.add('PLAN_TYPE', keyPlace(words, 'run_once'), message, 'Name the node with on, or move the task.');
    }
  }
}

export function readNeeds(node: DocNode | undefined, problems: Problems): NeedDocument[] | undefined {
  if (!node) return undefined;
  const items = node.kind === 'list' ? node.items : [node];
  return items.flatMap((item): NeedDocument[] => {
    if (item.kind === 'scalar')
      return typeof item.value === 'string' ? [{ target: 'task', name: item.value, of: 'same', at: item.at }] : [];
    if (item.kind !== 'map') return [];
    const targets = (['task', 'role', 'play'] as const).filter((key) => item.entries.has(key));
    const [target] = targets;
    if (targets.length !== 1 || target === undefined) {
      problems.add(
        'PLAN_TYPE',
        item.at,
        'A need names exactly one of task, role and play.',
        'Write, for example, {task: init, of: first}.',
      );
      return [];
    }
    const name = nodeAt(item, [target]);
    const of = nodeAt(item, ['of']);
    const chosen = of ? toJson(of) : 'same';
    if (name?.kind !== 'scalar' || typeof name.value !== 'string') return [];
    if (chosen !== 'all' && chosen !== 'same' && chosen !== 'first' && chosen !== 'any') return [];
    return [{ target, name: name.value, of: chosen, at: name.at }];
  });
}

export function permitOf(
  found: string | { name?: string | undefined; count?: number | undefined } | undefined,
): TaskDocument['permit'] {
  if (typeof found === 'string') return { name: found, count: 1 };
  return found?.name === undefined ? undefined : { name: found.name, count: found.count ?? 1 };
}

/** The texts of a text or list of texts, with their places. */
export function placedTexts(node: DocNode | undefined): { name: string; at: Position }[] {
  const items = node?.kind === 'list' ? node.items : node ? [node] : [];
  return items.flatMap((item) =>
    item.kind === 'scalar' && typeof item.value === 'string' ? [{ name: item.value, at: item.at }] : [],
  );
}

export function listOf<T>(value: T | T[] | undefined): T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** An id from a name: what stays the same when only spelling changes. */
export function slug(name: string, fallback: string): string {
  const made = name
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 100);
  return made === '' ? fallback : made;
}
