import type { ResourceKinds } from '../../undo/resource.ts';
import { stampsIn } from '../systemd-stamp.ts';
import { directoryResource } from './directory.ts';
import { fileResource } from './file.ts';
import { linkResource } from './link.ts';
import { moduleResource } from './module.ts';
import { sysctlResource } from './sysctl.ts';
import { treeResource } from './tree.ts';
import { unitResource } from './unit.ts';

/** Where unit files of an administrator are (systemd.unit(5)). */
export const UNIT_FOLDER = '/etc/systemd/system';

/**
 * Every kind of resource that actions change and undo restores. An action of a new kind adds its line here. `root`: what
 * /proc, /sys and /lib/modules are below.
 */
export function createResourceKinds(stateFolder: string, unitFolder = UNIT_FOLDER, root = ''): ResourceKinds {
  return {
    directory: directoryResource,
    file: fileResource,
    link: linkResource,
    module: moduleResource(root),
    sysctl: sysctlResource(root),
    tree: treeResource,
    unit: unitResource(unitFolder, stampsIn(stateFolder)),
  };
}
