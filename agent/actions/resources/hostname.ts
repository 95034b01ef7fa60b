import type { ResourceKind } from '../../undo/resource.ts';
import { liveName } from '../hostname.ts';

/** What the running kernel calls the machine; the file that keeps it for the next boot is a resource of its own. */
export function hostnameResource(root: string): ResourceKind {
  return {
    look: async (_id, { host }) => ({ state: 'set', value: await liveName(host, root).read() }),

    restore: async (_id, before, _present, { host }) =>
      void (await liveName(host, root).write(String(before['value']))),
  };
}
