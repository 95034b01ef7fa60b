import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type Scalar } from 'yaml';
import type { Position } from '../../shared/errors.ts';
import type { DocEntry, DocNode } from './document.ts';
import type { Problems } from './problems.ts';

/** Characters of one YAML file. */
export const MAX_TEXT = 4 * 1024 * 1024;
/** Values of one file once its aliases are written out: a bomb of nested aliases stops here. */
const MAX_VALUES = 1_000_000;
const MAX_DEPTH = 64;

/**
 * Reads one YAML file. `undefined` means that it is broken and its problems are told; an empty file is a null scalar.
 * YAML 1.2: `yes` and `on` are texts, there are no merge keys.
 */
export function parseYaml(file: string, text: string, problems: Problems): DocNode | undefined {
  const start: Position = { file, line: 1, column: 1 };
  if (text.length > MAX_TEXT) {
    problems.add('PLAN_YAML', start, `The file has more than ${MAX_TEXT} characters.`, 'Split it into several files.');
    return undefined;
  }
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: 'error',
    });
    // what the parser says after the first error is guesswork about a text it has lost the thread of
    const [error] = document.errors.toSorted((one, other) => one.pos[0] - other.pos[0]);
    if (error) {
      const message = `The YAML is broken: ${error.message.replace(/[.:]?\s*$/, '')}.`;
      problems.add('PLAN_YAML', placeAt(file, lines, error.pos[0]), message, remedyFor(error.code));
      return undefined;
    }
    return new Converter(file, text, lines, problems).document(document.contents);
  } catch (thrown) {
    // the parser is recursive, and a hostile nesting exhausts its stack
    if (!(thrown instanceof RangeError)) throw thrown;
    problems.add('PLAN_YAML', start, 'The YAML is nested too deeply.', `Nest at most ${MAX_DEPTH} levels.`);
    return undefined;
  }
}

function remedyFor(code: string): string {
  if (code === 'TAB_AS_INDENT') return 'Indent with spaces, not tabs.';
  if (code === 'MULTIPLE_DOCS') return 'Keep one document a file: remove the `---` between them.';
  if (code === 'RESOURCE_EXHAUSTION') return `Nest at most ${MAX_DEPTH} levels.`;
  if (code === 'BLOCK_AS_IMPLICIT_KEY') return 'Quote a text that holds ": ".';
  return 'Check indentation, quotes and brackets around this place.';
}

function placeAt(file: string, lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { file, line: Math.max(1, line), column: Math.max(1, col) };
}

/** Turns the parser's tree into {@link DocNode}s, in document order so that anchors are known before their aliases. */
class Converter {
  readonly #file: string;
  readonly #text: string;
  readonly #lines: LineCounter;
  readonly #problems: Problems;
  /** null while the anchored value itself is being read. */
  readonly #anchors = new Map<string, DocNode | null>();
  #tooBig = false;

  constructor(file: string, text: string, lines: LineCounter, problems: Problems) {
    this.#file = file;
    this.#text = text;
    this.#lines = lines;
    this.#problems = problems;
  }

  document(contents: unknown): DocNode | undefined {
    const node = this.#node(contents, 0, 0);
    return this.#tooBig ? undefined : node;
  }

  #node(node: unknown, fallback: number, depth: number): DocNode {
    if (depth > MAX_DEPTH) throw new RangeError('too deep');
    if (isAlias(node)) return this.#alias(node.source, offsetOf(node, fallback));
    const anchor = (node as { anchor?: string } | null)?.anchor;
    if (anchor) this.#anchors.set(anchor, null);
    const made = this.#fresh(node, fallback, depth);
    if (anchor) this.#anchors.set(anchor, made);
    if (made.size > MAX_VALUES && !this.#tooBig) {
      this.#tooBig = true;
      const message = `The file holds more than ${MAX_VALUES} values once its aliases are written out.`;
      this.#problems.add('PLAN_YAML', made.at, message, 'Use fewer nested aliases.');
    }
    return made;
  }

  #fresh(node: unknown, fallback: number, depth: number): DocNode {
    const offset = offsetOf(node, fallback);
    const at = this.#place(offset);
    if (isMap(node)) {
      this.#refuseTag(node.tag, ['tag:yaml.org,2002:map'], at);
      const entries = new Map<string, DocEntry>();
      let size = 1;
      for (const pair of node.items) {
        const entry = this.#entry(pair, offset, depth, entries);
        size += entry?.value.size ?? 0;
      }
      return { kind: 'map', at, size, entries };
    }
    if (isSeq(node)) {
      this.#refuseTag(node.tag, ['tag:yaml.org,2002:seq'], at);
      const items = node.items.map((item) => this.#node(item, offset, depth + 1));
      return { kind: 'list', at, size: items.reduce((sum, item) => sum + item.size, 1), items };
    }
    return this.#scalar(isScalar(node) ? node : undefined, at);
  }

  #entry(pair: Pair, offset: number, depth: number, entries: Map<string, DocEntry>): DocEntry | undefined {
    const keyOffset = offsetOf(pair.key, offset);
    const key = this.#place(keyOffset);
    const name = isScalar(pair.key) ? keyText(pair.key) : undefined;
    const value = this.#node(pair.value, keyOffset, depth + 1);
    if (name === undefined) {
      this.#problems.add(
        'PLAN_YAML',
        key,
        'A key must be a plain text.',
        'Write the key as a text, in quotes if need be.',
      );
      return undefined;
    }
    if (name === '<<') {
      this.#problems.add(
        'PLAN_YAML',
        key,
        'Merge keys (<<) are not read.',
        'Write the keys out, or use group variables.',
      );
      return undefined;
    }
    const before = entries.get(name);
    if (before) {
      const message = `The key ${JSON.stringify(name)} stands twice in this map, first in line ${before.key.line}.`;
      this.#problems.add('PLAN_YAML', key, message, 'Keep one of the two.');
      return undefined;
    }
    const entry = { key, value };
    entries.set(name, entry);
    return entry;
  }

  #alias(name: string, offset: number): DocNode {
    const at = this.#place(offset);
    const target = this.#anchors.get(name);
    if (target) return target;
    const message =
      target === null ? `The alias *${name} contains itself.` : `There is no anchor &${name} before *${name}.`;
    this.#problems.add('PLAN_YAML', at, message, `Put &${name} at a value further up, or write the value out.`);
    return { kind: 'scalar', at, size: 1, value: null, content: at, literal: false };
  }

  #scalar(node: Scalar | undefined, at: Position): DocNode {
    let value = (node?.value ?? null) as null | boolean | number | string;
    this.#refuseTag(node?.tag, ['!text', ...SCALAR_TAGS], at);
    const literal = node?.tag === '!text';
    if (typeof value === 'number') {
      const source = node?.source ?? '';
      const message = numberTrouble(value, source);
      if (message) this.#problems.add('PLAN_TYPE', at, message, `Quote it to keep it as a text: "${source}".`);
      // 0644 is a mode, 007 an id: nobody means a decimal number by them, though YAML 1.2 does
      if (message || /^[-+]?0\d+$/.test(source)) value = source;
    }
    return { kind: 'scalar', at, size: 1, value, content: node ? this.#content(node, at) : at, literal };
  }

  #content(node: Scalar, at: Position): Position {
    const offset = offsetOf(node, 0);
    if (node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE') return { ...at, column: at.column + 1 };
    if (node.type !== 'BLOCK_LITERAL' && node.type !== 'BLOCK_FOLDED') return at;
    const header = this.#text.indexOf('\n', offset);
    if (header < 0) return at;
    // the indentation is that of the first line with something on it, unless the header states it
    const indent = /\n( *)[^ \n\r]/.exec(this.#text.slice(header, node.range?.[1] ?? header))?.[1]?.length ?? 0;
    return { file: this.#file, line: at.line + 1, column: indent + 1 };
  }

  #refuseTag(tag: string | undefined, known: readonly string[], at: Position): void {
    if (tag === undefined || known.includes(tag)) return;
    this.#problems.add(
      'PLAN_YAML',
      at,
      `The YAML tag ${tag} is not known.`,
      'Remove it; the only tag there is is !text.',
    );
  }

  #place(offset: number): Position {
    return placeAt(this.#file, this.#lines, offset);
  }
}

const SCALAR_TAGS = ['null', 'bool', 'int', 'float', 'str'].map((name) => `tag:yaml.org,2002:${name}`);

function offsetOf(node: unknown, fallback: number): number {
  return (node as Node | null)?.range?.[0] ?? fallback;
}

/** Keys such as `8080:` and `true:` are read as the text they are written with. */
function keyText(key: Scalar): string | undefined {
  if (typeof key.value === 'string') return key.value;
  return key.source === undefined || key.source === '' ? undefined : key.source;
}

/** Numbers that would not reach the node as they were written. */
function numberTrouble(value: number, source: string): string | undefined {
  if (!Number.isFinite(value)) return `${source} is not a number that JSON knows.`;
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return `${source} is too large to be kept exactly.`;
  return undefined;
}
