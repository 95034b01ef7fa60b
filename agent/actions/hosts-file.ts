/** The machine's own line in hosts(5). Pure. */
import { inserted, type Line, replaced } from './text-lines.ts';

/** By which the line is found again, whatever the names in it. */
const MARK = '# this node, by kk';

/** An address, its names, and the rest of the line. */
function namesIn(text: string): string[] {
  return text.replace(/#.*$/, '').trim().split(/\s+/);
}

/** `name` for `address`: the line that kk made is changed, one that says so already is left alone. */
export function withOwnName(lines: Line[], address: string, name: string): Line[] {
  const [short = name] = name.split('.');
  const names = name === short ? [name] : [name, short];
  const isSaid = ({ text }: Line): boolean => {
    const [at, ...known] = namesIn(text);
    // The first name is what others are told (hosts(5): the canonical one).
    return at === address && known[0] === name && names.every((one) => known.includes(one));
  };
  const own = lines.findIndex(({ text }) => text.endsWith(MARK));
  const line = `${address} ${names.join(' ')} ${MARK}`;
  if (own >= 0) return lines[own]?.text === line ? lines : replaced(lines, own, own + 1, [line]);
  return lines.some(isSaid) ? lines : inserted(lines, 0, [line]);
}
