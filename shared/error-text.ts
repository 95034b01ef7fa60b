/**
 * An error as lines of text, where a program reads what another printed: the join script, `kk-agent install` and the
 * SSH step share this form.
 *
 * ```
 * kk: DISK_FULL: /usr/local/lib has 40 MB free, 300 MB are needed
 *   saw: ...                            (any number of lines)
 *   do: Make room there and join again.
 * ```
 */
import type { ErrorReport } from './errors.ts';

const HEAD = /^kk: ([A-Z][A-Z0-9_]+): (.*)$/;
const SAW = /^ {2}saw: ?(.*)$/;
const DO = /^ {2}do: (.*)$/;

/** The lines of a report, each ended by a line break. */
export function errorText(report: ErrorReport): string {
  const saw = report.evidence === undefined ? [] : report.evidence.trimEnd().split('\n');
  return [
    `kk: ${report.code}: ${oneLine(report.message)}`,
    ...saw.map((line) => `  saw: ${line}`),
    `  do: ${oneLine(report.remedy)}`,
    '',
  ].join('\n');
}

/** The last error in a program's output; undefined when there is none. What stands around it does not matter. */
export function parseErrorText(text: string): ErrorReport | undefined {
  let found: ErrorReport | undefined;
  let open = false;
  for (const line of text.split(/\r?\n/)) {
    const [, code, message] = HEAD.exec(line) ?? [];
    const saw = SAW.exec(line)?.[1];
    const remedy = DO.exec(line)?.[1];
    if (code !== undefined && message !== undefined) {
      found = { code, message, remedy: '' };
      open = true;
    } else if (!open || found === undefined) {
    } else if (saw !== undefined) {
      found.evidence = found.evidence === undefined ? saw : `${found.evidence}\n${saw}`;
    } else if (remedy !== undefined) {
      found.remedy = remedy;
      open = false;
    } else {
      open = false;
    }
  }
  return found;
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ');
}
