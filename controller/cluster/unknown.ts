/** A setting was asked for that nobody knows: what is stated is not of its kind. */
class UnknownSetting extends Error {}

/** Keys from the outermost on. */
export type Path = readonly string[];

/** The same settings, of which those at `unknown` cannot be read: what needs them is not judged. */
export function withUnknown<T extends object>(settings: T, unknown: readonly Path[]): T {
  if (unknown.length === 0) return settings;
  return new Proxy(settings, {
    get(target, key, receiver) {
      const below = unknown.filter(([first]) => first === undefined || first === key).map((path) => path.slice(1));
      if (below.some((path) => path.length === 0)) throw new UnknownSetting(String(key));
      const value: unknown = Reflect.get(target, key, receiver);
      return typeof value === 'object' && value !== null ? withUnknown(value, below) : value;
    },
  });
}

/** What the rules find; one that asks for what is not known finds nothing. */
export function judgedBy<T>(rules: readonly (() => T[])[]): T[] {
  return rules.flatMap((rule) => {
    try {
      return rule();
    } catch (thrown) {
      if (thrown instanceof UnknownSetting) return [];
      throw thrown;
    }
  });
}

/** Throws for who asks for what is not known. */
export function known<T>(value: T | undefined): T {
  if (value === undefined) throw new UnknownSetting();
  return value;
}
