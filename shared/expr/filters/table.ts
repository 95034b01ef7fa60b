import type { Filter } from '../callable.ts';
import { encodeFilters } from './encode.ts';
import { generalFilters } from './general.ts';
import { listFilters } from './list.ts';
import { netFilters } from './net.ts';
import { textFilters } from './text.ts';

/** Every filter by name, each with its documentation in `about`. */
export const filters: ReadonlyMap<string, Filter> = new Map(
  Object.entries({ ...generalFilters, ...textFilters, ...listFilters, ...encodeFilters, ...netFilters }).concat([
    ['count', listFilters.length as Filter],
  ]),
);
