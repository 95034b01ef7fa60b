import type { Position } from '../../shared/errors.ts';
import type { Json } from '../../shared/share.ts';

/**
 * A YAML document as plain values that know where they stand (`PlanDocument` of the architecture). Aliases share the
 * node of their anchor, so a document stays as small as its text; `size` counts it as if they were copied.
 */
export type DocNode = DocMap | DocList | DocScalar;

export interface DocMap {
  kind: 'map';
  at: Position;
  size: number;
  entries: Map<string, DocEntry>;
}

export interface DocEntry {
  /** Where the key stands. */
  key: Position;
  value: DocNode;
}

export interface DocList {
  kind: 'list';
  at: Position;
  size: number;
  items: DocNode[];
}

export interface DocScalar {
  kind: 'scalar';
  at: Position;
  size: 1;
  value: null | boolean | number | string;
  /** Where the first character of a text stands: behind the quote, or on the line below `|`. */
  content: Position;
  /** Tagged `!text`: braces in it are text, not a template. */
  literal: boolean;
}

export type Path = readonly (string | number)[];

/** The node at a path; undefined when there is none. */
export function nodeAt(node: DocNode | undefined, path: Path): DocNode | undefined {
  let current = node;
  for (const step of path) {
    if (current?.kind === 'map') current = current.entries.get(String(step))?.value;
    else if (current?.kind === 'list') current = typeof step === 'number' ? current.items[step] : undefined;
    else return undefined;
  }
  return current;
}

/** Where the value at a path stands, or the nearest thing around it that is there. */
export function placeOf(node: DocNode, path: Path): Position {
  for (let length = path.length; length > 0; length--) {
    const found = nodeAt(node, path.slice(0, length));
    if (found) return found.at;
  }
  return node.at;
}

/** Where a key of a map stands; the map itself when it has no such key. */
export function keyPlace(node: DocNode, key: string): Position {
  return (node.kind === 'map' ? node.entries.get(key)?.key : undefined) ?? node.at;
}

export function toJson(node: DocNode): Json {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'list':
      return node.items.map(toJson);
    case 'map':
      return Object.fromEntries([...node.entries].map(([key, entry]) => [key, toJson(entry.value)]));
  }
}

/** Every text in a value, with its JSON pointer below `pointer`. */
export function* textsOf(
  node: DocNode,
  pointer = '',
): Generator<{ pointer: string; node: DocScalar & { value: string } }> {
  if (node.kind === 'scalar') {
    if (typeof node.value === 'string') yield { pointer, node: node as DocScalar & { value: string } };
  } else if (node.kind === 'list') {
    for (const [index, item] of node.items.entries()) yield* textsOf(item, `${pointer}/${index}`);
  } else {
    for (const [key, entry] of node.entries) yield* textsOf(entry.value, `${pointer}/${escapePointer(key)}`);
  }
}

/** A key as a step of a JSON pointer (RFC 6901). */
export function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** Every text in a plain value, with its JSON pointer below `pointer`. */
export function* textsIn(value: Json, pointer: string): Generator<{ pointer: string; text: string }> {
  if (typeof value === 'string') yield { pointer, text: value };
  else if (Array.isArray(value))
    for (const [index, item] of value.entries()) yield* textsIn(item, `${pointer}/${index}`);
  else if (value !== null && typeof value === 'object')
    for (const [key, item] of Object.entries(value)) yield* textsIn(item, `${pointer}/${key}`);
}
