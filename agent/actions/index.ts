import type { ActionKind } from '../../shared/actions/index.ts';
import type { gatherFacts, gatherForRule } from '../facts/index.ts';
import type { Files } from '../files/files.ts';
import { assertExecutor } from './assert.ts';
import { blockInFileExecutor } from './block-in-file.ts';
import { certificateRequestExecutor } from './certificate-request.ts';
import { checkExecutor } from './check.ts';
import { commandExecutor } from './command.ts';
import { copyExecutor } from './copy.ts';
import { cronExecutor } from './cron.ts';
import { debugExecutor } from './debug.ts';
import { directoryExecutor } from './directory.ts';
import { downloadExecutor } from './download.ts';
import type { ActionExecutor } from './executor.ts';
import { factsExecutor } from './facts.ts';
import { fetchExecutor } from './fetch.ts';
import { fileExecutor } from './file.ts';
import { firewallExecutor } from './firewall.ts';
import { groupExecutor } from './group.ts';
import { hostnameExecutor } from './hostname.ts';
import { httpExecutor } from './http.ts';
import { kernelModuleExecutor } from './kernel-module.ts';
import { lineInFileExecutor } from './line-in-file.ts';
import { mountExecutor } from './mount.ts';
import { packageExecutor } from './package.ts';
import { rebootExecutor } from './reboot.ts';
import { repositoryExecutor } from './repository.ts';
import { restoreExecutor } from './restore.ts';
import { scanPortsExecutor } from './scan-ports.ts';
import { scriptExecutor } from './script.ts';
import { selinuxExecutor } from './selinux.ts';
import { setFactExecutor } from './set-fact.ts';
import { statExecutor } from './stat.ts';
import { swapExecutor } from './swap.ts';
import { sysctlExecutor } from './sysctl.ts';
import { systemdExecutor } from './systemd.ts';
import { timerExecutor } from './timer.ts';
import { timezoneExecutor } from './timezone.ts';
import { unarchiveExecutor } from './unarchive.ts';
import { undoExecutor } from './undo.ts';
import type { Undoing } from './undo-plan.ts';
import { userExecutor } from './user.ts';
import { waitForExecutor } from './wait-for.ts';

export { commandFailure } from './command.ts';
export { createResourceKinds } from './resources/index.ts';

export interface ExecutorOptions {
  /** The agent's state folder: systemd's stamps are kept there. */
  stateFolder: string;
  undo: Undoing;
  /** Where files from elsewhere come to. */
  files: Files;
  /** What /proc, /sys, /usr, /var, /lib/modules and the files in /etc of actions about the system are below; by default this machine's own. */
  root?: string;
  /** Where scripts lie while they run. */
  scripts: string;
  gather: { facts: typeof gatherFacts; forRule: typeof gatherForRule };
}

/** One executor for each action kind of the catalogue; a kind without one does not compile. */
export function createExecutors({ stateFolder, undo, files, gather, root = '', scripts }: ExecutorOptions): {
  readonly [K in ActionKind]: ActionExecutor<K>;
} {
  return {
    assert: assertExecutor,
    block_in_file: blockInFileExecutor,
    certificate_request: certificateRequestExecutor,
    check: checkExecutor(gather.forRule),
    command: commandExecutor,
    copy: copyExecutor(files),
    cron: cronExecutor(root),
    debug: debugExecutor,
    directory: directoryExecutor,
    download: downloadExecutor(files),
    facts: factsExecutor(gather.facts),
    fetch: fetchExecutor(files),
    file: fileExecutor,
    firewall: firewallExecutor(root),
    group: groupExecutor(root),
    hostname: hostnameExecutor(root),
    http: httpExecutor(files),
    kernel_module: kernelModuleExecutor(root),
    line_in_file: lineInFileExecutor,
    mount: mountExecutor(root),
    package: packageExecutor(root),
    reboot: rebootExecutor(root),
    repository: repositoryExecutor(root, stateFolder),
    restore: restoreExecutor(undo, stateFolder),
    scan_ports: scanPortsExecutor,
    script: scriptExecutor(scripts),
    selinux: selinuxExecutor(root),
    set_fact: setFactExecutor,
    swap: swapExecutor(root),
    stat: statExecutor,
    sysctl: sysctlExecutor(root),
    systemd: systemdExecutor(stateFolder),
    timer: timerExecutor(stateFolder),
    timezone: timezoneExecutor(root),
    unarchive: unarchiveExecutor(files, stateFolder),
    undo: undoExecutor(undo),
    user: userExecutor(root),
    wait_for: waitForExecutor,
  };
}
