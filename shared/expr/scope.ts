import { isMap, ownEntry, ownKeys, type Value } from './value.ts';

/** Where an expression finds its variables. */
export interface Scope {
  /** The variable's value; undefined means not defined. */
  lookup(name: string): Value | undefined;
  /** All names, for "did you mean". */
  names?(): Iterable<string>;
  /** The register of another node, for `node(selector).register`; undefined means that it has none. */
  readNode?(selector: Value, register: string): Value | undefined;
  /** The value of a secret, for `secret('name')`; undefined means that it is not there. */
  secret?(name: string): Value | undefined;
}

/** A scope over the own entries of a plain record. */
export function scopeOf(record: { readonly [name: string]: Value | undefined }): Scope {
  const map = (isMap(record) ? record : {}) as { [key: string]: Value };
  return { lookup: (name) => ownEntry(map, name), names: () => ownKeys(map) };
}

/** Several scopes as one; the first that defines a name, or that can read other nodes or secrets, wins. */
export function chainScopes(...scopes: readonly Scope[]): Scope {
  const reader = scopes.find((scope) => scope.readNode !== undefined);
  const keeper = scopes.find((scope) => scope.secret !== undefined);
  const chained: Scope = {
    lookup(name) {
      for (const scope of scopes) {
        const found = scope.lookup(name);
        if (found !== undefined) return found;
      }
      return undefined;
    },
    *names() {
      for (const scope of scopes) yield* scope.names?.() ?? [];
    },
  };
  if (reader !== undefined) chained.readNode = (selector, register) => reader.readNode?.(selector, register);
  if (keeper !== undefined) chained.secret = (name) => keeper.secret?.(name);
  return chained;
}
