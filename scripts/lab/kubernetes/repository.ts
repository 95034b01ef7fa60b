import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from '../commands.ts';
import { debsIn } from './materials.ts';
import { sha256Of } from './releases.ts';

/** Where the repository of packages is on the mirror. */
export const REPOSITORY = 'debian';

/** Makes a flat apt repository of the packages in `folder` below `root`; it is not signed, so nodes must be told to trust it. */
export async function makeRepository(folder: string, root: string): Promise<void> {
  const repository = join(root, REPOSITORY);
  await mkdir(repository, { recursive: true });
  const entries = (await debsIn(folder)).map(async (name) => {
    // A percent sign would be unquoted once by whoever asks for it.
    const plain = name.replaceAll('%3a', '_');
    const path = join(repository, plain);
    await copyFile(join(folder, name), path);
    const control = (await must(['dpkg-deb', '-f', path])).trimEnd();
    const { size } = await stat(path);
    return `${control}\nFilename: ./${plain}\nSize: ${size}\nSHA256: ${await sha256Of(path)}\n`;
  });
  await writeFile(join(repository, 'Packages'), (await Promise.all(entries)).join('\n'));
}
