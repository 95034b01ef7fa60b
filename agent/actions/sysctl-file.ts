/** A file of sysctl.d(5), line by line. Pure. */
import { sysctlName, sysctlPath, sysctlValue } from '../../shared/actions/sysctl.ts';
import { inserted, type Line, replaced } from './text-lines.ts';

interface Setting {
  index: number;
  path: string | undefined;
  value: string;
  /** `-`: whoever sets it at boot goes on where the kernel refuses. */
  dash: string;
}

function settingsIn(lines: readonly Line[]): Setting[] {
  return lines.flatMap(({ text }, index) => {
    const [, dash = '', key = '', value = ''] = /^\s*(-?)\s*([^#;=\s-][^=]*?)\s*=(.*)$/.exec(text) ?? [];
    return key === '' ? [] : [{ index, path: sysctlPath(key), value: sysctlValue(value), dash }];
  });
}

/** The last line of a key holds, so that one is changed. `mayFail`: a new line is marked with a dash. */
export function withSysctl(lines: Line[], path: string, value: string, mayFail: boolean): Line[] {
  const found = settingsIn(lines).findLast((one) => one.path === path);
  if (found?.value === value) return lines;
  const line = `${found?.dash ?? (mayFail ? '-' : '')}${sysctlName(path)} = ${value}`;
  if (found === undefined) return inserted(lines, lines.length, [line]);
  return replaced(lines, found.index, found.index + 1, [line]);
}

export function withoutSysctl(lines: Line[], path: string): Line[] {
  const gone = new Set(settingsIn(lines).flatMap((one) => (one.path === path ? [one.index] : [])));
  return lines.filter((_, index) => !gone.has(index));
}
