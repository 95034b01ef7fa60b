/** Lines of an authorized_keys file (sshd(8)). Pure. */
import { inserted, type Line, replaced } from './text-lines.ts';

/** Type and key are what tells keys apart; options before them and the comment behind them may differ. */
function keyOf(text: string): string {
  const [, type, key] = /(?:^|\s)((?:ssh|ecdsa|sk)-[\w@.-]+)\s+([A-Za-z0-9+/=]+)/.exec(text) ?? [];
  return key === undefined ? text.trim() : `${type} ${key}`;
}

/** Every key once; `exact`: and no others. Comments stay. */
export function withKeys(lines: Line[], keys: readonly string[], exact: boolean): Line[] {
  const wanted = new Map(keys.map((key) => [keyOf(key), key.trim()]));
  const isOther = ({ text }: Line): boolean => !/^\s*(?:#|$)/.test(text) && !wanted.has(keyOf(text));
  let after = exact ? lines.filter((line) => !isOther(line)) : lines;
  for (const [id, text] of wanted) {
    const at = after.findIndex((line) => keyOf(line.text) === id);
    if (at < 0) after = inserted(after, after.length, [text]);
    else if (after[at]?.text.trim() !== text) after = replaced(after, at, at + 1, [text]);
  }
  return after;
}
