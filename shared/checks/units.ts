export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** Whole MiB, rounded down, so that what is below a floor never reads as equal to it: `1,699 MiB`. */
export function mib(bytes: number): string {
  return `${grouped(Math.floor(bytes / MIB))} MiB`;
}

/** GiB with one decimal, rounded down. */
export function gib(bytes: number): string {
  return `${(Math.floor((bytes / GIB) * 10) / 10).toFixed(1)} GiB`;
}

/** Nanoseconds as milliseconds with two decimals, rounded down: what is below a limit never reads as equal to it. */
export function ms(nanoseconds: number): string {
  return `${(Math.floor(nanoseconds / 1e4) / 100).toFixed(2)} ms`;
}

/** 1234567 -> 1,234,567, whatever the locale. */
export function grouped(whole: number): string {
  return String(whole).replace(/\B(?=(\d{3})+$)/g, ',');
}
