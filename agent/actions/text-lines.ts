/** Lines with their line breaks apart, so that an edit leaves every byte that it is not about as it was. Pure. */
export interface Line {
  text: string;
  /** Empty: the last line of a text that does not end with one. */
  end: '' | '\n' | '\r\n';
}

export function linesOf(text: string): Line[] {
  return (text.match(/[^\n]*\n|[^\n]+$/g) ?? []).map((line) => {
    const end = line.endsWith('\r\n') ? '\r\n' : line.endsWith('\n') ? '\n' : '';
    return { text: line.slice(0, line.length - end.length), end };
  });
}

export function textOf(lines: readonly Line[]): string {
  return lines.map(({ text, end }) => text + end).join('');
}

/** What new lines end with: what the first line does. */
function endingOf(lines: readonly Line[]): '\n' | '\r\n' {
  return lines[0]?.end === '\r\n' ? '\r\n' : '\n';
}

/** New lines before the one at `at`. What was a last line without line break gets one when they come after it. */
export function inserted(lines: readonly Line[], at: number, texts: readonly string[]): Line[] {
  const end = endingOf(lines);
  const before = lines.slice(0, at).map((line) => (line.end === '' ? { ...line, end } : line));
  return [...before, ...texts.map((text) => ({ text, end })), ...lines.slice(at)];
}

/** The lines from `from` to before `to` become `texts`; the last of these ends as the last of those did. */
export function replaced(lines: readonly Line[], from: number, to: number, texts: readonly string[]): Line[] {
  const last = lines[to - 1]?.end ?? '';
  const end = endingOf(lines);
  const fresh = texts.map((text, index) => ({ text, end: index === texts.length - 1 ? last : end }));
  return [...lines.slice(0, from), ...fresh, ...lines.slice(to)];
}
