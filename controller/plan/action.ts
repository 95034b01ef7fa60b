import { contractOf, isPlanAction, PLAN_ACTIONS, type PlanActionKind } from '../../shared/actions/index.ts';
import type { Position } from '../../shared/errors.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import type { Json, Place } from '../../shared/share.ts';
import { checkInputs } from './action-inputs.ts';
import { type DocMap, type DocNode, type DocScalar, keyPlace, nodeAt, textsIn, textsOf, toJson } from './document.ts';
import { type Problems, suggest } from './problems.ts';
import { TaskWords } from './schema.ts';
import { placeIn, type Use } from './uses.ts';
import { refuseLiteral } from './vars.ts';

/** The action of a task: which, and with what inputs, as they were written (shorthand resolved). */
export interface ActionRead {
  action: PlanActionKind;
  inputs: Json;
  places: Record<string, Place>;
  /** Where each text of the inputs stands, by JSON pointer. */
  texts: Record<string, Position>;
  uses: Pick<Use, 'kind' | 'text' | 'origin'>[];
}

/** What people coming from other tools write, and what it is called here. */
const ELSEWHERE: Record<string, string> = {
  shell: 'Use command: a text is run by the shell.',
  template: 'Use file with template.',
  get_url: 'Use download.',
  uri: 'Use http.',
  service: 'Use systemd.',
  fail: 'Use assert.',
  include_role: 'List the role under roles of a play.',
  import_tasks: 'Use include_tasks.',
  delegate_to: 'Use on.',
  become: 'The agent runs as root; command takes user.',
  rescue: 'It belongs beside block.',
  always: 'It belongs beside block.',
  undo: 'kk undoes by itself in `kk-controller rollback`; rollback: states tasks that do it instead.',
};

/** Task words of the engine whose machinery is not there yet: refused by name, since ignoring them would do harm. */
const NOT_YET_WORDS = ['serial', 'max_fail_percentage'];

/** Finds the one key that is not a task word, and checks its inputs as far as they are literal. */
export function readAction(task: DocMap, problems: Problems): ActionRead | undefined {
  const words = Object.keys(TaskWords.shape);
  const others = [...task.entries.keys()].filter((key) => !words.includes(key));
  const actions = others.filter(isPlanAction);
  const named = nodeAt(task, ['action']);
  let refused = false;
  for (const key of others) {
    if (isPlanAction(key)) continue;
    const at = keyPlace(task, key);
    refused = true;
    if (refuseNotYet(key, at, problems)) continue;
    if (actions.length > 0 || named) {
      const known = named ? words : [...words, ...PLAN_ACTIONS];
      problems.add('PLAN_UNKNOWN_KEY', at, `A task has no key "${key}".`, ELSEWHERE[key] ?? suggest(key, known));
    } else {
      const remedy = ELSEWHERE[key] ?? suggest(key, [...PLAN_ACTIONS, ...words]);
      problems.add('PLAN_UNKNOWN_ACTION', at, `There is no action or task word "${key}".`, remedy);
    }
  }
  if (actions.length + (named ? 1 : 0) > 1) {
    const second = actions.at(-1) ?? 'action';
    const message = `The task has more than one action: ${[...(named ? ['action'] : []), ...actions].join(', ')}.`;
    problems.add('PLAN_UNKNOWN_KEY', keyPlace(task, second), message, 'Make a task of each.');
  }
  if (named) return readNamed(task, named, problems);
  if (nodeAt(task, ['with'])) {
    problems.add('PLAN_MISSING', keyPlace(task, 'with'), '"with" has no "action" beside it.', 'Add action: <name>.');
  }
  const [action] = actions;
  const value = action && nodeAt(task, [action]);
  if (action && value) return readInputs(action, value, keyPlace(task, action), problems);
  if (!refused) {
    const remedy = `Add one of: ${PLAN_ACTIONS.join(', ')}.`;
    problems.add('PLAN_MISSING', task.at, 'The task has no action.', remedy);
  }
  return undefined;
}

/** True: it is a word of the engine that kk cannot keep yet, and that was told. */
export function refuseNotYet(key: string, at: Position, problems: Problems): boolean {
  if (!NOT_YET_WORDS.includes(key)) return false;
  const remedy = 'Remove it; kk refuses it until it does what it says.';
  problems.add('PLAN_NOT_YET', at, `"${key}" is not supported yet.`, remedy);
  return true;
}

function readNamed(task: DocMap, named: DocNode, problems: Problems): ActionRead | undefined {
  const name = toJson(named);
  if (typeof name !== 'string') return undefined;
  if (!isPlanAction(name)) {
    const remedy = ELSEWHERE[name] ?? suggest(name, PLAN_ACTIONS);
    problems.add('PLAN_UNKNOWN_ACTION', named.at, `There is no action "${name}".`, remedy);
    return undefined;
  }
  return readInputs(name, nodeAt(task, ['with']), named.at, problems);
}

function readInputs(action: PlanActionKind, node: DocNode | undefined, at: Position, problems: Problems): ActionRead {
  const contract = contractOf(action);
  const written = node ? toJson(node) : null;
  let inputs = written;
  if (node?.kind !== 'map') {
    const long = contract.shorthand?.(written) ?? (written === null ? {} : undefined);
    if (long === undefined) {
      problems.add('PLAN_ACTION_INPUT', node?.at ?? at, `${action} takes a map of inputs.`, `Write ${action}: {…}.`);
      return { action, inputs: {}, places: {}, texts: {}, uses: [] };
    }
    inputs = long as Json;
  }
  const places: Record<string, Place> = {};
  const texts: ActionRead['texts'] = {};
  const uses: ActionRead['uses'] = [];
  for (const { pointer, text, node: at } of locate(inputs, node)) {
    texts[`/inputs${pointer}`] = at.at;
    // assert.that holds conditions: expressions without braces
    const condition = action === 'assert' && /^\/that\/\d+$/.test(pointer);
    if (!condition && !isTemplate(text)) continue;
    if (!condition) refuseLiteral(at, problems);
    places[`/inputs${pointer}`] = placeIn(at.content);
    uses.push({ kind: condition ? 'condition' : 'template', text, origin: at.content });
  }
  checkInputs({ action, inputs, node, at }, contract.input, problems);
  return { action, inputs, places, texts, uses };
}

/** The texts of the inputs with the nodes they were written as; shorthand moves them but keeps their order. */
function* locate(
  inputs: Json,
  node: DocNode | undefined,
): Generator<{ pointer: string; text: string; node: DocScalar }> {
  if (!node) return;
  if (node.kind === 'map') {
    for (const { pointer, node: at } of textsOf(node)) yield { pointer, text: at.value, node: at };
    return;
  }
  const written = [...textsOf(node)];
  for (const [index, { pointer, text }] of [...textsIn(inputs, '')].entries()) {
    const at = written[index]?.node;
    if (at) yield { pointer, text, node: at };
  }
}
