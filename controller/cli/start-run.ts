import { EXIT_CODE } from '../../shared/lifecycle.ts';
import type { Cli } from './cli.ts';
import { awaitController, ensureController } from './daemon.ts';
import { followRun, planWatcher } from './follow.ts';
import type { Format } from './options.ts';
import type { CheckedPlan, PlanOptions } from './plan-file.ts';

/** A controller that was there a moment ago: its service manager gets this long before another is started. */
const RESTART_MS = 5_000;

export interface StartOptions extends PlanOptions {
  output: Format;
  diff?: boolean;
  detach?: boolean;
}

/** Hands a checked plan to a controller (started when there is none) and follows the run, unless `detach`. */
export async function startRun(cli: Cli, checked: CheckedPlan, options: StartOptions): Promise<number> {
  const { client } = cli;
  await startController(cli);
  const { run } = await client.apply({
    sources: checked.sources,
    options: {
      runVars: options.set ?? {},
      tags: options.tags ?? [],
      skipTags: options.skipTags ?? [],
      skipPrechecks: options.skipPrechecks ?? false,
      prechecksOnly: options.prechecksOnly ?? false,
      by: cli.parts.settings.user,
    },
  });
  if (options.detach) {
    cli.show(options.output, { run }, () => [`run ${run} started. Watch it with: kk-controller logs ${run} -f`]);
    return EXIT_CODE.done;
  }
  return followRun(cli, {
    run,
    logs: false,
    watcher: planWatcher(cli, options.output, { diff: options.diff ?? false }),
    revive: () => reviveController(cli),
  });
}

/** Makes a controller answer; tells when one had to be started. */
export async function startController(cli: Cli): Promise<void> {
  const { client, stateFolder } = cli;
  const pid = await ensureController({ client, stateFolder, self: cli.parts.self });
  if (pid !== undefined) cli.note(`Started a controller (pid ${pid}); it ends by itself when nothing is left to do.`);
}

/** After the controller was lost: waits for whoever keeps it running, then starts one. */
export async function reviveController(cli: Cli): Promise<void> {
  if (await awaitController(cli.client, RESTART_MS)) return;
  await startController(cli);
}
