import type { Template } from './ast.ts';
import { ExprError, type Origin } from './errors.ts';
import { Budget, type Limits, MAX_NESTING } from './limits.ts';
import { renderWithin } from './render.ts';
import type { Scope } from './scope.ts';
import { isTemplate, parseTemplate } from './template.ts';
import { isMap, makeMap, type Value } from './value.ts';

/** A JSON-like value whose strings are parsed templates where they need rendering. */
export type CompiledValue =
  | { readonly type: 'constant'; readonly value: Value }
  | { readonly type: 'template'; readonly template: Template }
  | { readonly type: 'list'; readonly items: readonly CompiledValue[] }
  | { readonly type: 'map'; readonly entries: readonly (readonly [string, CompiledValue])[]; readonly at: Origin };

/** Where in a value something stands: keys and indexes from the top. */
export type ValuePath = readonly (string | number)[];

/**
 * Parses every string of a value that is a template. Keys are not templated. `originOf` tells where the text of the
 * value at a path begins. Errors as `parseTemplate`.
 */
export function compileValue(value: Value, originOf: (path: ValuePath) => Origin): CompiledValue {
  return compileAt(value, [], originOf);
}

function compileAt(value: Value, path: ValuePath, originOf: (path: ValuePath) => Origin): CompiledValue {
  if (typeof value === 'string' && isTemplate(value)) {
    return { type: 'template', template: parseTemplate(value, originOf(path)) };
  }
  if (typeof value !== 'object' || value === null) return { type: 'constant', value };
  if (path.length > MAX_NESTING) {
    throw new ExprError('EXPR_LIMIT', `a value is nested deeper than ${MAX_NESTING} levels`, originOf(path));
  }
  if (Array.isArray(value)) {
    const items = value.map((item, index) => compileAt(item, [...path, index], originOf));
    return items.every((item) => item.type === 'constant') ? { type: 'constant', value } : { type: 'list', items };
  }
  if (!isMap(value)) throw new ExprError('EXPR_TYPE', 'this is not a plain value', originOf(path));
  const entries = Object.keys(value).map(
    (key) => [key, compileAt(value[key] as Value, [...path, key], originOf)] as const,
  );
  if (entries.every(([, entry]) => entry.type === 'constant')) return { type: 'constant', value };
  return { type: 'map', entries, at: originOf(path) };
}

/** The value with every template rendered, all on one budget. Errors as `render`. */
export function evaluateValue(compiled: CompiledValue, scope: Scope, limits?: Partial<Limits>): Value {
  return evaluateWithin(compiled, scope, new Budget(limits));
}

function evaluateWithin(compiled: CompiledValue, scope: Scope, budget: Budget): Value {
  switch (compiled.type) {
    case 'constant':
      return compiled.value;
    case 'template':
      return renderWithin(compiled.template, scope, budget);
    case 'list':
      return compiled.items.map((item) => evaluateWithin(item, scope, budget));
    case 'map':
      return makeMap(
        compiled.entries.map(([key, entry]) => [key, evaluateWithin(entry, scope, budget)] as const),
        compiled.at,
      );
  }
}

/** Every template inside a compiled value, for analysis. */
export function templatesOf(compiled: CompiledValue): readonly Template[] {
  switch (compiled.type) {
    case 'constant':
      return [];
    case 'template':
      return [compiled.template];
    case 'list':
      return compiled.items.flatMap(templatesOf);
    case 'map':
      return compiled.entries.flatMap(([, entry]) => templatesOf(entry));
  }
}
