/**
 * Packages the controller for its command line: what a client needs as a few files in place of 150, or as one, so that a command
 * starts in a quarter of the CPU time. `npm run package-controller`; controller/bin/kk-controller uses it as long as no source is newer.
 *
 * Each package is a folder of its own, `current` a link to the newest: commands that still run on the one before find what they load
 * late. Data and scripts stay where they are, and so do the packages that only the serving controller needs.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { type BuildOptions, build, type OutputFile, type Plugin } from 'esbuild';
import { OFTEN } from '../controller/often.ts';

const ROOT = join(import.meta.dirname, '..');
/** Loaded from node_modules: only `serve` needs them, and protobufjs looks for what it can use itself. */
const SERVING = ['fastify', '@fastify/*', 'pino', 'ws', '@peculiar/x509', 'reflect-metadata', 'protobufjs'];
const CURRENT = 'current';
const MAIN = 'main.js';
/** Stands for the digest of the package in its files. */
const NOT_YET = 'kk-build-unknown';

/** Makes the package below `folder`, as its `current`; gives the folder of the package. Throws esbuild's own errors. */
export async function packageController(folder = join(ROOT, 'dist/controller')): Promise<string> {
  const begun = new Date();
  const bundle = await bundleController(join(folder, 'package'));
  const digest = createHash('sha256');
  for (const { path, hash } of bundle) digest.update(`${basename(path)} ${hash}\n`);
  const name = digest.digest('hex').slice(0, NOT_YET.length);
  const files = bundle.map(({ path, text }) => ({ path, text: text.replaceAll(NOT_YET, name) }));
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
  const parts: BuildOptions[] = [
    { entryPoints: { main: 'controller/packaged-main.ts' }, plugins: [elsewhere((path) => path === './client.ts')] },
    { entryPoints: { client: 'controller/client.ts', worker: 'controller/store/worker.ts' }, splitting: true },
    ...OFTEN.map(
      (name): BuildOptions => ({
        entryPoints: { [`command-${name}`]: 'controller/client.ts' },
        plugins: [elsewhere((path) => OTHERS.test(path) && path !== `./commands/${name}.ts`)],
        // Imported by name, each module of Node's would load all that it can do.
        format: 'cjs',
        outExtension: { '.js': '.cjs' },
        supported: { 'dynamic-import': false },
        define: { 'import.meta.url': 'kkHere' },
        banner: { js: HERE },
      }),
    ),
  ];
  const built = await Promise.all(parts.map((part) => bundle(outdir, part)));
  return built.flat();
}

/** What a command that has a file of its own never comes to: the other commands, and the serving controller. */
const OTHERS = /^\.\/(commands\/.*|compose|compose\/upkeep)\.ts$/;

/** It stays where it is: in the many files that all commands share. */
function elsewhere(isIt: (path: string) => boolean): Plugin {
  return {
    name: 'elsewhere',
    setup({ onResolve }) {
      onResolve({ filter: /^\.\// }, ({ path }) => (isIt(path) ? { path: './client.js', external: true } : undefined));
    },
  };
}

async function bundle(outdir: string, { plugins = [], ...part }: BuildOptions): Promise<OutputFile[]> {
  const { outputFiles = [] } = await build({
    absWorkingDir: ROOT,
    entryNames: '[name]',
    outdir,
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    external: SERVING,
    plugins: [...plugins, ownSources(outdir)],
    banner: { js: REQUIRE },
    logLevel: 'error',
    ...part,
  });
  return outputFiles;
}

/** What `import.meta.url` is elsewhere. */
const HERE = "const kkHere = require('node:url').pathToFileURL(__filename).href;";

/** Packages in CommonJS call it. */
const REQUIRE = "import { createRequire as kkRequire } from 'node:module'; const require = kkRequire(import.meta.url);";

/**
 * What a source finds by its own place (data, scripts) is found from the package, too; a worker is a file of the package. Of zod
 * comes along what is used: by its name `z` it would be all of it, in every language.
 */
function ownSources(outdir: string): Plugin {
  return {
    name: 'own sources',
    setup({ onLoad }) {
      onLoad({ filter: /\/(controller|shared)\/.*\.ts$/ }, async ({ path }) => {
        // At home in the package.
        if (basename(path) === 'packaged-main.ts') return undefined;
        const text = await readFile(path, 'utf8');
        const place = `new URL(${JSON.stringify(relative(outdir, path))}, import.meta.url)`;
        const contents = text
          .replace("import { z } from 'zod'", "import * as z from 'zod'")
          .replace("BUILD: string = ''", `BUILD: string = '${NOT_YET}'`)
          .replaceAll('import.meta.dirname', "decodeURIComponent(new URL('.', import.meta.url).pathname)")
          .replaceAll(/import\.meta\.url/g, `${place}.href`)
          .replaceAll(/new URL\('\.\/(\w+)\.ts', new URL\([^)]*\)\.href\)/g, "new URL('./$1.js', import.meta.url)");
        return { contents, loader: 'ts' };
      });
    },
  };
}

async function write(folder: string, files: readonly { path: string; text: string }[]): Promise<void> {
  const draft = `${folder}.${process.pid}`;
  await mkdir(draft);
  await Promise.all(files.map(({ path, text }) => writeFile(join(draft, basename(path)), text)));
  // There already, with the same content: it may be in use.
  await rename(draft, folder).catch(() => rm(draft, { recursive: true }));
}

if (import.meta.main) console.log(await packageController());
