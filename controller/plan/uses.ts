import type { Position } from '../../shared/errors.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import type { Place, SourceText } from '../../shared/share.ts';
import { type DocNode, textsOf } from './document.ts';

/** A template or condition and where it stands: checked for syntax and for the variables it names. */
export interface Use {
  kind: 'template' | 'condition';
  text: string;
  origin: Position;
  /** Reads the loop's `item`: everything of a looping task but the loop itself. */
  item: boolean;
  /** Evaluated after the action: the task's own register is there. */
  after: boolean;
  /** More names that are there: registers and variables of `recover` tasks. */
  more?: readonly string[];
}

export function placeIn(position: Position): Place {
  return [position.line, position.column];
}

/** One condition or several, which hold all together; a boolean is its own text. */
export function readConditions(node: DocNode | undefined, add: (text: string, origin: Position) => void): SourceText[] {
  const items = node?.kind === 'list' ? node.items : node ? [node] : [];
  return items.flatMap((item): SourceText[] => {
    if (item.kind !== 'scalar') return [];
    if (typeof item.value === 'boolean') return [{ text: String(item.value), at: placeIn(item.at) }];
    if (typeof item.value !== 'string') return [];
    add(item.value, item.content);
    return [{ text: item.value, at: placeIn(item.content) }];
  });
}

/** The templates in a value, as uses outside any loop. */
export function templateUses(node: DocNode | undefined): Use[] {
  const uses: Use[] = [];
  for (const { node: text } of node ? textsOf(node) : []) {
    if (!isTemplate(text.value)) continue;
    uses.push({ kind: 'template', text: text.value, origin: text.content, item: false, after: false });
  }
  return uses;
}
