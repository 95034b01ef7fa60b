import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { withOutput } from '../options.ts';
import { checkPlan } from '../plan-file.ts';
import { withPlanOptions } from '../plan-options.ts';
import { type StartOptions, startRun } from '../start-run.ts';

export function etcdCommand(cli: Cli): Command {
  return new Command('etcd')
    .description('Snapshots of the etcd of a cluster (etcd.mode external)')
    .addCommand(backupCommand(cli))
    .addCommand(restoreCommand(cli));
}

function backupCommand(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('backup')))
    .description('Take a snapshot now, on every member, as its timer does')
    .addHelpText(
      'after',
      `
It lies in etcd.backup.dir of the member; status.json beside it says what became of the last one.

Examples:
  kk-controller etcd backup plan.yaml
  kk-controller cp etcd1:/var/lib/etcd-backup/etcd-20260101T020000Z.db .`,
    );
  return cli.action(command, async (file: string, given: StartOptions) => {
    const options = { ...given, playbooks: ['etcd-backup'] };
    return startRun(cli, await checkPlan(cli, file, options), options);
  });
}

function restoreCommand(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('restore')))
    .description('Put a snapshot in the place of what etcd holds, on all members')
    .requiredOption('--snapshot <path>', 'where it lies on every member')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      `
What was written since the snapshot is lost. Control planes are stopped meanwhile, and everything that reads from them starts
anew. The data of before stay on each member in before-restore-<time> of its data folder, until somebody removes them.

Examples:
  kk-controller cp etcd-20260101T020000Z.db etcd:/var/lib/etcd-backup/restore.db
  kk-controller etcd restore plan.yaml --snapshot /var/lib/etcd-backup/restore.db`,
    );
  return cli.action(command, async (file: string, given: StartOptions & { snapshot: string }) => {
    const set = { ...given.set, etcd_restore: { snapshot: given.snapshot } };
    const options = { ...given, set, playbooks: ['etcd-restore'] };
    return startRun(cli, await checkPlan(cli, file, options), options);
  });
}
