import type { Json, Vars } from './share.ts';

/** Merges variables, weakest first. Maps merge deeply; everything else, lists included, is replaced as a whole. */
export function mergeVars(...layers: readonly Vars[]): Vars {
  const merged: Vars = {};
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer)) {
      const weaker = Object.hasOwn(merged, name) ? merged[name] : undefined;
      Object.defineProperty(merged, name, {
        value: isMap(weaker) && isMap(value) ? mergeVars(weaker, value) : value,
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
  }
  return merged;
}

function isMap(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
