import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { labPrepare } from '../api.ts';
import type { LabPlace } from '../names.ts';
import { labOf } from '../names.ts';
import type { Progress } from '../prepare.ts';
import { makeImages } from './images.ts';
import { collect, kubernetesFolder } from './materials.ts';
import { readParts } from './parts.ts';
import { makeReleases } from './releases.ts';
import { makeRepository } from './repository.ts';

/** What the forge is asked for. */
export interface ForgeInput {
  /** Whose base and cache folder are used. */
  place: LabPlace;
  /** Folder with the archive of Kubernetes; by default `shared/kubernetes` beside the clone. */
  kubernetes?: string;
  onProgress?: Progress;
}

/**
 * The folder that the mirror serves: releases under `<host>/<path>` of their projects' servers, images under `v2/`, packages
 * under `debian/`. Made once (about half a minute) and kept beside the lab's base, until what it is made from changes.
 * @throws KkError LAB_NO_KUBERNETES, LAB_COMMAND
 */
export async function forge({ place, kubernetes, onProgress = () => {} }: ForgeInput): Promise<string> {
  const parts = readParts();
  const source = kubernetesFolder(parts, kubernetes);
  const base = await labPrepare(place, undefined, onProgress);
  const cache = join(labOf(place).cacheDir, 'kubernetes');
  const archive = await stat(join(source, parts.kubernetes.archive));
  const name = await recipe([basename(base), `${archive.size} ${archive.mtimeMs}`]);
  const done = join(cache, name);
  if (existsSync(done)) return done;

  const part = `${done}.${process.pid}.part`;
  await mkdir(part, { recursive: true });
  const folder = join(part, 'materials');
  const root = join(part, 'root');
  const materials = await collect(parts, { kubernetes: source, base, folder, progress: onProgress });
  onProgress('packing releases and images');
  await makeReleases(parts, materials.places, root);
  await makeImages(parts, materials, root);
  await makeRepository(materials.nodePackages, root);
  await rename(root, done);
  await rm(part, { recursive: true });
  return done;
}

/** A name for the mirror that changes with everything it is made from: this folder's files, the base, the archive. */
async function recipe(more: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(more.join('\n'));
  const MAKERS = ['crictl', 'parts.yaml', 'images.ts', 'materials.ts', 'releases.ts', 'repository.ts'];
  const files = (await readdir(import.meta.dirname)).filter((file) => MAKERS.includes(file)).sort();
  for (const file of files) hash.update(await readFile(join(import.meta.dirname, file)));
  return `mirror-${hash.digest('hex').slice(0, 8)}`;
}
