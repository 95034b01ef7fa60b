import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import { EXIT_CODE } from '../../../shared/lifecycle.ts';
import type { Cli } from '../cli.ts';
import type { BootstrapLine } from '../client.ts';
import { startLive } from '../live.ts';
import { type Format, withOutput } from '../options.ts';
import { bootstrapConclusion, bootstrapFrame, bootstrapText } from '../output/bootstrap-text.ts';
import { checkPlan, type PlanOptions } from '../plan-file.ts';
import { withPlanOptions } from '../plan-options.ts';
import { startController } from '../wake.ts';

export function bootstrapCommand(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('bootstrap')))
    .description('Put the agent on the nodes of a plan by SSH, and do nothing else')
    .argument('[nodes...]', 'only these nodes (default: all with ssh settings)')
    .addHelpText(
      'after',
      `
apply does this by itself for nodes that are not connected. A node whose agent is connected gets no SSH.
Ends with 3 when a node could not be reached or prepared.

Examples:
  kk-controller bootstrap plan.yaml
  kk-controller bootstrap plan.yaml worker7 worker8`,
    );
  return cli.action(command, async (file: string, nodes: string[], options: PlanOptions & { output: Format }) => {
    const { plan, sources } = await checkPlan(cli, file, options);
    refuseUnknown(
      nodes,
      plan.inventory.nodes.map(({ name }) => name),
      file,
    );
    await startController(cli);
    const stop = new AbortController();
    const stopListening = cli.parts.onInterrupt(() => stop.abort());
    try {
      const latest = await watch(cli, cli.client.bootstrap({ sources, nodes }, stop.signal), options.output);
      if (stop.signal.aborted) return EXIT_CODE.cancelled;
      const failed = [...latest.values()].some((line) => line.error !== undefined);
      return failed ? EXIT_CODE.failed : EXIT_CODE.done;
    } finally {
      stopListening();
    }
  });
}

/** Shows the lines as they come; gives the last one of each node. */
async function watch(
  cli: Cli,
  lines: AsyncIterable<BootstrapLine>,
  format: Format,
): Promise<Map<string, BootstrapLine>> {
  const latest = new Map<string, BootstrapLine>();
  const { out } = cli.parts;
  const { colors } = cli;
  const frame = () => bootstrapFrame([...latest.values()], { colors, rows: out.rows || 24 });
  const live = format === 'table' && cli.isLive ? await startLive(out, frame) : undefined;
  try {
    for await (const line of lines) {
      latest.set(line.node, line);
      if (format !== 'table') cli.showNext(format, line);
      else if (!live) cli.print(bootstrapText(line, colors));
      else {
        if (line.error) live.above(bootstrapText(line, colors));
        live.touch();
      }
    }
  } finally {
    live?.end();
  }
  if (format === 'table') cli.print(bootstrapConclusion([...latest.values()], colors));
  return latest;
}

function refuseUnknown(nodes: readonly string[], known: readonly string[], file: string): void {
  const unknown = nodes.filter((node) => !known.includes(node));
  if (unknown.length === 0) return;
  throw new KkError({
    code: 'NODE_UNKNOWN',
    message: `The inventory of ${file} has no node ${unknown.join(', ')}.`,
    remedy: `Use one of: ${known.slice(0, 20).join(', ')}${known.length > 20 ? ', …' : ''}.`,
  });
}
