import type { Position } from '../../../shared/errors.ts';
import type { Colors } from './colors.ts';
import { bounded, clean, count } from './text.ts';

/** An ErrorReport, made here or read from the controller. */
export interface Problem {
  code: string;
  message: string;
  remedy: string;
  evidence?: string | undefined;
  node?: string | undefined;
  task?: string | undefined;
  position?: Position | undefined;
}

export interface ProblemStyle {
  colors: Colors;
  /** Texts of the files that positions point into; with them the line is shown under its message, with a caret. */
  texts?: Readonly<Record<string, string>>;
  /** false: node and task stand in the line above already. */
  placed?: boolean;
  /** Lines of evidence for each. */
  evidenceLines?: number;
}

/** Longer source lines are shown around the place. */
const SOURCE_WIDTH = 100;

/**
 * One error for a person: place, code, message; the line and a caret; what was seen; what to do.
 *
 * ```
 * error PLAN_UNKNOWN_GROUP plan.yaml:12:14
 *   There is no group "wrokers".
 *     12 |   hosts: wrokers
 *        |          ^
 *   do: Did you mean "workers"?
 * ```
 */
export function problemLines(
  report: Problem,
  { colors, texts, placed = true, evidenceLines = 12 }: ProblemStyle,
): string[] {
  // what kk makes by itself (the plan of exec) has no line
  const at = report.position && report.position.line > 0 ? report.position : undefined;
  const where = [
    ...(at ? [`${at.file}:${at.line}:${at.column}`] : []),
    ...(!placed || report.node === undefined ? [] : [`on ${report.node}`]),
    ...(!placed || report.task === undefined ? [] : [`in ${report.task}`]),
  ].join(' ');
  return [
    `${colors.red(colors.bold('error'))} ${colors.bold(report.code)}${where === '' ? '' : ` ${clean(where)}`}`,
    ...clean(report.message)
      .split('\n')
      .map((line) => `  ${line}`),
    ...sourceLines(report, texts ?? {}, colors),
    ...(!report.evidence?.trim() ? [] : evidence(report.evidence, evidenceLines, colors)),
    ...(report.remedy === '' ? [] : [`  ${colors.cyan('do:')} ${clean(report.remedy)}`]),
  ];
}

/** All problems of an input, and how many there are. */
export function problemsText(reports: readonly Problem[], style: ProblemStyle): string {
  const lines = reports.flatMap((report) => [...problemLines(report, style), '']);
  if (reports.length > 1) lines.push(style.colors.bold(`${count(reports.length, 'problem')}.`));
  else lines.pop();
  return `${lines.join('\n')}\n`;
}

function evidence(text: string, most: number, colors: Colors): string[] {
  return bounded(clean(text), most).map((line) => `  ${colors.dim('saw:')} ${line}`);
}

function sourceLines(report: Problem, texts: Readonly<Record<string, string>>, colors: Colors): string[] {
  const at = report.position;
  const line = at && texts[at.file]?.split('\n')[at.line - 1];
  if (!at || line === undefined || line.trim() === '') return [];
  const from = Math.max(0, at.column - 1 - SOURCE_WIDTH / 2);
  const shown = clean(line.slice(from, from + SOURCE_WIDTH)).replaceAll('\t', ' ');
  const number = String(at.line);
  return [
    `  ${colors.dim(`${number} |`)} ${shown}`,
    `  ${colors.dim(`${' '.repeat(number.length)} |`)} ${' '.repeat(at.column - 1 - from)}${colors.red('^')}`,
  ];
}
