/** The lines of fstab(5). Pure. */
import { fromOctal, toOctal } from './octal.ts';
import { inserted, type Line, replaced } from './text-lines.ts';

export const FSTAB = '/etc/fstab';

export interface FstabEntry {
  /** Device, `UUID=…`, or what else the file system wants. */
  spec: string;
  /** Where it is mounted; `none` of swap space. */
  path: string;
  type: string;
  options: string;
  dump: number;
  pass: number;
}

export function fstabEntries(lines: readonly Line[]): (FstabEntry & { index: number })[] {
  return lines.flatMap(({ text }, index) => {
    const [spec = '', path, type, options = 'defaults', dump = '0', pass = '0'] = text.trim().split(/[ \t]+/);
    if (spec.startsWith('#') || path === undefined || type === undefined) return [];
    const entry = { spec: fromOctal(spec), path: fromOctal(path), type, options: fromOctal(options) };
    return [{ index, ...entry, dump: Number(dump), pass: Number(pass) }];
  });
}

function lineOf({ spec, path, type, options, dump, pass }: FstabEntry): string {
  return [toOctal(spec), toOctal(path), type, toOctal(options), dump, pass].join(' ');
}

/** The entry in place of those that `isOld` says; at the end where there are none. A line that says the same is left alone. */
export function withEntry(lines: Line[], entry: FstabEntry, isOld: (entry: FstabEntry) => boolean): Line[] {
  const [first, ...rest] = fstabEntries(lines).filter(isOld);
  if (first === undefined) return inserted(lines, lines.length, [lineOf(entry)]);
  const extra = new Set(rest.map(({ index }) => index));
  const same = lineOf(first) === lineOf(entry);
  const changed = same ? lines : replaced(lines, first.index, first.index + 1, [lineOf(entry)]);
  return extra.size === 0 ? changed : changed.filter((_, index) => !extra.has(index));
}

export function withoutEntries(lines: readonly Line[], isGone: (entry: FstabEntry) => boolean): Line[] {
  const gone = new Set(fstabEntries(lines).flatMap((entry) => (isGone(entry) ? [entry.index] : [])));
  return lines.filter((_, index) => !gone.has(index));
}

/** Kept for people to read, and of no effect. */
export function withCommented(lines: readonly Line[], isGone: (entry: FstabEntry) => boolean): Line[] {
  const gone = new Set(fstabEntries(lines).flatMap((entry) => (isGone(entry) ? [entry.index] : [])));
  return lines.map((line, index) => (gone.has(index) ? { ...line, text: `# ${line.text}` } : line));
}
