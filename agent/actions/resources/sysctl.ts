import { sysctlPath } from '../../../shared/actions/sysctl.ts';
import { lost } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { procSys } from '../proc-sys.ts';

/** An image's facet holds no more. */
const VALUE_LIMIT = 4200;

/** A value of the running kernel by its key; the file that keeps it for the next boot is a resource of its own. */
export function sysctlResource(root: string): ResourceKind {
  const pathOf = (key: string): string => sysctlPath(key) ?? key;
  return {
    async look(key, { host }) {
      const value = await procSys(host, root).read(pathOf(key));
      // Not another state: nobody can put back what went with its module or network interface, so that is no conflict.
      if (value === undefined) return { state: 'set' };
      return value.length > VALUE_LIMIT ? lost(`${key} has ${value.length} characters`) : { state: 'set', value };
    },

    async restore(key, before, present, { host }) {
      if (present['value'] === undefined) return `${key} is left, because the kernel does not have it now`;
      await procSys(host, root).write(pathOf(key), String(before['value']));
      return undefined;
    },
  };
}
