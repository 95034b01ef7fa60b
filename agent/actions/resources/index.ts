import type { ResourceKinds } from '../../undo/resource.ts';
import { stampsIn } from '../systemd-stamp.ts';
import { directoryResource } from './directory.ts';
import { fileResource } from './file.ts';
import { firewallPortResource } from './firewall-port.ts';
import { groupResource } from './group.ts';
import { homeResource } from './home.ts';
import { hostnameResource } from './hostname.ts';
import { linkResource } from './link.ts';
import { moduleResource } from './module.ts';
import { mountResource } from './mount.ts';
import { packageListsResource } from './package-lists.ts';
import { PACKAGES, packagesResource } from './packages.ts';
import { selinuxModeResource } from './selinux-mode.ts';
import { swapFileResource, swapResource } from './swap.ts';
import { sysctlResource } from './sysctl.ts';
import { treeResource } from './tree.ts';
import { unitResource } from './unit.ts';
import { userResource } from './user.ts';

/** Where unit files of an administrator are (systemd.unit(5)). */
export const UNIT_FOLDER = '/etc/systemd/system';

/**
 * Every kind of resource that actions change and undo restores. An action of a new kind adds its line here. `root`: what
 * /proc, /sys, /usr, /var and /lib/modules are below.
 */
export function createResourceKinds(stateFolder: string, unitFolder = UNIT_FOLDER, root = ''): ResourceKinds {
  return {
    directory: directoryResource,
    file: fileResource,
    firewall_port: firewallPortResource,
    group: groupResource(root),
    home: homeResource(root),
    hostname: hostnameResource(root),
    link: linkResource,
    module: moduleResource(root),
    mount: mountResource(root),
    package_lists: packageListsResource(root),
    swap: swapResource(root),
    swap_file: swapFileResource,
    [PACKAGES]: packagesResource(stateFolder, root),
    selinux: selinuxModeResource(root),
    sysctl: sysctlResource(root),
    tree: treeResource,
    unit: unitResource(unitFolder, stampsIn(stateFolder)),
    user: userResource(root),
  };
}
