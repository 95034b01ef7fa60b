import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import { EXIT_CODE } from '../../../shared/lifecycle.ts';
import type { Cli } from '../cli.ts';
import { pathsOf, valuesAt } from '../facts-path.ts';
import { FactsWatcher } from '../facts-watch.ts';
import { followRun } from '../follow.ts';
import { each, type Format, withOutput } from '../options.ts';
import { factsRows, type ToldFacts, valueRows } from '../output/facts-text.ts';
import { problemsText } from '../output/problems.ts';
import { names } from '../output/text.ts';
import { SELECTOR_HELP, selectorOf, tellWithoutFacts } from '../selector.ts';
import { reviveController, wakeController } from '../wake.ts';

interface FactsOptions {
  output: Format;
  path?: string[];
  known?: boolean;
}

export function factsCommand(cli: Cli): Command {
  const command = withOutput(new Command('facts'))
    .description('Ask nodes what they are: system, hardware, disks, network')
    .argument('<selector>', 'nodes and groups: see below')
    .option('--path <path>', 'only this part, such as os.id or filesystems[0].mount; may be repeated', each)
    .option('--known', 'as they were told last, in whatever run; asks no node')
    .addHelpText(
      'after',
      `
${SELECTOR_HELP}
The table shows a few; -o json and -o yaml show all there is. A path may use filters, as in templates.

Examples:
  kk-controller facts all
  kk-controller facts node1 -o yaml
  kk-controller facts worker --path kernel.release --path 'interfaces | map(attribute="name") | join(" ")'
  kk-controller facts all --known -o json | jq -r '.[] | select(.facts.swap.total > 0) | .node'`,
    );
  return cli.action(command, async (text: string, { output: format, path = [], known }: FactsOptions) => {
    const selector = selectorOf(text);
    const paths = pathsOf(path);
    await wakeController(cli);
    const { told, code } = known ? await knownFacts(cli, selector) : await freshFacts(cli, selector, format);
    if (paths.length === 0) cli.show(format, told, () => factsRows(told, cli.parts.now()));
    else {
      const values = valuesAt(paths, told);
      cli.show(format, values, () => valueRows(path, values));
    }
    return code;
  });
}

async function knownFacts(cli: Cli, selector: string[]): Promise<{ told: ToldFacts[]; code: number }> {
  const all = await cli.client.knownFacts(selector);
  const told = all.flatMap(({ node, at, facts }) => (at && facts ? [{ node, at, facts }] : []));
  const untold = all.filter(({ facts }) => !facts).map(({ node }) => node);
  if (told.length === 0) {
    throw new KkError({
      code: 'FACTS_UNKNOWN',
      message: `No facts are known yet of ${names(untold, 10)}.`,
      remedy: 'Leave --known out: then the nodes are asked.',
    });
  }
  if (untold.length > 0) cli.note(`No facts are known yet of ${names(untold, 10)}.`);
  return { told, code: EXIT_CODE.done };
}

async function freshFacts(cli: Cli, selector: string[], format: Format): Promise<{ told: ToldFacts[]; code: number }> {
  const { run, withoutFacts } = await cli.client.gatherFacts({ selector, by: cli.parts.settings.user });
  tellWithoutFacts(cli, withoutFacts);
  const watcher = new FactsWatcher((text) => cli.note(text));
  const code = await followRun(cli, { run, logs: false, watcher, revive: () => reviveController(cli) });
  const { errors } = watcher;
  if (errors.length > 0) {
    const style = { colors: cli.errColors, texts: {} };
    cli.parts.err.write(format === 'table' ? problemsText(errors, style) : `${JSON.stringify({ problems: errors })}\n`);
  }
  return { told: watcher.told, code };
}
