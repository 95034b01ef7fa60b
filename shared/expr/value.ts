import { ExprError, type Origin } from './errors.ts';
import type { Budget } from './limits.ts';

/** All an expression can work on: JSON's data model. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };

export type ValueMap = { [key: string]: Value };

/** Names that lead to prototypes in JavaScript: never a key here, neither read nor made. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Is it a plain object? Class instances, dates and functions are not maps. */
export function isMap(value: unknown): value is ValueMap {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The entry of a map by its own key; undefined when there is none. */
export function ownEntry(map: ValueMap, key: string): Value | undefined {
  if (FORBIDDEN_KEYS.has(key) || !Object.hasOwn(map, key)) return undefined;
  return map[key];
}

/** The keys of a map that can be read. */
export function ownKeys(map: ValueMap): string[] {
  return Object.keys(map).filter((key) => !FORBIDDEN_KEYS.has(key));
}

/** A map made of entries; a forbidden key is EXPR_TYPE. */
export function makeMap(entries: readonly (readonly [string, Value])[], at: Origin): ValueMap {
  for (const [key] of entries) {
    if (FORBIDDEN_KEYS.has(key)) throw new ExprError('EXPR_TYPE', `"${key}" cannot be a key`, at, 'rename the key');
  }
  return Object.fromEntries(entries);
}

/** The item of a list; a negative index counts from the end. undefined when out of range or not a whole number. */
export function listItem(list: readonly Value[], index: number): Value | undefined {
  return Number.isInteger(index) ? list.at(index) : undefined;
}

/** `a.b.0` taken step by step over own keys and indexes; undefined as soon as one is missing. */
export function valueAt(value: Value, path: string): Value | undefined {
  let here: Value | undefined = value;
  for (const step of path.split('.')) {
    if (Array.isArray(here)) here = /^-?\d{1,9}$/.test(step) ? listItem(here, Number(step)) : undefined;
    else if (isMap(here)) here = ownEntry(here, step);
    else return undefined;
  }
  return here;
}

/** The word for a value's type in messages. */
export function typeName(value: unknown): string {
  if (value === null) return 'none';
  if (Array.isArray(value)) return 'a list';
  if (isMap(value)) return 'a map';
  if (typeof value === 'string') return 'a string';
  if (typeof value === 'number') return 'a number';
  if (typeof value === 'boolean') return 'a boolean';
  return 'not a value';
}

/** Python's rule: none, false, 0, '' and empty lists and maps are false, all else is true (also the string 'false'). */
export function truthy(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isMap(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** Pays for every part of a value (shared parts as often as they occur) and refuses what is not a Value. */
export function measure(value: Value, budget: Budget, at: Origin, level = 0): void {
  budget.depth(level, at);
  budget.spend(typeof value === 'string' ? 1 + Math.floor(value.length / 32) : 1, at);
  if (Array.isArray(value)) {
    for (const item of value) measure(item, budget, at, level + 1);
  } else if (isMap(value)) {
    for (const key of Object.keys(value)) measure(value[key] as Value, budget, at, level + 1);
  } else if (typeof value === 'object' ? value !== null : !['string', 'number', 'boolean'].includes(typeof value)) {
    throw new ExprError('EXPR_TYPE', 'the scope gave something that is not a value', at);
  }
}

/** Deep equality. Different types are never equal (unlike Python, `true == 1` is false). */
export function equal(a: Value, b: Value, budget: Budget, at: Origin, level = 0): boolean {
  budget.depth(level, at);
  budget.spend(1, at);
  if (a === b) return true;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => equal(item, b[index] as Value, budget, at, level + 1));
  }
  if (!isMap(a) || !isMap(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && equal(a[key] as Value, b[key] as Value, budget, at, level + 1));
}

/** A string that two values share exactly when they are equal; lets sets of values be searched by hash. */
export function identityOf(value: Value, budget: Budget, at: Origin): string {
  measure(value, budget, at);
  return canonical(value);
}

function canonical(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isMap(value)) return JSON.stringify(value);
  const parts = Object.keys(value).sort();
  return `{${parts.map((key) => `${JSON.stringify(key)}:${canonical(value[key] as Value)}`).join(',')}}`;
}

/**
 * A value as it appears in rendered text: none is empty (as Ansible does), booleans are `true` and `false` and lists
 * and maps are JSON, so that they are right inside YAML and JSON files (Python would write `True`).
 */
export function toText(value: Value, budget: Budget, at: Origin): string {
  if (typeof value === 'string') return value;
  if (value === null) return '';
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'number') return Object.is(value, -0) ? '0' : String(value);
  measure(value, budget, at);
  const text = JSON.stringify(value);
  budget.text(text.length, at);
  return text;
}
