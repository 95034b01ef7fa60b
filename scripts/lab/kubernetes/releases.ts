import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { must } from '../commands.ts';
import { type ArchivePart, type ChecksumPart, type FilePart, located, type Parts, type Places } from './parts.ts';

/** Puts the releases of parts.yaml below `root`, which is what an HTTP server then serves, with their checksum files. */
export async function makeReleases(parts: Parts, places: Places, root: string): Promise<void> {
  for (const file of parts.files) await placeFile(file, places, root);
  for (const archive of parts.archives) await packArchive(archive, places, root);
}

/** The sha256 of a file, in hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

async function placeFile(part: FilePart, places: Places, root: string): Promise<void> {
  const path = join(root, part.path);
  await mkdir(dirname(path), { recursive: true });
  await copyFile(located(part.from, places), path);
  await writeChecksum(path, part.checksum, root);
}

async function packArchive(part: ArchivePart, places: Places, root: string): Promise<void> {
  const path = join(root, part.path);
  const stage = `${path}.members`;
  for (const [member, from] of Object.entries(part.members)) {
    const file = join(stage, member);
    await mkdir(dirname(file), { recursive: true });
    await copyFile(located(from, places), file);
    await chmod(file, 0o755);
  }
  // Always the same bytes of the same members, so that what was pinned by its digest stays right.
  const same = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];
  const members = Object.keys(part.members);
  await must(['tar', '-C', stage, ...same, '--use-compress-program=gzip -n -1', '-cf', path, ...members]);
  await rm(stage, { recursive: true });
  await writeChecksum(path, part.checksum, root);
}

async function writeChecksum(path: string, checksum: ChecksumPart, root: string): Promise<void> {
  const digest = await sha256Of(path);
  const text = checksum.form === 'bare' ? digest : `${digest}  ${basename(path)}\n`;
  await writeFile(join(root, checksum.path), text);
}
