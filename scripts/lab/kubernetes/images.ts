import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from '../commands.ts';
import type { Materials } from './materials.ts';
import { type ImagePart, located, type Parts } from './parts.ts';
import { sha256Of } from './releases.ts';

/** Media types of what {@link makeImages} writes; a registry must name that of a manifest when it answers. */
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
/** Not compressed: the mirror is on the same machine, where unpacking would cost more than carrying. */
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';

/**
 * Composes the images of parts.yaml and lays them out below `root` under the paths of the registry API, so that serving
 * files is being a registry: v2/<name>/manifests/<tag | digest> and v2/<name>/blobs/<digest>.
 * @throws KkError LAB_COMMAND when a file or a library that an image needs is not to be found
 */
export async function makeImages(parts: Parts, materials: Materials, root: string): Promise<void> {
  for (const image of parts.images) await makeImage(image, materials, root);
}

async function makeImage(image: ImagePart, { places, composer }: Materials, root: string): Promise<void> {
  const [name = '', tag = ''] = image.name.split(':');
  const folder = join(root, 'v2', name);
  const blobs = join(folder, 'blobs');
  const work = join(folder, 'work');
  await mkdir(work, { recursive: true });
  await mkdir(blobs, { recursive: true });
  await mkdir(join(folder, 'manifests'), { recursive: true });

  const archive = join(work, 'image.tar');
  const entry = image.entry === undefined ? [] : ['--entry', JSON.stringify(image.entry)];
  const added = Object.entries(image.add ?? {}).map(([path, from]) => `${located(from, places)}=${path}`);
  const roots = [places.debs, places.base].join(',');
  await must(['python3', composer, archive, image.name, ...entry, roots, ...(image.files ?? []), ...added]);
  await must(['tar', '-x', '-C', work, '-f', archive]);

  const [{ Config: config, Layers: layers }] = JSON.parse(await readFile(join(work, 'manifest.json'), 'utf8'));
  const place = async (file: string, mediaType: string) => {
    const bytes = await readFile(join(work, file));
    const digest = `sha256:${await sha256Of(join(work, file))}`;
    await rename(join(work, file), join(blobs, digest));
    return { mediaType, digest, size: bytes.length };
  };
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: await place(config, CONFIG_TYPE),
    layers: await Promise.all(layers.map((layer: string) => place(layer, LAYER_TYPE))),
  });
  const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
  for (const reference of [tag, digest]) await writeFile(join(folder, 'manifests', reference), manifest);
  await rm(work, { recursive: true });
}
