import { resolve } from 'node:path';
import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';

export function restoreCommand(cli: Cli): Command {
  const command = withOutput(new Command('restore'))
    .description('Make the state folder of a controller from a backup')
    .argument('<file>', 'a backup')
    .addHelpText(
      'after',
      `
The state folder (--state) must be empty or not be there. Nothing of a damaged backup is restored.

When agents have done more since the backup was taken, the started controller holds all runs until \`runs adopt\`.
No other copy of the controller may run.

Examples:
  kk-controller --state /var/lib/kk restore /root/kk-2030-01-01.tar.gz
  kk-controller --state /var/lib/kk serve`,
    );
  return cli.action(command, async (given: string, { output }: { output: Format }) => {
    const folder = cli.stateFolder;
    const made = await cli.parts.restore(folder, resolve(given));
    cli.show(output, { stateFolder: folder, ...made }, () => [
      `Restored fleet ${made.fleetId} as of ${made.created}. Start it: kk-controller --state ${folder} serve`,
    ]);
    return 0;
  });
}
