import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import type { DecideBody } from '../../views/requests.ts';
import type { NodeView } from '../../views/types.ts';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { nodeRows } from '../output/nodes-text.ts';
import { wakeController } from '../wake.ts';

interface Options {
  output: Format;
  all?: true;
  fingerprint?: string;
}

export function nodesApproveCommand(cli: Cli): Command {
  const command = withOutput(new Command('approve'))
    .description('Let machines in that wait for approval')
    .argument('[nodes...]', 'their names, as `nodes` shows them')
    .option('--all', 'all that wait now')
    .option('--fingerprint <fingerprint>', 'one node, and only if this is the fingerprint of its key: SHA256:…')
    .addHelpText(
      'after',
      `
A machine waits when its token was made with --approve, or the controller serves with --approve. Compare the fingerprint of its key with the one that it shows.

Examples:
  kk-controller nodes approve worker7
  kk-controller nodes approve worker7 --fingerprint SHA256:5bk0h…
  kk-controller nodes approve --all`,
    );
  return decide(cli, command, (name, wish) => cli.client.approve(name, wish));
}

export function nodesRejectCommand(cli: Cli): Command {
  const command = withOutput(new Command('reject'))
    .description('Refuse machines that wait for approval')
    .argument('[nodes...]', 'their names, as `nodes` shows them')
    .option('--all', 'all that wait now')
    .addHelpText('after', '\nExamples:\n  kk-controller nodes reject worker7\n  kk-controller nodes reject --all');
  return decide(cli, command, (name, wish) => cli.client.reject(name, wish));
}

function decide(cli: Cli, command: Command, one: (name: string, wish: DecideBody) => Promise<NodeView>): Command {
  return cli.action(command, async (names: string[], { output, all, fingerprint }: Options) => {
    if (names.length > 0 === (all === true)) {
      throw new KkError({
        code: 'USAGE',
        message: 'Either names or --all are needed.',
        remedy: `See \`kk-controller nodes ${command.name()} --help\`.`,
      });
    }
    if (fingerprint !== undefined && names.length !== 1) {
      throw new KkError({
        code: 'USAGE',
        message: '--fingerprint is of one node.',
        remedy: 'Name the node whose key it is of.',
      });
    }
    await wakeController(cli);
    // What is decided about are the keys seen here: another machine may come under the name meanwhile.
    const shown = new Map(
      (await cli.client.nodes()).flatMap(({ name, pending }) => (pending ? [[name, pending]] : [])),
    );
    const waiting = [...shown].filter(([, { state }]) => state === 'pending').map(([name]) => name);
    const by = cli.parts.settings.user;
    const decided: NodeView[] = [];
    for (const name of all ? waiting : names) {
      decided.push(await one(name, { fingerprint: fingerprint ?? shown.get(name)?.fingerprint ?? '', by }));
    }
    cli.show(output, decided, () => {
      if (decided.length === 0) return ['No machine waits for approval.'];
      return nodeRows(decided, cli.parts.now(), cli.colors);
    });
    return 0;
  });
}
