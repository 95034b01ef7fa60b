import { z } from 'zod';

/** Characters of one facet; longer text is kept as bytes and named by its digest. */
export const TEXT_LIMIT = 4200;

/** Something on the node that an action changes and that can be brought back: a file by its path, a unit by its name. */
export const Resource = z.strictObject({ kind: z.string().max(50), id: z.string().min(1).max(4200) });
export type Resource = z.infer<typeof Resource>;

/**
 * How a resource is, in facets that are compared one by one: `{state: 'file', content: <sha256>, mode: 420, uid: 0, gid: 0}`.
 * `absent`: it is not there. `lost`: how it was could not be kept; `why` says so. Bytes are named by their digest.
 */
export const Image = z
  .record(z.string().max(250), z.union([z.string().max(TEXT_LIMIT), z.number(), z.boolean()]))
  .and(z.object({ state: z.string().max(50) }));
export type Image = { state: string; [facet: string]: string | number | boolean };

export const ABSENT: Image = { state: 'absent' };

export function lost(why: string): Image {
  return { state: 'lost', why: why.slice(0, TEXT_LIMIT) };
}

/** What does not would be taken for damage when it is read again. */
export function fits(image: Image): boolean {
  return Image.safeParse(image).success;
}

/** One change that a step was about to make to a resource. */
export const Change = z.strictObject({
  run: z.string().min(1).max(200),
  /** The task's key. */
  task: z.string().min(1).max(1000),
  item: z.int().min(0),
  /** Rises through everything that is remembered on this node. */
  sequence: z.int().min(1),
  atMs: z.number(),
  before: Image,
  /** What is about to be left, computed before the change; a facet that cannot be foretold is not in it. */
  after: Image,
});
export type Change = {
  run: string;
  task: string;
  item: number;
  sequence: number;
  atMs: number;
  before: Image;
  after: Image;
};
