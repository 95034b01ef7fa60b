import type { Library } from './library.ts';
import { roleFolders } from './paths.ts';
import { suggest } from './problems.ts';
import { type RoleRead, readRole, roleOfTasks } from './role.ts';
import type { TaskRead } from './task.ts';
import type { Role, RoleUse } from './types.ts';

/** The roles of a plan by name: each is looked up and read once. */
export class Roles {
  readonly #library: Library;
  readonly #found = new Map<string, RoleRead>();

  constructor(library: Library) {
    this.#library = library;
  }

  /** The role a play of `playbook` means. */
  find(use: RoleUse, playbook: string): RoleRead | undefined {
    const { sources, problems } = this.#library;
    const folders = roleFolders(use.role, playbook, sources.playbookPath ?? []);
    const folder = folders.find((candidate) => this.#library.has(`${candidate}/tasks.yaml`));
    if (folder === undefined) {
      problems.gap();
      const remedy = `${suggest(use.role, this.#near(folders, use.role))} Looked for tasks.yaml in: ${folders.join(', ')}.`;
      problems.add('PLAN_UNKNOWN_ROLE', use.at, `There is no role "${use.role}".`, remedy);
      return undefined;
    }
    const known = this.#found.get(use.role);
    if (known) {
      if (known.folder !== folder) this.#refuse(use, `in ${known.folder ?? `the tasks of a play`} and in ${folder}`);
      return known;
    }
    const role = readRole(use.role, folder, playbook, this.#library);
    this.#found.set(use.role, role);
    return role;
  }

  /** The tasks that a play states itself, as a role by the play's name. */
  ofTasks(use: RoleUse, tasks: TaskRead[], playbook: string): RoleRead {
    const role = roleOfTasks(use.role, tasks, playbook, this.#library);
    const known = this.#found.get(use.role);
    // two plays of one name were told already
    if (known?.folder !== undefined) this.#refuse(use, `in ${known.folder} and the name of a play with tasks`);
    else this.#found.set(use.role, role);
    return role;
  }

  all(): Record<string, Role> {
    return Object.fromEntries([...this.#found].map(([name, { role }]) => [name, role]));
  }

  read(): RoleRead[] {
    return [...this.#found.values()];
  }

  #refuse(use: RoleUse, where: string): void {
    const message = `The role name "${use.role}" means two things: it is ${where}.`;
    this.#library.problems.add('PLAN_DUPLICATE_NAME', use.at, message, 'Rename the role or the play.');
  }

  /** Roles that were loaded from the same places. */
  #near(folders: readonly string[], role: string): string[] {
    const bases = folders.map((folder) => folder.slice(0, -role.length));
    const names = Object.keys(this.#library.sources.texts).flatMap((path) => {
      const base = bases.find((candidate) => path.startsWith(candidate));
      return base && path.endsWith('/tasks.yaml') ? [path.slice(base.length, -'/tasks.yaml'.length)] : [];
    });
    return [...new Set([...names, ...(this.#library.sources.offered?.roles ?? [])])];
  }
}
