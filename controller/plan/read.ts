import type { z } from 'zod';
import { type DocNode, toJson } from './document.ts';
import { type Problems, show, suggest } from './problems.ts';

/** What is left of a value once everything wrong in it was told and taken out: any part may be missing. */
export type Read<T> = T extends readonly (infer U)[]
  ? Read<U>[]
  : T extends string | number | boolean | null | undefined
    ? T
    : T extends object
      ? { [K in keyof T]?: Read<T[K]> | undefined }
      : T;

/**
 * Reads a node as `schema` says. Maps and lists are read part by part, so that one wrong field costs only itself and
 * the rest is still checked. `key` names the value in messages.
 */
export function read<S extends z.ZodType>(
  schema: S,
  node: DocNode,
  key: string,
  problems: Problems,
): Read<z.output<S>> | undefined {
  return readAny(schema, node, key, problems) as Read<z.output<S>> | undefined;
}

function readAny(schema: z.core.$ZodType, node: DocNode, key: string, problems: Problems): unknown {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'prefault':
      return readAny(def.innerType, node, key, problems);
    case 'union':
      return readUnion(def.options, node, key, problems);
    case 'object':
      return node.kind === 'map' ? readObject(def.shape, node, key, problems) : leaf(schema, node, key, problems);
    case 'array':
      if (node.kind !== 'list') return leaf(schema, node, key, problems);
      if (node.items.length === 0) return leaf(schema, node, key, problems);
      return node.items.map((item) => readAny(def.element, item, key, problems)).filter((item) => item !== undefined);
    case 'record':
      return node.kind === 'map' ? readRecord(def, node, key, problems) : leaf(schema, node, key, problems);
    case 'unknown':
      return toJson(node);
    default:
      return leaf(schema, node, key, problems);
  }
}

function readObject(shape: z.core.$ZodShape, node: DocNode & { kind: 'map' }, key: string, problems: Problems): object {
  const result: Record<string, unknown> = {};
  for (const [name, entry] of node.entries) {
    const field = Object.hasOwn(shape, name) ? shape[name] : undefined;
    if (field) {
      const value = readAny(field, entry.value, name, problems);
      if (value !== undefined) result[name] = value;
    } else {
      problems.add('PLAN_UNKNOWN_KEY', entry.key, `${key} has no key "${name}".`, suggest(name, Object.keys(shape)));
    }
  }
  for (const [name, field] of Object.entries(shape)) {
    if (node.entries.has(name) || field._zod.optin !== undefined) continue;
    problems.add('PLAN_MISSING', node.at, `${key} lacks "${name}".`, `Add "${name}".`);
  }
  return result;
}

function readRecord(
  def: z.core.$ZodRecordDef,
  node: DocNode & { kind: 'map' },
  key: string,
  problems: Problems,
): object {
  const result: [string, unknown][] = [];
  for (const [name, entry] of node.entries) {
    const judged = parse(def.keyType, name);
    if (!judged.success) {
      const rule = judged.error.issues[0]?.message ?? '';
      problems.add('PLAN_TYPE', entry.key, `${show(name)} is no valid name in ${key}.`, `A name here is: ${rule}.`);
      continue;
    }
    const value = readAny(def.valueType, entry.value, name, problems);
    if (value !== undefined) result.push([name, value]);
  }
  return Object.fromEntries(result);
}

/** Takes the branch that a value of this kind was meant for; of several maps, the one that knows most of its keys. */
function readUnion(options: readonly z.core.$ZodType[], node: DocNode, key: string, problems: Problems): unknown {
  const flat = options.flatMap((option) => {
    const { def } = (option as z.core.$ZodTypes)._zod;
    return def.type === 'union' ? def.options : [option];
  });
  const known = (option: z.core.$ZodType): number => {
    const { def } = (option as z.core.$ZodTypes)._zod;
    if (def.type !== 'object' || node.kind !== 'map') return 0;
    return [...node.entries.keys()].filter((name) => Object.hasOwn(def.shape, name)).length;
  };
  const [fitting] = flat.filter((option) => fits(option, node)).sort((a, b) => known(b) - known(a));
  if (fitting) return readAny(fitting, node, key, problems);
  const wanted = [...new Set(flat.map(nameOf))].join(' or ');
  const seen = show(toJson(node), key);
  problems.add('PLAN_TYPE', node.at, `${key} must be ${wanted}, not ${seen}.`, `Write ${wanted}.`);
  return undefined;
}

function nameOf(option: z.core.$ZodType): string {
  const { def } = (option as z.core.$ZodTypes)._zod;
  return def.type === 'literal' ? def.values.map(String).join(' or ') : (TYPES[def.type] ?? def.type);
}

function fits(option: z.core.$ZodType, node: DocNode): boolean {
  const { def } = (option as z.core.$ZodTypes)._zod;
  if (node.kind === 'map') return def.type === 'object' || def.type === 'record';
  if (node.kind === 'list') return def.type === 'array';
  if (def.type === 'literal') return def.values.includes(node.value as never);
  return def.type === typeof node.value || def.type === 'unknown';
}

function leaf(schema: z.core.$ZodType, node: DocNode, key: string, problems: Problems): unknown {
  const value = toJson(node);
  const judged = parse(schema, value);
  if (judged.success) return judged.data;
  const issue = judged.error.issues[0];
  if (issue) problems.add('PLAN_TYPE', node.at, `${key} ${complaint(issue, value, key)}`, remedyFor(issue, value));
  return undefined;
}

function parse(schema: z.core.$ZodType, value: unknown): z.ZodSafeParseResult<unknown> {
  return (schema as z.ZodType).safeParse(value);
}

const TYPES: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
};

/** What a zod issue says, in the words of someone who wrote YAML. */
export function complaint(issue: z.core.$ZodIssue, value: unknown, key: string): string {
  const seen = show(value, key);
  if (issue.code === 'invalid_type') return `must be ${TYPES[issue.expected] ?? issue.expected}, not ${seen}.`;
  if (issue.code === 'invalid_value')
    return `must be ${issue.values.map((v) => JSON.stringify(v)).join(' or ')}, not ${seen}.`;
  if (issue.code === 'too_small') return `must be ${sizeOf(issue.origin, 'at least', issue.minimum)}, not ${seen}.`;
  if (issue.code === 'too_big') return `must be ${sizeOf(issue.origin, 'at most', issue.maximum)}, not ${seen}.`;
  return `cannot be ${seen}: ${issue.message}.`;
}

function sizeOf(origin: string, bound: string, limit: number | bigint): string {
  if (origin === 'array') return `a list with ${bound} ${limit} item${limit === 1 ? '' : 's'}`;
  if (origin === 'string') return `a text of ${bound} ${limit} character${limit === 1 ? '' : 's'}`;
  return `${bound} ${limit}`;
}

const REMEDIES: Record<string, string> = {
  array: 'Write a list: one `- item` a line.',
  object: 'Write a map: one `key: value` a line.',
  record: 'Write a map: one `key: value` a line.',
  string: 'Write a text, in quotes if it looks like something else.',
};

const YAML_1_1_TRUTH: Record<string, boolean> = { yes: true, on: true, y: true, no: false, off: false, n: false };

/** What to do about a zod issue. */
export function remedyFor(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'invalid_type' && issue.expected === 'boolean' && typeof value === 'string') {
    const meant = YAML_1_1_TRUTH[value.toLowerCase()];
    return meant === undefined ? 'Write true or false.' : `Write ${meant}, without quotes.`;
  }
  if (issue.code === 'invalid_type') {
    const isNumber = issue.expected === 'number' || issue.expected === 'int';
    if (isNumber && typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value))) {
      return `Write it without quotes: ${Number(value)}.`;
    }
    return REMEDIES[issue.expected] ?? 'Correct the value.';
  }
  if (issue.code === 'invalid_value' && typeof value === 'string') return suggest(value, issue.values.map(String));
  return 'Correct the value.';
}
