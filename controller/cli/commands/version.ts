import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';

export function versionCommand(cli: Cli): Command {
  const command = withOutput(new Command('version'))
    .description('Show the version of this program, and of the running controller')
    .addHelpText('after', '\nExamples:\n  kk-controller version\n  kk-controller version -o json');
  return cli.action(command, async (options: { output: Format }) => {
    const client = cli.parts.version;
    const controller = await runningVersion(cli);
    cli.show(options.output, { client, ...(controller === undefined ? {} : { controller }) }, () => [
      `kk-controller ${client}`,
      controller === undefined ? 'no controller is running' : `running controller ${controller}`,
      ...(controller === undefined || controller === client ? [] : ['Restart the controller to make them the same.']),
    ]);
    return 0;
  });
}

async function runningVersion(cli: Cli): Promise<string | undefined> {
  try {
    return (await cli.client.status()).version;
  } catch (thrown) {
    if (thrown instanceof KkError && thrown.code === 'CONTROLLER_UNREACHABLE') return undefined;
    throw thrown;
  }
}
