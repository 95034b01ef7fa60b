/**
 * Packages the agent as one executable file (Node's "single executable application"): the bundles of agent/main.ts, the
 * systemd units and the native part of node-pty, inside a stripped Node binary. `npm run package-agent [-- --arch x64]`.
 *
 * Measured for linux-x64: 111 MB, 43 MB as gzip. Of the gzip levels 4 is the bend: level 1 is 3 MB more and saves 1 s,
 * level 6 is 1 MB less and costs 3 s.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs, promisify } from 'node:util';
import { createGzip } from 'node:zlib';
import {
  type AgentManifest,
  ARCHITECTURES,
  type Architecture,
  agentManifestSchema,
} from '../controller/bootstrap/agent-package.ts';
import { KkError } from '../shared/errors.ts';
import { type AgentBundles, bundleAgent, writeCodeCache } from './bundle-agent.ts';

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const ROOT = dirname(import.meta.dirname);
/** By which Node finds the blob in its own file; the same for every Node that can do this. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
const GZIP_LEVEL = 4;
/** Part of the inputs' digest: raise it when this file packages differently. */
const RECIPE = 5;
/**
 * An agent idles most of its life: a small nursery costs it nothing and saves 5 MB. Collected by the thread that works: what
 * passes through an agent while it unpacks makes V8 collect its small heap thirty times by helper threads, a third of all CPU.
 */
const RUNTIME_FLAGS = ['--max-semi-space-size=1', '--single-threaded-gc'];
/** The units that `kk-agent install` writes, carried inside the executable as assets. */
const UNITS = ['kk-agent.service', 'kk-agent-renew.service', 'kk-agent-renew.timer', 'kk-agent-upgrade.service'];
/** The native part of node-pty for that architecture: prebuilt, and content with glibc 2.28 as Node is. */
const ptyOf = (arch: Architecture): string =>
  join(ROOT, 'node_modules/node-pty/prebuilds', `linux-${arch}`, 'pty.node');
/** Strips foreign binaries, too; Debian names the cross variants so. */
const STRIP: Record<Architecture, string> = { x64: 'x86_64-linux-gnu-strip', arm64: 'aarch64-linux-gnu-strip' };

/** What to package and where; every default is the project's own agent. */
export interface PackageInput {
  arch?: Architecture;
  /** Default agent/main.ts. */
  entry?: string;
  /** Default dist/agent/linux-<arch>. */
  folder?: string;
  /** Hears what takes time. */
  onProgress?: (line: string) => void;
}

/**
 * Makes `kk-agent`, `kk-agent.gz` and `manifest.json`, or finds that they were made from the same inputs before.
 * Throws KkError NODE_BINARY_MISSING, and esbuild's own error when the agent does not bundle.
 */
export async function packageAgent(input: PackageInput = {}): Promise<AgentManifest> {
  const arch = input.arch ?? 'x64';
  const folder = input.folder ?? join(ROOT, 'dist', 'agent', `linux-${arch}`);
  const say = input.onProgress ?? (() => {});
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  const node = await nodeBinary(arch);
  const bundles = await bundleAgent(input.entry ?? join(ROOT, 'agent', 'main.ts'));
  const strip = await stripFor(arch);
  const units = await Promise.all(UNITS.map((name) => readFile(join(ROOT, 'systemd', name), 'utf8')));
  const pty = await readFile(ptyOf(arch));
  const inputs = digestOf([
    RECIPE,
    GZIP_LEVEL,
    RUNTIME_FLAGS.join(' '),
    node.version,
    basename(strip ?? ''),
    version,
    bundles.main,
    bundles.program,
    pty,
    ...units,
  ]);
  const known = await recorded(folder);
  if (known?.inputs === inputs) return known;

  const work = await workFolder(folder);
  const binary = join(work, 'kk-agent');
  if (strip === undefined) say(`not stripped, so 17 to 20 MB bigger: there is no ${STRIP[arch]} here (binutils)`);
  say('bundling into Node');
  await inject({ arch, work, binary, bundles, node: node.path, strip, canCache: arch === process.arch });
  say('compressing');
  await pipeline(createReadStream(binary), createGzip({ level: GZIP_LEVEL }), createWriteStream(`${binary}.gz`));
  const manifest: AgentManifest = {
    version,
    arch,
    binary: await fileDigest(binary),
    gz: await fileDigest(`${binary}.gz`),
    inputs,
  };
  await writeFile(join(work, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await rm(folder, { recursive: true, force: true });
  await rename(work, folder).catch(async (error: unknown) => {
    // Somebody else packaged at the same time and was faster.
    await rm(work, { recursive: true, force: true });
    if ((await recorded(folder))?.inputs !== inputs) throw error;
  });
  return (await recorded(folder)) ?? manifest;
}

/** A folder of this process beside `folder`; those of processes that ended before they were done are removed. */
async function workFolder(folder: string): Promise<string> {
  const prefix = `${basename(folder)}.making-`;
  await mkdir(dirname(folder), { recursive: true });
  for (const name of await readdir(dirname(folder))) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (pid === `${process.pid}` || (pid !== '' && !isAlive(Number(pid)))) {
      await rm(join(dirname(folder), name), { recursive: true, force: true });
    }
  }
  const work = join(dirname(folder), `${prefix}${process.pid}`);
  await mkdir(work);
  return work;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The Node that goes into the agent: the package of that architecture, so that it can be made on either. */
async function nodeBinary(arch: Architecture): Promise<{ path: string; version: string }> {
  const folder = join(ROOT, 'node_modules', `node-linux-${arch}`);
  const path = join(folder, 'bin', 'node');
  if (existsSync(path)) {
    return { path, version: JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')).version };
  }
  throw new KkError({
    code: 'NODE_BINARY_MISSING',
    message: `There is no Node binary for linux-${arch} in node_modules.`,
    remedy: `Run \`npm install --no-save --force node-linux-${arch}@${process.versions.node}\` and package again.`,
  });
}

async function inject(input: {
  arch: Architecture;
  work: string;
  binary: string;
  bundles: AgentBundles;
  node: string;
  strip: string | undefined;
  /** Compiled code goes along (0.4 MB): the agent then starts in 60 ms of CPU and not 160. */
  canCache: boolean;
}): Promise<void> {
  const { work, binary } = input;
  const main = join(work, 'main.js');
  const blob = join(work, 'agent.blob');
  const config = join(work, 'sea.json');
  const program = join(work, 'program.js');
  const cache = join(work, 'program.cache');
  await writeFile(main, input.bundles.main);
  await writeFile(program, input.bundles.program);
  if (input.canCache) await writeCodeCache({ node: input.node, flags: RUNTIME_FLAGS, script: program, cache });
  const assets = Object.fromEntries([
    ...UNITS.map((name) => [name, join(ROOT, 'systemd', name)]),
    ['pty.node', ptyOf(input.arch)],
    ['program.js', program],
    ...(input.canCache ? [['program.cache', cache]] : []),
  ]);
  const settings = {
    ...{ main, output: blob, assets, execArgv: RUNTIME_FLAGS, disableExperimentalSEAWarning: true },
    useCodeCache: input.canCache,
  };
  await writeFile(config, JSON.stringify(settings));
  await run(process.execPath, ['--experimental-sea-config', config]);
  await copyFile(input.node, binary);
  await chmod(binary, 0o755);
  if (input.strip !== undefined) await run(input.strip, [binary]);
  await run(process.execPath, [
    require.resolve('postject/dist/cli.js'),
    binary,
    'NODE_SEA_BLOB',
    blob,
    '--sentinel-fuse',
    FUSE,
  ]);
  await Promise.all([main, blob, config, program, cache].map((path) => rm(path, { force: true })));
}

/** A strip for that architecture; without one the agent is 17 MB bigger and otherwise the same. */
async function stripFor(arch: Architecture): Promise<string | undefined> {
  const names = arch === process.arch ? ['strip', STRIP[arch]] : [STRIP[arch]];
  for (const name of names) {
    const there = await run(name, ['--version']).then(
      () => true,
      () => false,
    );
    if (there) return name;
  }
  return undefined;
}

async function recorded(folder: string): Promise<AgentManifest | undefined> {
  const files = await readdir(folder).catch((): string[] => []);
  if (!['kk-agent', 'kk-agent.gz', 'manifest.json'].every((name) => files.includes(name))) return undefined;
  const text = await readFile(join(folder, 'manifest.json'), 'utf8');
  return agentManifestSchema.safeParse(JSON.parse(text)).data;
}

function digestOf(parts: readonly (string | number | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = part instanceof Uint8Array ? part : Buffer.from(String(part));
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex');
}

async function fileDigest(path: string): Promise<{ sha256: string; size: number }> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { sha256: hash.digest('hex'), size: (await stat(path)).size };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { arch: { type: 'string', default: 'x64' } } });
  const arch = ARCHITECTURES.find((known) => known === values.arch);
  if (arch === undefined) throw new Error(`--arch is one of ${ARCHITECTURES.join(', ')}`);
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  const { version, binary, gz } = await packageAgent({ arch, onProgress: (line) => console.log(line) });
  console.log(`kk-agent ${version} for linux-${arch}: ${megabytes(binary.size)}, as gzip ${megabytes(gz.size)}`);
  console.log(`sha256 ${gz.sha256}`);
}
