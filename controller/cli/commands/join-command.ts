import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, httpsEndpoint, withOutput } from '../options.ts';
import { type TokenOptions, tokenSentence, tokenWish, withTokenOptions } from './token.ts';

interface Options extends TokenOptions {
  output: Format;
  endpoint?: string;
  cloudInit?: true;
}

export function joinCommandCommand(cli: Cli): Command {
  const command = withTokenOptions(withOutput(new Command('join-command')))
    .description('Print the line that makes a machine a node; run it there as root')
    .option('--endpoint <url>', 'the address of this controller as the node reaches it', (text: string) =>
      String(httpsEndpoint(text, undefined)),
    )
    .option('--cloud-init', 'print user-data with which machines join at their first boot, by themselves')
    .addHelpText(
      'after',
      `
Only the line (or the user-data) goes to standard output; it holds a new join token. User-data for many machines needs a token with
as many --uses; each then joins under its host name, and tries for a day. The machine keeps its user-data, token included, in
/var/lib/cloud and at the metadata address: bind the token by --cidr, --names and a short --ttl, or let a person decide: --approve.

Examples:
  kk-controller join-command
  kk-controller join-command --name worker7 --ttl 10m
  kk-controller join-command --endpoint https://203.0.113.7:9443
  kk-controller join-command --cloud-init --uses 20 --names 'worker*' --cidr 10.0.0.0/24 --groups worker --ttl 2h > user-data`,
    );
  return cli.action(command, async ({ output, endpoint, cloudInit, ...token }: Options) => {
    const made = await cli.client.joinCommand({
      ...tokenWish(token),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(cloudInit ? { cloudInit } : {}),
    });
    cli.show(output, made, () => [made.userData?.trimEnd() ?? made.command]);
    if (output === 'table') cli.note(tokenSentence(made.token, cli.parts.now()));
    return 0;
  });
}
