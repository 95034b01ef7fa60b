import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type BuildOptions, build } from 'esbuild';

const run = promisify(execFile);
const AGENT = join(import.meta.dirname, '../agent');

/** The agent as two scripts: one starts at each command of a plan, the other is all the rest (agent/packaged-program.ts). */
export interface AgentBundles {
  main: Uint8Array;
  program: Uint8Array;
}

/** CommonJS (a single executable's main must be). Throws esbuild's own error when the agent does not bundle. */
export async function bundleAgent(entry: string): Promise<AgentBundles> {
  const [main, program] = await Promise.all([
    bundle({
      entryPoints: [entry],
      plugins: [
        {
          name: 'program as an asset',
          setup({ onResolve }) {
            onResolve({ filter: /^\.\/program\.ts$/ }, () => ({ path: join(AGENT, 'packaged-program.ts') }));
          },
        },
      ],
    }),
    bundle({
      entryPoints: [join(AGENT, 'program.ts')],
      banner: { js: `(function (require, module) {${EXECUTABLE}` },
      footer: { js: '})' },
    }),
  ]);
  return { main, program };
}

/**
 * `import.meta` has no meaning in a script; the one use a library may make of it, finding a `require`, gets the
 * executable's own path.
 */
const EXECUTABLE = "const __kkExecutable = require('node:url').pathToFileURL(process.execPath).href;";

async function bundle(options: BuildOptions): Promise<Uint8Array> {
  const { outputFiles } = await build({
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    // A script of an asset has no loader for `import()`; what it loads late is in it already.
    supported: { 'dynamic-import': false },
    minify: true,
    keepNames: true,
    legalComments: 'none',
    define: { 'import.meta.url': '__kkExecutable' },
    banner: { js: EXECUTABLE },
    logOverride: { 'empty-import-meta': 'error' },
    logLevel: 'error',
    ...options,
  });
  const [output] = outputFiles ?? [];
  if (output === undefined) throw new Error('esbuild made no output');
  return output.contents;
}

/** What V8 makes of a script before it runs it, for that Node with those flags. */
export async function writeCodeCache(input: {
  node: string;
  flags: readonly string[];
  script: string;
  cache: string;
}): Promise<void> {
  await run(input.node, [...input.flags, '-e', MAKE_CACHE, input.script, input.cache]);
}

const MAKE_CACHE = `
const [, script, cache] = process.argv;
const { readFileSync, writeFileSync } = require('node:fs');
const { Script } = require('node:vm');
writeFileSync(cache, new Script(readFileSync(script, 'utf8'), { filename: 'program.js' }).createCachedData());`;
