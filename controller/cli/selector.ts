import { KkError } from '../../shared/errors.ts';
import type { Cli } from './cli.ts';
import { names } from './output/text.ts';

/** How nodes are selected on the command line, for `--help`. */
export const SELECTOR_HELP = `The selector: names of nodes and groups, all, w* by the beginning of a name.
  a,b      in either            a:&b     in both            a:!b     in a and not in b
  @EXPR    where the expression holds by the facts that the node told last; it reaches to the end: 'all:!@EXPR'`;

/** What the controller takes as a selector. Throws KkError SELECTOR_EMPTY. */
export function selectorOf(text: string): string[] {
  if (/[^\s:,]/.test(text)) return [text];
  throw new KkError({
    code: 'SELECTOR_EMPTY',
    message: 'The selector names no node.',
    remedy: 'Give names of nodes or groups, for example `all`.',
  });
}

/** Says whom an expression passed over because nothing is known of them. */
export function tellWithoutFacts(cli: Cli, nodes: readonly string[]): void {
  if (nodes.length === 0) return;
  cli.note(
    `No facts are known of ${names(nodes, 10)}: not selected by the expression. Ask with: kk-controller facts all`,
  );
}
