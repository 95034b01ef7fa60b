import { z } from 'zod';

export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a sha256 is 64 hexadecimal digits, in lower case');

/** A file of the plan as the graph names it: its bytes are with the controller, by their digest (ENGINE 4.9). */
export const BlobRef = z.strictObject({
  sha256: Sha256,
  /** Bytes; absent of a component, which a step of the run fetches first (`blob.fetch`). */
  size: z.number().int().min(0).optional(),
  /** Its owner may run it where it comes from: a copy without a stated mode is 0755 instead of 0644. */
  executable: z.literal(true).optional(),
});
export type BlobRef = z.infer<typeof BlobRef>;

/** What a table of blobs has for a directory with nothing in it, under its name with a `/` at its end: no bytes, never brought. */
export const EMPTY_DIRECTORY: BlobRef = {
  sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  size: 0,
};

/** Does a name of a table of blobs stand for a directory with nothing in it? */
export function isEmptyDirectory(name: string): boolean {
  return name.endsWith('/');
}

/** What a table of blobs calls the file of a component for nodes of one architecture. */
export function componentBlob(component: string, architecture: string): string {
  return `${component}@${architecture}`;
}

/**
 * What `src` names, spelled one way: `conf/app.conf` is a file of the role, `./app.tar` and `../app.tar` are relative to the
 * plan, `/srv/app.tar` is as it stands. A table of blobs has these names as its keys, and of a directory one for each file in it
 * and for each directory in it that has nothing in it.
 */
export function blobName(src: string): string {
  const start = src.startsWith('/') ? '/' : isBesidePlan(src) ? './' : '';
  const parts: string[] = [];
  for (const part of src.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else parts.push(part);
  }
  const path = parts.join('/');
  return start === './' && path.startsWith('..') ? path : `${start}${path}`;
}

/** Relative to the plan, or absolute; not a file of a role. */
export function isBesidePlan(src: string): boolean {
  return /^\.{0,2}\//.test(src) || src === '.' || src === '..';
}

/** What of a table belongs to `src`: one file, or all of a directory by their paths in it; undefined: nothing does. */
export function blobsOf<B>(
  table: Readonly<Record<string, B>>,
  src: string,
): { file: B } | { directory: Record<string, B> } | undefined {
  const name = blobName(src);
  const file = Object.hasOwn(table, name) ? table[name] : undefined;
  if (file !== undefined) return { file };
  const below = name === '' || name.endsWith('/') ? name : `${name}/`;
  const directory = Object.fromEntries(
    Object.entries(table).flatMap(([path, blob]) =>
      path.startsWith(below) && path !== below ? [[path.slice(below.length), blob] as const] : [],
    ),
  );
  return Object.keys(directory).length === 0 && !Object.hasOwn(table, below) ? undefined : { directory };
}
