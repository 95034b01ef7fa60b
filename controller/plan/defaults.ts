import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { playbookFiles } from './paths.ts';
import { isClusterPlaybook, playbookReferencesOf } from './references.ts';
import type { Sources } from './types.ts';

/** The `defaults.yaml` of a role as it is written, its comments included. */
export interface RoleDefaults {
  role: string;
  /** The file as messages name it: built-in ones begin with `kk:`. */
  file: string;
  text: string;
}

const DEFAULTS = /^(?:.*\/)?roles\/(.+)\/defaults\.yaml$/;

/** Of the roles that a plan uses, in the order in which they are loaded. */
export function defaultsOf(sources: Sources): RoleDefaults[] {
  return Object.entries(sources.texts).flatMap(([file, text]) => {
    const role = DEFAULTS.exec(file.replace(/^kk:/, ''))?.[1];
    return role === undefined ? [] : [{ role, file, text }];
  });
}

/** Has a plan a playbook that says `config: cluster`? */
export function isOfCluster({ plan, texts, playbookPath = [] }: Sources): boolean {
  return playbookReferencesOf(texts[plan] ?? '').some((reference) => {
    if (typeof reference !== 'string') return isClusterPlaybook(reference);
    const file = playbookFiles(reference, plan, playbookPath).find((path) => texts[path] !== undefined);
    return file !== undefined && isClusterPlaybook(texts[file] ?? '');
  });
}

/** Of the built-in roles, by name. */
export async function builtinDefaults(): Promise<RoleDefaults[]> {
  const folder = fileURLToPath(new URL('../playbooks', import.meta.url));
  const files = (await readdir(folder, { recursive: true })).filter((file) => DEFAULTS.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  return defaultsOf({ plan: '', texts: Object.fromEntries(files.map((file, at) => [`kk:${file}`, texts[at] ?? ''])) });
}
