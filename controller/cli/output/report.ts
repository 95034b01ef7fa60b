import { runHasEnded } from '../../../shared/lifecycle.ts';
import type { RunNodeView, RunView } from '../../views/types.ts';
import { changeLines } from './changes.ts';
import { type Colors, painted } from './colors.ts';
import { type Problem, problemLines } from './problems.ts';
import { table } from './table.ts';
import { alike, clean, count, names, span } from './text.ts';
import { timeLines } from './times-text.ts';
import { verdictLines } from './verdicts.ts';

export interface ReportStyle {
  colors: Colors;
  columns: number;
  /** Every diff whole, not only when there is little to show. */
  diff: boolean;
  /** What failed is rolled back after this. */
  rollsBack?: boolean;
}

/** More nodes than this and those that are simply done become one line. */
const MANY_NODES = 50;

/** What became of a run: prechecks, changes, failures once with their cause, nodes, and the sentence one looks for. */
export function reportLines(run: RunView, style: ReportStyle): string[] {
  const { colors } = style;
  const parts = [
    titled('Prechecks', verdictLines(run.verdicts, style), colors),
    titled(
      `${run.kind === 'check' ? 'Would change' : 'Changes'} (${run.changes.length})`,
      changeLines(run.changes, style),
      colors,
    ),
    titled(`Unknown (${run.unknown.length})`, unknownLines(run), colors),
    titled('Taken out', skipLines(run), colors),
    titled('Failures', failureLines(run, colors), colors),
    titled('Nodes', recapLines(run, colors), colors),
    titled('Times', run.kind === 'plan' ? timeLines(run) : [], colors),
    conclusion(run, style),
  ];
  return parts.filter((part) => part.length > 0).flatMap((part, at) => (at === 0 ? part : ['', ...part]));
}

function titled(title: string, lines: readonly string[], colors: Colors): string[] {
  return lines.length === 0 ? [] : [colors.bold(title), ...lines.map((line) => (line === '' ? '' : `  ${line}`))];
}

/** What a person has taken out, and why. */
function skipLines({ revised }: RunView): string[] {
  return (revised?.skip ?? []).map(({ task, reason, nodes }) => {
    const where = nodes ? ` on ${names(nodes.map(clean))}` : '';
    return `${clean(task)}${where}: ${clean(reason)}`;
  });
}

/** Of a dry run; the same on several nodes once. */
function unknownLines(run: RunView): string[] {
  const same = Map.groupBy(run.unknown, ({ node, task, why }) => JSON.stringify([task, alike(why, node)]));
  return [...same.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const why = group.length > 1 ? alike(first.why, first.node) : first.why;
    return [`${names(group.map(({ node }) => clean(node)))}: ${clean(first.task)}`, `  ${clean(why)}`];
  });
}

function recapLines({ kind, nodes }: RunView, colors: Colors): string[] {
  const quiet = nodes.length > MANY_NODES ? nodes.filter((node) => node.state === 'done') : [];
  const shown = nodes.filter((node) => !quiet.includes(node));
  if (nodes.length === 0) return [];
  const keys = RECAP.filter((key) => !RARE.has(key) || nodes.some((node) => node[key] > 0));
  const numbers = (list: readonly RunNodeView[]): string[] =>
    keys.map((key) => {
      const total = list.reduce((sum, node) => sum + node[key], 0);
      if (total === 0 || key === 'ok' || key === 'kept' || key === 'skipped') return String(total);
      return key === 'failed' ? colors.red(String(total)) : colors.yellow(String(total));
    });
  const rows = shown.map((node) => [clean(node.node), painted(node.state, colors), ...numbers([node])]);
  if (quiet.length > 0) rows.push([`${quiet.length} others`, painted('done', colors), ...numbers(quiet)]);
  const titles = keys.map((key) => (kind === 'check' && key === 'changed' ? 'would change' : key));
  return table(['node', 'state', ...titles], rows);
}

const RECAP = ['ok', 'kept', 'changed', 'skipped', 'ignored', 'rescued', 'failed', 'blocked'] as const;
/** Shown where there are any. */
const RARE: ReadonlySet<string> = new Set(['kept', 'rescued']);

/** The same failure on many nodes is told once. */
function failureLines(run: RunView, colors: Colors): string[] {
  const groups = new Map<string, RunView['failures']>();
  for (const failure of run.failures) {
    const message = alike(failure.error?.message ?? '', failure.node);
    const key = JSON.stringify([failure.task, failure.outcome, failure.error?.code, message]);
    groups.set(key, [...(groups.get(key) ?? []), failure]);
  }
  return [...groups.values()].flatMap((group, at) => {
    const [first] = group;
    if (!first) return [];
    const blocks = group.reduce((sum, failure) => sum + failure.blocks, 0);
    const where = names(group.map(({ node }) => clean(node)));
    const what = first.task === '' ? first.outcome : `${clean(first.task)} ${first.outcome}`;
    const after = blocks > 0 ? `, which blocked ${count(blocks, 'more step')}` : '';
    const error = first.error && group.length > 1 ? forAny(first.error, first.node) : first.error;
    const told = error ? problemLines(error, { colors, placed: false }) : [];
    return [...(at > 0 ? [''] : []), `${where}: ${what}${after}`, ...told.map((line) => `  ${line}`)];
  });
}

function forAny(error: Problem, node: string): Problem {
  return { ...error, message: alike(error.message, node), remedy: alike(error.remedy, node) };
}

function conclusion(run: RunView, { colors, rollsBack = false }: ReportStyle): string[] {
  const sum = (key: 'ok' | 'kept' | 'changed' | 'failed'): number =>
    run.nodes.reduce((total, node) => total + node[key], 0);
  const bad = run.nodes.filter((node) => node.failed > 0 || node.state === 'unreachable').length;
  const took = `${count(run.nodes.length, 'node')}, ${sum('ok')} ok${sum('kept') > 0 ? ` (${sum('kept')} kept)` : ''}, ${sum('changed')} changed, ${span(run.durationMs)}`;
  const line = (word: string, rest: string): string => `${word} ${rest} ${colors.dim(`(run ${run.id})`)}`;
  const look = `Look: kk-controller logs ${run.id}${oneBadNode(run)}`;
  if (run.kind === 'check' && runHasEnded(run.status)) return [line(...checked(run, colors))];
  switch (run.status) {
    case 'done':
      return [line(colors.green('Done:'), `${took}.`)];
    case 'failed':
      // Only some nodes went on in this revision: what stops the others has failed in an earlier one.
      if (bad === 0) {
        const stuck = run.nodes.filter(({ blocked }) => blocked > 0).length;
        return [
          line(colors.red('Not done:'), `blocked as before on ${stuck} of ${took}.`),
          look,
          `What was not taken up again goes on with: kk-controller retry ${run.id}`,
        ];
      }
      return [
        line(colors.red('Failed'), `on ${bad} of ${took}.`),
        look,
        ...(rollsBack
          ? ['What can be undone of it is undone now. Mend the cause, then apply the plan again.']
          : [
              `Mend the cause, then go on: kk-controller retry ${run.id}`,
              `or with a mended plan: kk-controller apply --resume ${run.id} plan.yaml`,
            ]),
      ];
    case 'precheck_failed':
      return [
        line(colors.red('Prechecks failed:'), 'no node was changed.'),
        'Mend what the table names and run the command again; apply --skip-prechecks goes ahead all the same.',
      ];
    case 'cancelled':
      return [line(colors.yellow('Cancelled:'), `${took}.`), `Go on with it: kk-controller retry ${run.id}.`];
    default:
      return runHasEnded(run.status) ? [] : [line(painted(run.status, colors), took)];
  }
}

function checked(run: RunView, colors: Colors): [string, string] {
  const ok = run.nodes.reduce((sum, node) => sum + node.ok, 0) - run.changes.length - run.unknown.length;
  const found = `${count(run.changes.length, 'step')} would change, ${ok} are as wanted, ${run.unknown.length} cannot be told`;
  const word = run.status === 'done' ? colors.green('Dry run:') : colors.red(`Dry run ${run.status}:`);
  return [word, `nothing was changed; ${found}.`];
}

function oneBadNode(run: RunView): string {
  const bad = new Set(run.failures.map(({ node }) => node));
  return bad.size === 1 ? ` --node ${[...bad][0]}` : '';
}
