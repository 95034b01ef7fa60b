/** Fields of fstab, /proc/swaps and mountinfo hold no blanks: those are written in octal, `\040` (getmntent(3)). Pure. */
export function fromOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

export function toOctal(text: string): string {
  return text.replace(/[ \t\n\\]/g, (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, '0')}`);
}
