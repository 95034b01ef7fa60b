const UNITS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of a duration as a person writes it: a number of seconds, or `500ms`, `30s`, `10m`, `1h`, `1d`. */
export function seconds(duration: number | string): number {
  if (typeof duration === 'number') return duration;
  const [, amount = '0', unit = 's'] = /^([\d.]+)([a-z]+)$/.exec(duration) ?? [];
  return Number(amount) * (UNITS[unit] ?? 1);
}
