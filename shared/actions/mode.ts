import { z } from 'zod';

/**
 * Permissions as people write them: "0644", or 644 unquoted. YAML 1.2 reads an unquoted 0644 as the number 644, so the
 * digits of a number are taken as the octal digits they were meant as; a number that then gives the group or others what
 * the owner lacks was computed (0o644 is 420) and is refused.
 */
export const Mode = z.union([
  z.string().regex(/^[0-7]{3,4}$/, 'a mode is three or four octal digits, such as "0644"'),
  z.int().refine((n) => readsAsOctal(n), 'write the mode as a quoted string of octal digits, such as "0644"'),
]);
export type Mode = z.infer<typeof Mode>;

function readsAsOctal(n: number): boolean {
  const digits = String(n);
  if (!/^[0-7]{3,4}$/.test(digits)) return false;
  const bits = Number.parseInt(digits, 8);
  const owner = (bits >> 6) & 7;
  return (((bits >> 3) | bits) & 7 & ~owner) === 0;
}

/** The permission bits of a mode. */
export function modeBits(mode: Mode): number {
  return Number.parseInt(String(mode), 8);
}

/** Four octal digits, as `ls` and people know them. */
export function modeText(bits: number): string {
  return (bits & 0o7777).toString(8).padStart(4, '0');
}
