import { type Image, TEXT_LIMIT } from '../../undo/image.ts';
import type { Hands } from '../../undo/resource.ts';

const asBytes = (facet: string): string => `${facet}_bytes`;

/** A facet that may be of any length: what is too long for an image is kept as bytes. */
export async function textFacet(facet: string, text: string, { keep }: Hands): Promise<Record<string, string>> {
  return text.length <= TEXT_LIMIT ? { [facet]: text } : { [asBytes(facet)]: await keep(Buffer.from(text)) };
}

/** The text of such a facet. Throws KkError UNDO_DAMAGED. */
export async function textOfFacet(facet: string, image: Image, { content }: Hands): Promise<string> {
  const digest = image[asBytes(facet)];
  return digest === undefined ? String(image[facet] ?? '') : (await content(String(digest))).toString('utf8');
}
