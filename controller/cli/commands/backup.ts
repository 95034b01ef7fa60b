import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import { databasePath } from '../../config/settings.ts';
import type { Cli } from '../cli.ts';
import { isAnswering } from '../daemon.ts';
import { type Format, withOutput } from '../options.ts';

export function backupCommand(cli: Cli): Command {
  const command = withOutput(new Command('backup'))
    .description("Write all that the controller knows into one file: runs, nodes, tokens and the CA's keys")
    .argument('<file>', 'the .tar.gz to write; it must not be there yet')
    .option('--no-logs', 'without the live output of commands, the largest part')
    .addHelpText(
      'after',
      `
Also while the controller is at work. Whoever has the file can be the controller: it is readable by its owner alone.

Examples:
  kk-controller backup /root/kk-$(date +%F).tar.gz
  kk-controller backup small.tar.gz --no-logs`,
    );
  return cli.action(command, async (given: string, { output, logs }: { output: Format; logs: boolean }) => {
    const file = resolve(given);
    const isOn = await isAnswering(cli.client);
    if (!isOn) await checkState(cli.stateFolder);
    const made = isOn ? await cli.client.backup({ file, logs }) : await cli.parts.backup(cli.stateFolder, file, logs);
    cli.show(output, { file, ...made }, () => [`The backup of fleet ${made.fleetId} is in ${file}. Keep it safe.`]);
    return 0;
  });
}

/** Nothing is no state to back up; and looking must not make one. */
async function checkState(folder: string): Promise<void> {
  try {
    await access(databasePath(folder));
  } catch {
    throw new KkError({
      code: 'STATE_UNKNOWN',
      message: `There is no state of a controller in ${folder}.`,
      remedy: 'Name its state folder with --state.',
    });
  }
}
