import { Command } from 'commander';
import type { TokenView } from '../../views/types.ts';
import type { Cli } from '../cli.ts';
import { durationOption, eachOfList, type Format, wholeNumber, withOutput } from '../options.ts';
import { table } from '../output/table.ts';
import { span } from '../output/text.ts';
import { wakeController } from '../wake.ts';

interface CreateOptions {
  output: Format;
  ttl: number;
  uses: number;
  name?: string;
  replace?: string;
  names?: string;
  groups?: string[];
  cidr?: string[];
  approve?: true;
}

export function tokenCommand(cli: Cli): Command {
  const group = new Command('token').description('Make, list and delete join tokens').addHelpText(
    'after',
    `
Examples:
  kk-controller token create --ttl 24h --uses 50
  kk-controller token list
  kk-controller token delete 5f1c9a0e44b7d213`,
  );
  for (const command of [create(cli), list(cli), remove(cli)]) group.addCommand(command);
  return group;
}

function create(cli: Cli): Command {
  const command = withTokenOptions(withOutput(new Command('create')))
    .description('Make a join token; it is shown this once')
    .addHelpText(
      'after',
      `
Only the token goes to standard output. \`join-command\` gives the whole line to paste instead.

Examples:
  kk-controller token create
  kk-controller token create --name worker7 --ttl 10m
  kk-controller token create --uses 50 --names 'worker*' --groups worker --cidr 10.0.0.0/8 --approve
  kk-controller token create --replace worker7     a machine that was set up anew keeps its name`,
    );
  return cli.action(command, async (options: CreateOptions) => {
    const made = await cli.client.createToken(tokenWish(options));
    cli.show(options.output, made, () => [made.text]);
    if (options.output === 'table') cli.note(tokenSentence(made.token, cli.parts.now()));
    return 0;
  });
}

function list(cli: Cli): Command {
  const command = withOutput(new Command('list'))
    .description('List the join tokens that are still good')
    .addHelpText('after', '\nExamples:\n  kk-controller token list\n  kk-controller token list -o json');
  return cli.action(command, async (options: { output: Format }) => {
    await wakeController(cli);
    const tokens = await cli.client.tokens();
    cli.show(options.output, tokens, () => {
      if (tokens.length === 0) return ['No tokens. Make one with: kk-controller token create'];
      const rows = tokens.map((token) => [
        token.id,
        token.name ?? token.names ?? 'any',
        token.replace ? 'yes' : 'no',
        String(token.usesLeft),
        until(token, cli.parts.now()),
        rulesOf(token).join(', '),
      ]);
      return table(['token', 'for node', 'replaces', 'uses left', 'expires in', 'rules'], rows);
    });
    return 0;
  });
}

function remove(cli: Cli): Command {
  const command = withOutput(new Command('delete'))
    .description('Delete a join token; nodes that joined with it stay')
    .argument('<token>', 'its id, as `token list` shows it')
    .addHelpText('after', '\nExamples:\n  kk-controller token delete 5f1c9a0e44b7d213');
  return cli.action(command, async (id: string, options: { output: Format }) => {
    await wakeController(cli);
    await cli.client.deleteToken(id);
    cli.show(options.output, { deleted: id }, () => [`token ${id} deleted.`]);
    return 0;
  });
}

/** What a new token may be told, also by `join-command`. */
export function withTokenOptions(command: Command): Command {
  return command
    .addOption(durationOption('--ttl <duration>', 'how long it is good', '1h', { least: '1s', most: '365d' }))
    .option('--uses <number>', 'how many nodes may join with it', wholeNumber, 1)
    .option('--name <node>', 'the only name that may join with it')
    .option('--replace <node>', 'a known name that may join again with a new key')
    .option('--names <pattern>', 'names that may join with it: * for any characters, ? for one')
    .option('--groups <names>', 'groups that the nodes are put into, separated by commas (repeatable)', eachOfList)
    .option('--cidr <networks>', 'networks that nodes may join from, separated by commas (repeatable)', eachOfList)
    .option('--approve', 'each join waits for `nodes approve`');
}

export type TokenOptions = Omit<CreateOptions, 'output'>;

export function tokenWish({ ttl, uses, name, replace, names, groups, cidr, approve }: TokenOptions) {
  return {
    ttlSeconds: ttl,
    uses,
    ...(name === undefined ? {} : { name }),
    ...(replace === undefined ? {} : { replace }),
    ...(names === undefined ? {} : { names }),
    ...(groups === undefined ? {} : { groups }),
    ...(cidr === undefined ? {} : { cidrs: cidr }),
    ...(approve ? { approve } : {}),
  };
}

/** What a new token is good for, in words. */
export function tokenSentence(token: TokenView, nowMs: number): string {
  const who = token.replace ?? token.name;
  const uses = token.usesLeft === 1 ? 'one node' : `${token.usesLeft} nodes`;
  const rules = rulesOf(token);
  const named = token.names === undefined ? '' : ` named ${token.names}`;
  const further = rules.length === 0 ? '' : `; ${rules.join(', ')}`;
  return `Token ${token.id}: good for ${who ?? uses}${named}, for ${until(token, nowMs)}${further}.`;
}

function rulesOf({ groups, cidrs, approve }: TokenView): string[] {
  return [
    ...(groups === undefined ? [] : [`into ${groups.join(' ')}`]),
    ...(cidrs === undefined ? [] : [`from ${cidrs.join(' ')}`]),
    ...(approve ? ['to be approved'] : []),
  ];
}

function until(token: TokenView, nowMs: number): string {
  const ms = Date.parse(token.expires) - nowMs;
  // a rounded-up second: a token of one hour shall not read 59m59s
  return ms <= 0 ? 'expired' : span(Math.ceil(ms / 1000) * 1000);
}
