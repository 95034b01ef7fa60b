import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BlobRef, EMPTY_DIRECTORY } from '../../shared/blob.ts';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import { chosenFile } from './chosen-file.ts';
import { hashFile } from './hash-file.ts';
import { MAX_TEXT, parseYaml } from './parse.ts';
import { BUILTIN, beside, COMPONENTS, componentFiles, lockFile, playbookFiles, roleFolders } from './paths.ts';
import { Problems } from './problems.ts';
import {
  hookScriptsOf,
  inventoryFileOf,
  overridePathsOf,
  playbookReferencesOf,
  type References,
  referencesOf,
  tableOf,
} from './references.ts';
import type { Sources } from './types.ts';

export interface LoadOptions {
  /** What the file at `planPath` is to be, for what is said when it cannot be read; default: a plan. */
  what?: string;
  /** The user's folders of playbooks and roles, searched before anything else. */
  playbookPath?: readonly string[];
  /** See {@link Sources}. */
  playbooks?: readonly string[];
  /** The folder of the built-in playbooks; default: the one beside this code. */
  builtins?: string;
}

const BUILTINS = fileURLToPath(new URL('../playbooks', import.meta.url));

/** Bytes of one template, and of a file of a role that is shipped as text: others are known by their digest alone. */
const MAX_ROLE_FILE = 1024 * 1024;
/** Templates of one role, or files of it or of one folder that is copied; and folders they are in. */
const MAX_ROLE_FILES = 10_000;
const MAX_FILES = 10_000;

/**
 * Reads a plan and every file it refers to, directly or through others. A file that is missing or unreadable is left
 * for {@link parsePlan} to report with the place that names it; only without the plan itself there is nothing to report on.
 * Errors: PLAN_NOT_FOUND, PLAN_UNREADABLE, PLAN_TOO_MANY_FILES.
 */
export async function loadSources(planPath: string, options: LoadOptions = {}): Promise<Sources> {
  const loader = new Loader(planPath, options.builtins ?? BUILTINS);
  const { playbookPath = [], what = 'plan file' } = options;
  const plan = await loader.text(planPath);
  if (plan === undefined) {
    const why = loader.refused[planPath];
    throw why === undefined
      ? new KkError({
          code: 'PLAN_NOT_FOUND',
          message: `There is no ${what} ${planPath}.`,
          remedy: `Give the path of a ${what}.`,
        })
      : new KkError({
          code: 'PLAN_UNREADABLE',
          message: `The ${what} ${planPath} cannot be read: ${why}.`,
          remedy: 'Give the path of a readable text file.',
        });
  }
  await loadInventory(loader, planPath, plan);

  for (const script of hookScriptsOf(plan)) await loader.text(beside(planPath, script), MAX_ROLE_FILE);

  const { playbooks } = options;
  for (const reference of playbooks ?? playbookReferencesOf(plan)) {
    if (typeof reference !== 'string') {
      await loadReferences(loader, planPath, referencesOf(reference), playbookPath);
      continue;
    }
    const file = await loader.first(playbookFiles(reference, planPath, playbookPath));
    if (file !== undefined) await loadReferences(loader, file, referencesOf(loader.texts[file] ?? ''), playbookPath);
  }
  // Whose place they take: do these make a cluster?
  for (const own of playbooks ? playbookReferencesOf(plan) : [])
    if (typeof own === 'string') await loader.first(playbookFiles(own, planPath, playbookPath));
  await loadComponents(loader, planPath, plan, playbookPath);
  const offered = await offeredIn([...playbookPath, loader.builtins]);
  const { texts, files, refused } = loader;
  return { plan: planPath, texts, files, playbookPath, refused, offered, ...(playbooks ? { playbooks } : {}) };
}

/** Where a file of {@link Sources} is on disk, for reading its bytes. */
export function diskPath(path: string, builtins = BUILTINS): string {
  return path.startsWith(BUILTIN) ? join(builtins, path.slice(BUILTIN.length)) : path;
}

/** The inventory's own file, if it has one, and the table of hosts. */
async function loadInventory(loader: Loader, planPath: string, plan: string): Promise<void> {
  const reference = inventoryFileOf(plan);
  const file = reference === undefined ? planPath : beside(planPath, reference);
  const table = tableOf((await loader.text(file)) ?? '');
  if (table !== undefined) await loader.text(beside(file, table));
}

/** What is known of components, if anything of the plan speaks of them, and files that stand in for them. */
async function loadComponents(
  loader: Loader,
  planPath: string,
  plan: string,
  playbookPath: readonly string[],
): Promise<void> {
  if (!Object.values(loader.texts).some((text) => /\bcomponents?\b/.test(text))) return;
  await loader.first(componentFiles(playbookPath));
  await loader.text(lockFile(planPath));
  for (const path of overridePathsOf(plan)) await loader.taken(beside(planPath, path));
}

/** A file, or all that are below a folder, by absolute path; as in {@link Sources}, with folders that are empty. What cannot be taken is left out. Throws PLAN_TOO_MANY_FILES. */
export async function hashTree(path: string): Promise<Record<string, BlobRef>> {
  const loader = new Loader('', BUILTINS);
  await loader.taken(path);
  return loader.files;
}

/** `playbook`: the one that `file` belongs to; roles are looked for from there. */
async function loadReferences(
  loader: Loader,
  file: string,
  references: References,
  playbookPath: readonly string[],
  playbook = file,
): Promise<void> {
  for (const src of references.files) {
    const path = isTemplate(src)
      ? chosenFile(src, parseYaml('', loader.texts[loader.plan] ?? '', new Problems()))?.path
      : src;
    if (path !== undefined) await loader.taken(beside(loader.plan, path));
  }
  for (const name of references.remedies) await loader.text(beside(file, name));
  for (const include of references.includes) await loadTasks(loader, beside(file, include), playbookPath, playbook);
  for (const role of [...references.roles, ...references.lenders]) {
    for (const folder of roleFolders(role, playbook, playbookPath)) {
      if (loader.isThere(`${folder}/tasks.yaml`)) break;
      await loadTasks(loader, `${folder}/tasks.yaml`, playbookPath, playbook);
      if (!loader.isThere(`${folder}/tasks.yaml`)) continue;
      await loader.text(`${folder}/defaults.yaml`);
      await loader.folder(`${folder}/templates`);
      await loader.shipped(`${folder}/files`);
      break;
    }
  }
}

/** A file of tasks and what it includes; one that was read already ends the walk, so a cycle does too. */
async function loadTasks(
  loader: Loader,
  file: string,
  playbookPath: readonly string[],
  playbook: string,
): Promise<void> {
  if (loader.isKnown(file)) return;
  const text = await loader.text(file);
  const references = text === undefined ? undefined : { ...referencesOf(text), roles: [] };
  if (references) await loadReferences(loader, file, references, playbookPath, playbook);
}

/** The playbooks and roles in some folders; a folder that is not there offers nothing. */
async function offeredIn(folders: readonly string[]): Promise<NonNullable<Sources['offered']>> {
  const playbooks = new Set<string>();
  const roles = new Set<string>();
  for (const folder of folders) {
    const paths = await readdir(folder, { recursive: true }).catch(() => []);
    for (const path of paths) {
      const [, playbook] = /^([^/]+)\.yaml$/.exec(path) ?? [];
      const [, role] = /^roles\/(.+)\/tasks\.yaml$/.exec(path) ?? [];
      if (playbook && path !== COMPONENTS) playbooks.add(playbook);
      if (role) roles.add(role);
    }
  }
  return { playbooks: [...playbooks].sort(), roles: [...roles].sort() };
}

/** Reads each file once and remembers what it could not read. */
class Loader {
  readonly texts: Record<string, string> = {};
  readonly files: Record<string, BlobRef> = {};
  readonly refused: Record<string, string> = {};
  readonly #absent = new Set<string>();
  readonly plan: string;
  readonly builtins: string;
  #count = 0;

  constructor(plan: string, builtins: string) {
    this.plan = plan;
    this.builtins = builtins;
  }

  isThere(path: string): boolean {
    return Object.hasOwn(this.texts, path) || Object.hasOwn(this.refused, path);
  }

  isKnown(path: string): boolean {
    return this.isThere(path) || this.#absent.has(path);
  }

  /** The first of the paths that is there. */
  async first(paths: readonly string[]): Promise<string | undefined> {
    for (const path of paths) {
      await this.text(path);
      if (this.isThere(path)) return path;
    }
    return undefined;
  }

  async text(path: string, limit = MAX_TEXT): Promise<string | undefined> {
    if (this.isKnown(path)) return this.texts[path];
    this.#one();
    await this.#reading(path, async () => {
      const text = await readText(diskPath(path, this.builtins), limit);
      if (typeof text === 'string') this.texts[path] = text;
      else this.refused[path] = text.refused;
    });
    return this.texts[path];
  }

  /** Every file below a folder as a text, if there is such a folder. Links to folders are not followed. */
  folder(path: string): Promise<void> {
    return this.#each(path, async (child) => void (await this.text(child, MAX_ROLE_FILE)));
  }

  /** The same by their digests, and small ones that are text as texts, too; and the folders in it that are empty. */
  shipped(path: string): Promise<void> {
    const take = async (child: string): Promise<void> => {
      const size = (await this.#file(child))?.size;
      if (size === undefined || size > MAX_ROLE_FILE || this.isKnown(child)) return;
      const text = await readText(diskPath(child, this.builtins), MAX_ROLE_FILE);
      if (typeof text === 'string') this.texts[child] = text;
    };
    // A role whose files/ is empty ships nothing.
    return this.#each(path, take, (folder) => (folder === path ? undefined : this.#empty(folder)));
  }

  /** A file, or all that are below a folder, by their digests, and the folders that are empty. */
  async taken(path: string): Promise<void> {
    const at = diskPath(path, this.builtins);
    const isFolder = await stat(at).then(
      (found) => found.isDirectory(),
      () => false,
    );
    const take = async (child: string): Promise<void> => void (await this.#file(child));
    if (isFolder) await this.#each(path, take, (folder) => this.#empty(folder));
    else await this.#file(path);
  }

  /** Reads one file more; what is wrong with it is kept for whoever names it. */
  async #reading(path: string, read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (thrown) {
      if (isSystemError(thrown, 'ENOENT') || isSystemError(thrown, 'ENOTDIR')) this.#absent.add(path);
      else if (thrown instanceof Error && 'code' in thrown) this.refused[path] = thrown.message;
      else throw thrown;
    }
  }

  #one(): void {
    this.#count += 1;
    if (this.#count <= MAX_FILES) return;
    const message = `The plan refers to more than ${MAX_FILES} files.`;
    throw new KkError({ code: 'PLAN_TOO_MANY_FILES', message, remedy: 'Split the plan.' });
  }

  async #file(path: string): Promise<BlobRef | undefined> {
    if (Object.hasOwn(this.files, path)) return this.files[path];
    this.#one();
    await this.#reading(path, async () => {
      const found = await hashFile(diskPath(path, this.builtins));
      if ('refused' in found) this.refused[path] = found.refused;
      else this.files[path] = found;
    });
    return this.files[path];
  }

  #empty(folder: string): void {
    this.files[`${folder.replace(/\/+$/, '')}/`] = EMPTY_DIRECTORY;
  }

  async #each(
    path: string,
    take: (child: string) => Promise<void>,
    isEmpty: (folder: string) => void = () => {},
  ): Promise<void> {
    const waiting = [path];
    let found = 0;
    for (let folder = waiting.shift(); folder !== undefined; folder = waiting.shift()) {
      const entries = await readdir(diskPath(folder, this.builtins), { withFileTypes: true }).catch(
        (thrown: unknown) => {
          if (isSystemError(thrown, 'ENOENT') || isSystemError(thrown, 'ENOTDIR')) return undefined;
          throw thrown;
        },
      );
      if (entries === undefined) continue;
      if (entries.length === 0) isEmpty(folder);
      for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
        const child = `${folder}/${entry.name}`;
        found += 1;
        if (found > MAX_ROLE_FILES) {
          this.refused[child] = `at most ${MAX_ROLE_FILES} files are taken from one folder`;
          return;
        }
        if (entry.isDirectory()) waiting.push(child);
        else await take(child);
      }
    }
  }
}

/** Never reads more than `limit` bytes, whatever the file claims or turns into. */
async function readText(path: string, limit: number): Promise<string | { refused: string }> {
  // asked before opening: to open a named pipe is to wait for its writer
  const found = await stat(path);
  const { size } = found;
  if (!found.isFile()) return { refused: found.isDirectory() ? 'it is a folder' : 'it is no regular file' };
  if (size > limit) return { refused: `it has more than ${limit} bytes` };
  const handle = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes.length) break;
    }
    if (length > size) return { refused: 'it grew while it was read' };
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length));
  } catch (thrown) {
    if (thrown instanceof TypeError) return { refused: 'it is not UTF-8 text' };
    throw thrown;
  } finally {
    await handle.close();
  }
}
