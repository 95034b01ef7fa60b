import type { RunView } from '../../views/types.ts';
import { type Colors, painted } from './colors.ts';
import { table } from './table.ts';
import { alike, clean, count, names } from './text.ts';

type NodeVerdict = RunView['verdicts'][number];

const OUTCOMES = ['pass', 'warn', 'fail', 'error'] as const;
/** Nodes as columns, as long as there are few; more are counted. */
const MOST_COLUMNS = 8;

/**
 * Checks against nodes (or against numbers of nodes when there are many), then every warning and failure with what to do,
 * the same one on several nodes told once.
 */
export function verdictLines(verdicts: readonly NodeVerdict[], style: { colors: Colors; columns: number }): string[] {
  if (verdicts.length === 0) return [];
  const { colors } = style;
  const nodes = [...new Set(verdicts.map(({ node }) => node))];
  const byCheck = Map.groupBy(verdicts, ({ check }) => check);
  const widest = nodes.reduce((sum, node) => sum + Math.max(5, node.length) + 2, 20);
  const columns = nodes.length <= MOST_COLUMNS && widest <= style.columns - 2 ? nodes : undefined;
  const grid = [...byCheck].map(([check, all]) => {
    const cells = columns
      ? columns.map((node) => painted(worst(all.filter((verdict) => verdict.node === node)), colors))
      : OUTCOMES.map((outcome) => String(all.filter((verdict) => verdict.outcome === outcome).length));
    return [clean(check), ...cells];
  });
  return [
    ...table(['check', ...(columns ?? OUTCOMES)], grid),
    ...troubles(verdicts, colors),
    ...total(verdicts, colors),
  ];
}

/** A check may be made several times on a node, once for each disk. */
function worst(verdicts: readonly NodeVerdict[]): string {
  return OUTCOMES.findLast((outcome) => verdicts.some((verdict) => verdict.outcome === outcome)) ?? '-';
}

function troubles(verdicts: readonly NodeVerdict[], colors: Colors): string[] {
  const bad = verdicts.filter(({ outcome }) => outcome !== 'pass');
  const same = Map.groupBy(bad, ({ check, outcome, message, remedy, node }) =>
    JSON.stringify([check, outcome, alike(message, node), alike(remedy, node)]),
  );
  return [...same.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const shown = (text: string): string => clean(group.length > 1 ? alike(text, first.node) : text);
    const where = names(group.map(({ node }) => clean(node)));
    const head = `${painted(first.outcome, colors)} ${colors.bold(clean(first.check))} on ${where}: ${shown(first.message)}`;
    return ['', head, ...(first.remedy === '' ? [] : [`  ${colors.cyan('do:')} ${shown(first.remedy)}`])];
  });
}

function total(verdicts: readonly NodeVerdict[], colors: Colors): string[] {
  const parts = OUTCOMES.flatMap((outcome) => {
    const amount = verdicts.filter((verdict) => verdict.outcome === outcome).length;
    return amount > 0 ? [`${amount} ${painted(outcome, colors)}`] : [];
  });
  return ['', `${count(verdicts.length, 'check')}: ${parts.join(', ')}.`];
}
