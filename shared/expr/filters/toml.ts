import { type Call, fail } from '../callable.ts';
import { isMap, typeName, type Value, type ValueMap } from '../value.ts';

/**
 * A map as TOML 1.0 (https://toml.io/en/v1.0.0): first what is no table, then the tables in their order, each under its whole name.
 * TOML has no null: a key with none is left out, which is how a map laid over another takes a key away. Fails with EXPR_TYPE
 * for what TOML cannot hold.
 */
export function tomlText(map: ValueMap, call: Call): string {
  const blocks: string[] = [];
  writeTable(map, [], blocks, call);
  return blocks.map((block) => `${block}\n`).join('\n');
}

function writeTable(map: ValueMap, path: readonly string[], blocks: string[], call: Call): void {
  const entries = Object.entries(map).filter(([, value]) => value !== null);
  const tables = entries.filter((entry): entry is [string, ValueMap] => isMap(entry[1]));
  const lines = entries
    .filter(([, value]) => !isMap(value))
    .map(([key, value]) => `${keyText(key, call)} = ${valueText(value, call)}`);
  // A table that only holds others needs no header; one that holds nothing is there by its header.
  const isNamed = path.length > 0 && (lines.length > 0 || tables.length === 0);
  if (isNamed) lines.unshift(`[${path.map((key) => keyText(key, call)).join('.')}]`);
  if (lines.length > 0) blocks.push(lines.join('\n'));
  for (const [key, table] of tables) writeTable(table, [...path, key], blocks, call);
}

function keyText(key: string, call: Call): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : quoted(key, call);
}

function valueText(value: Value, call: Call): string {
  if (typeof value === 'string') return quoted(value, call);
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return String(value);
  if (Array.isArray(value)) return `[${value.map((item) => valueText(item, call)).join(', ')}]`;
  if (!isMap(value)) return fail(call, 'EXPR_TYPE', `TOML cannot hold ${typeName(value)} in a list`);
  const entries = Object.entries(value).filter(([, one]) => one !== null);
  if (entries.length === 0) return '{}';
  return `{ ${entries.map(([key, one]) => `${keyText(key, call)} = ${valueText(one, call)}`).join(', ')} }`;
}

/** A basic string: the escapes of JSON, and of DEL. */
function quoted(text: string, call: Call): string {
  if (!text.isWellFormed()) return fail(call, 'EXPR_TYPE', 'the text holds half a character, which TOML cannot hold');
  return JSON.stringify(text).replaceAll('\u007f', '\\u007f');
}
