import type { Host } from '../../host/host.ts';
import type { ResourceKind } from '../../undo/resource.ts';

const folderIn = (root: string): string => `${root}/var/lib/apt/lists`;

async function namesOf({ files }: Pick<Host, 'files'>, root: string, prefix: string): Promise<string[]> {
  return (await files.list(folderIn(root))).filter((name) => name.startsWith(prefix));
}

/** Forgets what apt knows of a repository, by how the names of its lists begin: it would offer what cannot be fetched any more. */
export async function removeLists(host: Pick<Host, 'files'>, root: string, prefix: string): Promise<void> {
  for (const name of await namesOf(host, root, prefix)) await host.files.remove(`${folderIn(root)}/${name}`);
}

/** What apt knows of a repository. That it knew something comes back with the next time it asks. */
export function packageListsResource(root: string): ResourceKind {
  return {
    look: async (prefix, { host }) => ({ state: 'lists', known: (await namesOf(host, root, prefix)).length > 0 }),
    async restore(prefix, before, _present, { host }) {
      if (before['known'] !== true) await removeLists(host, root, prefix);
      return undefined;
    },
  };
}
