import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, httpsEndpoint, withOutput } from '../options.ts';
import { type TokenOptions, tokenSentence, tokenWish, withTokenOptions } from './token.ts';

interface Options extends TokenOptions {
  output: Format;
  endpoint?: string;
}

export function joinCommandCommand(cli: Cli): Command {
  const command = withTokenOptions(withOutput(new Command('join-command')))
    .description('Print the line that makes a machine a node; run it there as root')
    .option('--endpoint <url>', 'the address of this controller as the node reaches it', (text: string) =>
      String(httpsEndpoint(text, undefined)),
    )
    .addHelpText(
      'after',
      `
Only the line goes to standard output; it holds a new join token.

Examples:
  kk-controller join-command
  kk-controller join-command --name worker7 --ttl 10m
  kk-controller join-command --endpoint https://203.0.113.7:9443`,
    );
  return cli.action(command, async ({ output, endpoint, ...token }: Options) => {
    const made = await cli.client.joinCommand({ ...tokenWish(token), ...(endpoint === undefined ? {} : { endpoint }) });
    cli.show(output, made, () => [made.command]);
    if (output === 'table') cli.note(tokenSentence(made.token, cli.parts.now()));
    return 0;
  });
}
