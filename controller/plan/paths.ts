import { posix } from 'node:path';

/**
 * Where the parts of a plan are looked for. One home for these rules: the loader reads at these paths, validation looks
 * the texts up under them. Built-in files go by `kk:`, wherever kk is installed, so that messages and digests are the
 * same on every machine.
 */
export const BUILTIN = 'kk:';

/** A path written in `file`, as seen from where `file` itself is. */
export function beside(file: string, path: string): string {
  if (file.startsWith(BUILTIN)) return BUILTIN + posix.join(posix.dirname(file.slice(BUILTIN.length)), path);
  return posix.isAbsolute(path) ? posix.normalize(path) : posix.join(posix.dirname(file), path);
}

/** A playbook with a `/` or an ending is a path, else the name of a built-in one. */
export function isPlaybookPath(reference: string): boolean {
  return reference.includes('/') || /\.ya?ml$/.test(reference);
}

/** Where a playbook may be, best first. */
export function playbookFiles(reference: string, plan: string, playbookPath: readonly string[]): string[] {
  if (isPlaybookPath(reference)) return [beside(plan, reference)];
  return [...playbookPath.map((folder) => posix.join(folder, `${reference}.yaml`)), `${BUILTIN}${reference}.yaml`];
}

/** A role's name leads below roles/ and nowhere else. */
export function isRoleName(role: string): boolean {
  return role.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/** The folders in which a role may be, best first: the user's, then beside the playbook, then the built-in one. */
export function roleFolders(role: string, playbook: string, playbookPath: readonly string[]): string[] {
  const folders = playbookPath.map((folder) => posix.join(folder, 'roles', role));
  return [...new Set([...folders, beside(playbook, `roles/${role}`), `${BUILTIN}roles/${role}`])];
}

/** What is fetched, from where and in which version: beside the playbooks, and none of them. */
export const COMPONENTS = 'components.yaml';

/** Where that may be, best first. */
export function componentFiles(playbookPath: readonly string[]): string[] {
  return [...playbookPath.map((folder) => posix.join(folder, COMPONENTS)), `${BUILTIN}${COMPONENTS}`];
}

/** The file beside a plan that keeps the sha256 of what it fetches: `cluster.yaml` has `cluster.lock.yaml`. */
export function lockFile(plan: string): string {
  return `${plan.replace(/\.ya?ml$/, '')}.lock.yaml`;
}
