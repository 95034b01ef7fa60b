import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { KkError } from '../../../shared/errors.ts';
import { must, run } from '../commands.ts';
import type { Progress } from '../prepare.ts';
import { type Parts, type Places, readParts } from './parts.ts';

/** Where the archive with Kubernetes lies: what the environment says, else beside a clone of the project. */
const KUBERNETES_FOLDER =
  process.env['KK_LAB_KUBERNETES'] ?? join(import.meta.dirname, '..', '..', '..', '..', 'shared', 'kubernetes');
const PAUSE_SOURCE = join('by-hand', 'pause.c');
/** Composes images out of files of packages; lies beside the archive. */
const COMPOSER = 'rootimg.py';

/** Programs that the forge runs, with the Debian package that brings each. */
const NEEDS: Readonly<Record<string, string>> = {
  zstd: 'zstd',
  gcc: 'gcc',
  python3: 'python3-minimal',
  'dpkg-deb': 'dpkg',
};

/** The materials: unpacked Kubernetes, unpacked packages, packages for nodes (*.deb), and the program that composes images. */
export interface Materials {
  places: Places;
  nodePackages: string;
  composer: string;
}

/** Why there can be no Kubernetes here; undefined: there can. */
export function kubernetesMissing(parts = readParts(), folder = KUBERNETES_FOLDER): string | undefined {
  const missing = [parts.kubernetes.archive, PAUSE_SOURCE, COMPOSER].find((name) => !existsSync(join(folder, name)));
  return missing === undefined ? undefined : `there is no ${missing} in ${folder}`;
}

/**
 * The folder with Kubernetes for the lab.
 * @throws KkError LAB_NO_KUBERNETES when it lacks what is needed
 */
export function kubernetesFolder(parts: Parts, folder = KUBERNETES_FOLDER): string {
  const why = kubernetesMissing(parts, folder);
  if (why === undefined) return folder;
  throw new KkError({
    code: 'LAB_NO_KUBERNETES',
    message: `The lab has no Kubernetes: ${why}.`,
    remedy: `Name the folder that has ${parts.kubernetes.archive} with KK_LAB_KUBERNETES.`,
  });
}

/**
 * Collects everything the mirror is made of below `folder`: unpacks Kubernetes, downloads packages from the apt sources of
 * this machine, compiles the program of the pause image.
 * @param base root filesystem of the lab's nodes: what it has is not downloaded
 * @throws KkError LAB_COMMAND
 */
export async function collect(
  parts: Parts,
  input: { kubernetes: string; base: string; folder: string; progress: Progress },
): Promise<Materials> {
  const { kubernetes, base, folder, progress } = input;
  await installNeeds(progress);
  const at = (name: string): string => join(folder, name);
  const names = ['binaries', 'debs', 'made', 'packages', 'node-packages'];
  for (const name of names) await mkdir(at(name), { recursive: true });

  progress(`unpacking Kubernetes ${parts.kubernetes.version}`);
  const unpack = 'zstd -dc --long=27 "$1" | tar -x -C "$2" --strip-components=1 "$3"';
  const archive = join(kubernetes, parts.kubernetes.archive);
  await must(['bash', '-o', 'pipefail', '-c', unpack, 'unpack', archive, at('binaries'), parts.kubernetes.folder]);

  progress('downloading packages');
  await download(parts.packages, base, at('packages'));
  await download(parts.node_packages, base, at('node-packages'));
  for (const name of await debsIn(at('packages')))
    await must(['dpkg-deb', '-x', join(at('packages'), name), at('debs')]);

  await must(['gcc', '-Os', '-static', '-o', join(at('made'), 'pause'), join(kubernetes, PAUSE_SOURCE)]);
  const places = { binaries: at('binaries'), debs: at('debs'), made: at('made'), base, own: import.meta.dirname };
  return { places, nodePackages: at('node-packages'), composer: join(kubernetes, COMPOSER) };
}

/** File names of the packages in a folder. */
export async function debsIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.deb')).sort();
}

/** Downloads packages into `folder` with all that a machine like `base` would have to install with them. */
async function download(packages: readonly string[], base: string, folder: string): Promise<void> {
  await mkdir(join(folder, 'partial'), { recursive: true });
  const options = [`Dir::State::status=${base}/var/lib/dpkg/status`, `Dir::Cache::archives=${folder}`];
  const get = ['apt-get', '-qq', '-y', '-d', '--no-install-recommends', '-o', 'Debug::NoLocking=1'];
  const argv = [...get, ...options.flatMap((option) => ['-o', option]), 'install', ...packages];
  if ((await run(argv)).code === 0) return;
  await must(['apt-get', 'update', '-qq']); // the lists may be old or absent
  await must(argv);
}

async function installNeeds(progress: Progress): Promise<void> {
  const found = await Promise.all(Object.keys(NEEDS).map((name) => run(['sh', '-c', `command -v ${name}`])));
  const packages = Object.values(NEEDS).filter((_, index) => found[index]?.code !== 0);
  if (packages.length === 0) return;
  progress(`installing ${packages.join(' ')}`);
  const extra = packages.includes('gcc') ? ['libc6-dev'] : [];
  await must(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...packages, ...extra], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}
