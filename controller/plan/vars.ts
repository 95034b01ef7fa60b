import { isTemplate } from '../../shared/expr/index.ts';
import type { Vars } from '../../shared/share.ts';
import { type DocNode, keyPlace, textsOf, toJson } from './document.ts';
import type { Problems } from './problems.ts';

/** Names that every expression has, whatever the plan says. */
export const GIVEN_VARIABLES = [
  'facts',
  'node_name',
  'node_address',
  'group_names',
  'groups',
  'nodes',
  'components',
] as const;
/** Names that an expression has in a loop, and the function that reads another node. */
const LOOP_VARIABLES = ['item', 'loop_index', 'node'] as const;

/**
 * A map of variables. `plain`: values are taken as they stand and never evaluated, so a template there is a mistake
 * (unless tagged `!text`). `templates`: of a play, a role's use or a task, evaluated on the node.
 */
export function readVars(node: DocNode | undefined, kind: 'plain' | 'templates', problems: Problems): Vars {
  if (node?.kind !== 'map') {
    if (node) problems.gap();
    return {};
  }
  for (const name of node.entries.keys()) refuseGiven(name, keyPlace(node, name), problems);
  for (const { node: text } of textsOf(node)) {
    if (!isTemplate(text.value)) continue;
    if (kind === 'plain' && !text.literal) {
      const remedy =
        'Put the template under vars of the play, role or task; or tag the value !text to keep the braces as text.';
      problems.add(
        'PLAN_EXPRESSION',
        text.at,
        'A value here is taken as it stands; a template in it is never evaluated.',
        remedy,
      );
    }
    if (kind === 'templates') refuseLiteral(text, problems);
  }
  return toJson(node) as Vars;
}

/** `!text` has no meaning where everything is a template. */
export function refuseLiteral(text: DocNode & { kind: 'scalar' }, problems: Problems): void {
  if (!text.literal) return;
  problems.add(
    'PLAN_YAML',
    text.at,
    'The tag !text has no effect on a template.',
    'Wrap the text in {% raw %} and {% endraw %} instead.',
  );
}

/** Registers and variables may not hide what kk itself binds. */
export function refuseGiven(name: string, at: DocNode['at'], problems: Problems): void {
  const given: readonly string[] = [...GIVEN_VARIABLES, ...LOOP_VARIABLES];
  if (!given.includes(name)) return;
  problems.add(
    'PLAN_RESERVED_NAME',
    at,
    `The variable "${name}" is given by kk and cannot be set.`,
    'Choose another name.',
  );
}
