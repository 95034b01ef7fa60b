/**
 * Packages the controller for its command line: what a client needs as a few files in place of 150, so that a command starts in a third
 * of the CPU time. `npm run package-controller`; controller/bin/kk-controller uses it as long as no source is newer.
 *
 * Each package is a folder of its own, `current` a link to the newest: commands that still run on the one before find what they load
 * late. Data and scripts stay where they are, and so do the packages that only the serving controller needs.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { build, type OutputFile, type Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');
const ENTRIES = ['controller/main.ts', 'controller/store/worker.ts'];
/** Loaded from node_modules: only `serve` needs them, and protobufjs looks for what it can use itself. */
const SERVING = ['fastify', '@fastify/*', 'pino', 'ws', '@peculiar/x509', 'reflect-metadata', 'protobufjs'];
const CURRENT = 'current';
const MAIN = 'main.js';

/** Makes the package below `folder`, as its `current`; gives the folder of the package. Throws esbuild's own errors. */
export async function packageController(folder = join(ROOT, 'dist/controller')): Promise<string> {
  const begun = new Date();
  const files = await bundleController(join(folder, 'package'));
  const digest = createHash('sha256');
  for (const { path, hash } of files) digest.update(`${basename(path)} ${hash}\n`);
  const name = digest.digest('hex').slice(0, 16);
  await mkdir(folder, { recursive: true });
  const before = await readlink(join(folder, CURRENT)).catch(() => name);
  await write(join(folder, name), files);
  // What is edited while we package is newer than the package.
  await utimes(join(folder, name, MAIN), begun, begun);
  const link = join(folder, `${CURRENT}.${process.pid}`);
  await symlink(name, link);
  await rename(link, join(folder, CURRENT));
  const kept = [CURRENT, name, before];
  const old = (await readdir(folder)).filter((entry) => !kept.includes(entry));
  await Promise.all(old.map((entry) => rm(join(folder, entry), { recursive: true, force: true })));
  return join(folder, name);
}

async function bundleController(outdir: string): Promise<OutputFile[]> {
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: ENTRIES,
    entryNames: '[name]',
    outdir,
    bundle: true,
    splitting: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    external: SERVING,
    plugins: [placesOfSources(outdir)],
    banner: { js: REQUIRE },
    logLevel: 'error',
  });
  return outputFiles;
}

/** Packages in CommonJS call it. */
const REQUIRE = "import { createRequire as kkRequire } from 'node:module'; const require = kkRequire(import.meta.url);";

/** What a source finds by its own place (data, scripts) is found from the package, too; a worker is a file of the package. */
function placesOfSources(outdir: string): Plugin {
  return {
    name: 'places of sources',
    setup({ onLoad }) {
      onLoad({ filter: /\/(controller|shared)\/.*\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8');
        if (!text.includes('import.meta')) return undefined;
        const place = `new URL(${JSON.stringify(relative(outdir, path))}, import.meta.url)`;
        const contents = text
          .replaceAll('import.meta.dirname', "decodeURIComponent(new URL('.', import.meta.url).pathname)")
          .replaceAll(/import\.meta\.url/g, `${place}.href`)
          .replaceAll(/new URL\('\.\/(\w+)\.ts', new URL\([^)]*\)\.href\)/g, "new URL('./$1.js', import.meta.url)");
        return { contents, loader: 'ts' };
      });
    },
  };
}

async function write(folder: string, files: readonly OutputFile[]): Promise<void> {
  const draft = `${folder}.${process.pid}`;
  await mkdir(draft);
  await Promise.all(files.map(({ path, contents }) => writeFile(join(draft, basename(path)), contents)));
  // There already, with the same content: it may be in use.
  await rename(draft, folder).catch(() => rm(draft, { recursive: true }));
}

if (import.meta.main) console.log(await packageController());
