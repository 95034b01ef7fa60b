import type { z } from 'zod';
import type { PlanActionKind } from '../../shared/actions/index.ts';
import { RULES, ruleOf } from '../../shared/checks/index.ts';
import type { Position } from '../../shared/errors.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import type { Json } from '../../shared/share.ts';
import { type DocNode, keyPlace, nodeAt, placeOf, textsIn } from './document.ts';
import { type Problems, show, suggest } from './problems.ts';
import { complaint, remedyFor } from './read.ts';

/** Inputs as a person wrote them, with what is needed to point into them. */
export interface WrittenInputs {
  action: PlanActionKind;
  inputs: Json;
  /** The value as it was written; undefined when there was none. */
  node: DocNode | undefined;
  /** Where the action is named. */
  at: Position;
}

/**
 * Checks inputs as far as they are literal: what a template will give is known to the agent only, and checked there
 * against the same schema.
 */
export function checkInputs(written: WrittenInputs, schema: z.ZodType, problems: Problems): void {
  checkPart(written, schema, [], problems);
  if (written.action === 'check') checkRule(written, problems);
}

/** The rule of a precheck is looked up in the catalogue of rules, and its parameters are the rule's own. */
function checkRule(written: WrittenInputs, problems: Problems): void {
  const name = valueAt(written.inputs, ['rule']);
  if (typeof name !== 'string' || isTemplate(name)) return;
  const rule = ruleOf(name);
  if (rule) {
    const parameters = valueAt(written.inputs, ['with']) ?? {};
    if (typeof parameters !== 'string') checkPart(written, rule.params, ['with'], problems);
    return;
  }
  const message = `There is no precheck rule ${show(name)}.`;
  problems.add('PLAN_ACTION_INPUT', placeIn(written, ['rule']), message, suggest(name, Object.keys(RULES)));
}

type InputPath = (string | number)[];

function checkPart(written: WrittenInputs, schema: z.ZodType, below: InputPath, problems: Problems): void {
  const judged = schema.safeParse(valueAt(written.inputs, below) ?? {});
  for (const issue of judged.error?.issues ?? []) {
    const path = [...below, ...issue.path.filter((step) => typeof step !== 'symbol')];
    judge(written, schema, issue, path, problems);
  }
}

function judge(
  written: WrittenInputs,
  schema: z.ZodType,
  issue: z.core.$ZodIssue,
  path: InputPath,
  problems: Problems,
): void {
  const { action, node, at } = written;
  const add = (where: Position, message: string, remedy: string): void =>
    problems.add('PLAN_ACTION_INPUT', where, message, remedy);
  const value = valueAt(written.inputs, path);
  const key = String(path.at(-1) ?? '');
  if (issue.code === 'unrecognized_keys') {
    const map = node && nodeAt(node, path);
    const known = issue.path.length === 0 ? keysOf(schema) : [];
    for (const name of issue.keys) {
      const remedy = known.length === 0 ? 'Remove it.' : suggest(name, known);
      add(map ? keyPlace(map, name) : at, `${action} has no input "${[...path, name].join('.')}".`, remedy);
    }
  } else if (issue.code === 'invalid_key') {
    const map = node && nodeAt(node, path.slice(0, -1));
    const rule = issue.issues[0]?.message ?? '';
    add(map ? keyPlace(map, key) : at, `${show(key)} is no valid name in ${action}.`, `A name here is: ${rule}.`);
  } else if (value === undefined) {
    add(
      path.length > 1 ? placeIn(written, path) : at,
      `${action} lacks its input "${path.join('.')}".`,
      `Add "${key}".`,
    );
  } else if (issue.code === 'custom' && typeof value === 'object') {
    add(path.length > 0 ? placeIn(written, path) : at, `${action}: ${issue.message}.`, 'Correct the inputs.');
  } else if (
    typeof value === 'string' ? !isTemplate(value) : !(issue.code === 'invalid_union' && holdsTemplate(value))
  ) {
    const telling = tellingIssue(issue);
    const name = [action, ...path].join('.');
    add(placeIn(written, path), `${name} ${complaint(telling, value, key)}`, remedyFor(telling, value));
  }
}

/** Shorthand has paths that were never written: its one value is what is meant. */
function placeIn({ node, at }: WrittenInputs, path: InputPath): Position {
  return node?.kind === 'map' ? placeOf(node, path) : (node?.at ?? at);
}

/** Of a union's issues the one that came closest: a rule broken says more than a type that was not meant. */
function tellingIssue(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue;
  const issues = issue.errors.flat();
  return issues.find((inner) => inner.code !== 'invalid_type' && inner.code !== 'invalid_union') ?? issues[0] ?? issue;
}

function keysOf(schema: z.ZodType): string[] {
  const { def } = (schema as unknown as z.core.$ZodTypes)._zod;
  return def.type === 'object' ? Object.keys(def.shape) : [];
}

function valueAt(value: Json, path: InputPath): Json | undefined {
  let current: Json | undefined = value;
  for (const step of path) {
    if (current === null || typeof current !== 'object' || !Object.hasOwn(current, step)) return undefined;
    current = Array.isArray(current) ? current[Number(step)] : current[step];
  }
  return current;
}

function holdsTemplate(value: Json): boolean {
  return [...textsIn(value, '')].some(({ text }) => isTemplate(text));
}
