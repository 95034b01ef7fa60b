import { KkError } from '../../shared/errors.ts';
import {
  ExprError,
  type Expression,
  evaluate,
  parseExpression,
  type Scope,
  truthy,
  type Value,
} from '../../shared/expr/index.ts';
import type { Facts } from '../../shared/facts.ts';
import { type Inventory, type InventoryNode, suggest } from '../plan/index.ts';

/** The facts of nodes as they were told last, by name. */
export type KnownFacts = ReadonlyMap<string, Facts>;

export interface Selected {
  /** In inventory order; at least one. */
  nodes: string[];
  /** Nodes that an expression was about and that have told no facts yet: they are not selected by it. */
  withoutFacts: string[];
}

/** May the selector ask for facts? */
export function readsFacts(text: string): boolean {
  return text.includes('@');
}

/** `add`: in the union; `only`: `&`, in both; `not`: `!`, left out. */
interface Term {
  role: 'add' | 'only' | 'not';
  /** The name of a node or a group, a pattern of names, or (`@`) an expression over facts. */
  text: string;
  expression: boolean;
}

const ROLES: Readonly<Record<string, Term['role']>> = { '': 'add', '&': 'only', '!': 'not' };

/**
 * What a person's selector means: `worker,etcd` either, `worker:&rack1` both, `all:!w3` without, `w*` by name, and
 * `@facts.os.id == "debian"` by the facts as they were told last. The order of the terms does not matter: first all that is
 * named, of it what every `&` has, without what a `!` has. An expression reaches to the end of its text.
 * Throws KkError SELECTOR_UNKNOWN, SELECTOR_EXPRESSION, SELECTOR_EMPTY.
 */
export function selectNodes(inventory: Inventory, selector: readonly string[], facts: KnownFacts): Selected {
  const terms = selector.flatMap(termsOf);
  const withoutFacts = new Set<string>();
  const sets = terms.map((term) => ({ role: term.role, nodes: meant(inventory, term, facts, withoutFacts) }));
  const added = sets.filter(({ role }) => role === 'add');
  const nodes = inventory.nodes
    .map(({ name }) => name)
    .filter((name) => added.length === 0 || added.some(({ nodes }) => nodes.has(name)))
    .filter((name) => sets.every(({ role, nodes }) => role !== 'only' || nodes.has(name)))
    .filter((name) => sets.every(({ role, nodes }) => role !== 'not' || !nodes.has(name)));
  if (terms.length === 0 || nodes.length === 0) throw selectsNone(selector, [...withoutFacts]);
  return { nodes, withoutFacts: [...withoutFacts] };
}

function termsOf(text: string): Term[] {
  const terms: Term[] = [];
  for (let rest = text; ; ) {
    rest = rest.replace(/^[\s:,]+/, '');
    const [, sign = '', body = ''] = /^([!&]?)\s*(@.*|[^\s:,]*)/s.exec(rest) ?? [];
    if (sign === '' && body === '') return terms;
    const expression = body.startsWith('@');
    terms.push({ role: ROLES[sign] ?? 'add', text: expression ? body.slice(1) : body, expression });
    rest = rest.slice(rest.indexOf(body, sign.length) + body.length);
  }
}

function meant(inventory: Inventory, term: Term, facts: KnownFacts, withoutFacts: Set<string>): ReadonlySet<string> {
  const { text } = term;
  if (term.expression) return byFacts(inventory, text, facts, withoutFacts);
  const group = Object.hasOwn(inventory.groups, text) ? inventory.groups[text] : undefined;
  if (group) return new Set(group.nodes);
  const names = inventory.nodes.map(({ name }) => name);
  const found = names.filter((name) => isLike(name, text));
  if (found.length > 0) return new Set(found);
  throw new KkError({
    code: 'SELECTOR_UNKNOWN',
    message: text.includes('*') ? `No node has a name like "${text}".` : `There is no node and no group "${text}".`,
    remedy:
      names.length === 0 ? 'No node has joined yet.' : suggest(text, [...names, ...Object.keys(inventory.groups)]),
  });
}

/** Is the name the pattern, in which each `*` stands for any text? */
function isLike(name: string, pattern: string): boolean {
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop();
  if (tail === undefined) return name === pattern;
  if (!name.startsWith(head) || !name.slice(head.length).endsWith(tail)) return false;
  let at = head.length;
  for (const part of rest) {
    const found = name.slice(0, name.length - tail.length).indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return true;
}

const sentence = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;

function byFacts(
  inventory: Inventory,
  text: string,
  facts: KnownFacts,
  withoutFacts: Set<string>,
): ReadonlySet<string> {
  const expression = parsed(text);
  const chosen = new Set<string>();
  for (const node of inventory.nodes) {
    const told = facts.get(node.name);
    if (!told) withoutFacts.add(node.name);
    else if (holds(expression, text, node, told)) chosen.add(node.name);
  }
  return chosen;
}

function parsed(text: string): Expression {
  try {
    return parseExpression(text, { file: 'selector', line: 1, column: 2 });
  } catch (thrown) {
    throw inExpression(text, thrown);
  }
}

function holds(expression: Expression, text: string, node: InventoryNode, facts: Facts): boolean {
  const names: Readonly<Record<string, Value>> = {
    facts: facts as unknown as Value,
    node_name: node.name,
    node_address: node.address,
    group_names: [...node.groups],
  };
  const scope: Scope = {
    lookup: (name) => (Object.hasOwn(names, name) ? names[name] : undefined),
    names: () => Object.keys(names),
  };
  try {
    return truthy(evaluate(expression, scope));
  } catch (thrown) {
    throw inExpression(text, thrown, node.name);
  }
}

function inExpression(text: string, thrown: unknown, node?: string): unknown {
  if (!(thrown instanceof ExprError)) return thrown;
  const { message, hint } = thrown;
  return new KkError({
    code: 'SELECTOR_EXPRESSION',
    message: `The expression @${text} of the selector does not work${node === undefined ? '' : ` on ${node}`}: ${message}.`,
    remedy: `${hint === undefined ? '' : `${sentence(hint)} `}Write a condition such as @facts.os.id == "debian"; \`kk-controller facts all -o yaml\` shows what there is, and | default(…) helps where a node lacks it.`,
    ...(node === undefined ? {} : { node }),
  });
}

function selectsNone(selector: readonly string[], withoutFacts: readonly string[]): KkError {
  const blind = withoutFacts.length > 0;
  return new KkError({
    code: 'SELECTOR_EMPTY',
    message: `"${selector.join(' ')}" selects no node${blind ? `; of ${withoutFacts.slice(0, 10).join(', ')} no facts are known` : ''}.`,
    remedy: blind
      ? 'Have the nodes tell their facts with `kk-controller facts all`, then ask again.'
      : 'See `kk-controller nodes` for the nodes there are.',
  });
}
