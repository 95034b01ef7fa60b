import { setTimeout } from 'node:timers/promises';
import { KkError } from '../../shared/errors.ts';
import { EXIT_CODE } from '../../shared/lifecycle.ts';
import type { RevisedView } from '../views/types.ts';
import type { Cli } from './cli.ts';
import { followRun } from './follow.ts';
import type { Format } from './options.ts';
import { againLines } from './output/again-text.ts';
import { irrevocableLines } from './output/rollback-text.ts';
import { type CheckedPlan, type PlanOptions, selectedTags } from './plan-file.ts';
import { planWatcher } from './plan-watch.ts';
import { sendFiles } from './send-files.ts';
import { reviveController, startController } from './wake.ts';

/** How often, and how far apart, a rollback is looked for. */
const ROLLBACK_LOOKS = 25;
const ROLLBACK_LOOK_MS = 200;

export interface StartOptions extends PlanOptions {
  output: Format;
  diff?: boolean;
  detach?: boolean;
  check?: boolean;
  autoRollback?: boolean;
  yes?: boolean;
  /** False: `--no-wait`. */
  wait?: boolean;
}

/** Hands a checked plan to a controller (started when there is none) and follows the run, unless `detach`. */
export async function startRun(cli: Cli, checked: CheckedPlan, options: StartOptions): Promise<number> {
  const { client } = cli;
  if (!cli.parts.ask && !options.yes && !options.detach && !options.check) await refuseUnanswerable(checked);
  await startController(cli);
  if (options.autoRollback) for (const line of irrevocableLines(checked.graph)) cli.note(line);
  await sendFiles(client, checked);
  const { run } = await client.apply({ sources: checked.sources, options: applyOptions(cli, options) });
  if (options.detach) {
    cli.show(options.output, { run }, () => [`run ${run} started. Watch it with: kk-controller logs ${run} -f`]);
    return EXIT_CODE.done;
  }
  const code = await followStarted(cli, { run }, options);
  if (options.autoRollback && code === EXIT_CODE.failed) await followRollback(cli, run, options);
  return code;
}

/** A run that comes to a question nobody can be asked would wait, and hold its nodes. */
async function refuseUnanswerable({ graph }: CheckedPlan): Promise<void> {
  const { questionsAhead } = await import('../views/questions.ts');
  const questions = questionsAhead(graph);
  if (questions.length === 0) return;
  throw new KkError({
    code: 'CONFIRM_NEEDED',
    message: `Nothing was started, for a person has to confirm: ${questions.join(' ')}`,
    remedy:
      'There is no terminal to ask on. Say yes beforehand with --yes, or run it on a terminal. `apply --detach` starts a run that waits for `kk-controller runs confirm`.',
  });
}

/** Follows what the controller does by itself after a run that failed; it begins a moment later, or not at all. */
async function followRollback(cli: Cli, failed: string, options: StartOptions): Promise<void> {
  const name = `rollback of ${failed}`;
  for (let look = 0; look < ROLLBACK_LOOKS; look += 1) {
    const found = (await cli.client.runs(20)).find((one) => one.name === name);
    if (found) {
      await followStarted(cli, { run: found.id }, { ...options, autoRollback: false });
      return;
    }
    await setTimeout(ROLLBACK_LOOK_MS);
  }
  cli.note(`Nothing was rolled back. What could be undone: kk-controller rollback ${failed}`);
}

/** What the controller is told of the command line's options. */
export function applyOptions(cli: Cli, options: StartOptions) {
  return {
    runVars: options.set ?? {},
    tags: selectedTags(options),
    skipTags: options.skipTags ?? [],
    skipPrechecks: options.skipPrechecks ?? false,
    prechecksOnly: options.prechecksOnly ?? false,
    check: options.check ?? false,
    autoRollback: options.autoRollback ?? false,
    wait: options.wait ?? true,
    by: cli.parts.settings.user,
  };
}

/** Tells what the next revision of a run does anew, then follows it, unless `detach`. */
export async function followRevised(cli: Cli, revised: RevisedView, options: FollowStyle): Promise<number> {
  const { run, revision } = revised;
  if (options.detach) {
    cli.show(options.output, revised, () => [
      ...againLines(revised),
      `run ${run} goes on, revision ${revision}. Watch it with: kk-controller logs ${run} -f`,
    ]);
    return EXIT_CODE.done;
  }
  if (options.output === 'table') cli.print(againLines(revised));
  return followStarted(cli, revised, options);
}

export interface FollowStyle {
  output: Format;
  autoRollback?: boolean;
  diff?: boolean;
  detach?: boolean;
  /** Whatever the run asks is confirmed. */
  yes?: boolean;
}

/** Follows a run as `apply` does. */
export async function followStarted(
  cli: Cli,
  { run, revision }: { run: string; revision?: number },
  options: FollowStyle,
): Promise<number> {
  return followRun(cli, {
    run,
    logs: false,
    confirming: { yes: options.yes ?? false },
    ...(revision === undefined ? {} : { revision }),
    watcher: await planWatcher(cli, options.output, {
      diff: options.diff ?? false,
      rollsBack: options.autoRollback ?? false,
    }),
    revive: () => reviveController(cli),
  });
}
