import type { Json } from '../../shared/share.ts';

/** The findings for one rule; `trouble` is why they are not complete, as `CODE: sentence`. */
export interface Gathered {
  facts: Json;
  trouble?: string;
}
