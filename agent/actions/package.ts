import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { listed } from '../../shared/actions/package.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { inTurn } from './in-turn.ts';
import { packageManagerOf } from './packages/index.ts';
import { allowed, changeFor, differences, isThere, notHeldSo, versionIn } from './packages/judge.ts';
import type { Argv, Change, ChangeOptions, Database, Foreseen, PackageManager, Wanted } from './packages/manager.ts';
import { isPolicyLeft, takeAway, withoutStarts } from './packages/no-starts.ts';
import { followPrograms, runPrograms } from './packages/transaction.ts';
import { PACKAGES, resourcesOf } from './resources/packages.ts';
import { Unknown } from './unknown.ts';

type Input = ActionInput<'package'>;

interface Plan {
  wanted: Wanted[];
  database: Database;
  change: Change;
  foreseen: Foreseen;
  /** Names to be held, or no longer. */
  hold: string[];
}

const NOTHING: Foreseen = { steps: [], downgrades: [] };

/** A repository that was asked long ago may have them by now. */
const STALE = new Set(['PACKAGE_NOT_FOUND', 'PACKAGE_VERSION_NOT_FOUND', 'REPOSITORY_UNREACHABLE']);

function isStale(thrown: unknown): boolean {
  return thrown instanceof KkError && STALE.has(thrown.code);
}

function optionsOf(input: Input, cached: boolean): ChangeOptions {
  return {
    recommends: input.recommends,
    configFiles: input.config_files,
    purge: input.purge,
    allowDowngrade: input.allow_downgrade,
    allowHeld: input.hold !== undefined,
    ...(cached ? { cached } : {}),
  };
}

async function wantedBy(
  input: Input,
  manager: PackageManager,
  context: ActionContext,
  cached: boolean,
): Promise<Wanted[]> {
  if (input.files !== undefined) {
    const wanted: Wanted[] = [];
    for (const file of listed(input.files)) {
      if (context.dryRun === true && (await context.host.files.stat(file)) === undefined)
        throw new Unknown(`${file} is not on the node yet`);
      wanted.push({ ...(await manager.inFile(file)), file });
    }
    return wanted;
  }
  const names = await manager.named(listed(input.name));
  if (input.state !== 'latest') return names.map((name) => ({ name, version: input.version }));
  const newest = await manager.newest(names, cached);
  return names.map((name) => ({ name, version: newest.get(name) }));
}

/** `cached`: nothing may be fetched to find it out. */
async function planOf(input: Input, manager: PackageManager, context: ActionContext, cached: boolean): Promise<Plan> {
  const database = await manager.database();
  const wanted = await wantedBy(input, manager, context, cached);
  const { isVersion } = manager;
  const hold = notHeldSo(input.hold, wanted, database);
  let change = changeFor(input, wanted, database, isVersion);
  const foresee = async (): Promise<Foreseen> =>
    change.install.length + change.remove.length === 0 ? NOTHING : manager.foresee(change, optionsOf(input, cached));
  let foreseen = await foresee();
  if (input.state === 'latest' && foreseen.downgrades.length > 0) {
    // What is there is newer than what can be had.
    change = { ...change, install: change.install.filter(({ name }) => !foreseen.downgrades.includes(name)) };
    foreseen = await foresee();
  }
  allowed(input, wanted, change, foreseen, database);
  return { wanted, database, change, foreseen, hold };
}

function isDone({ change, hold }: Plan): boolean {
  return change.install.length + change.remove.length + hold.length === 0;
}

function diffsOf({ database, foreseen, hold }: Plan, held: boolean): Diff[] {
  const names = [...new Set([...foreseen.steps.map(({ name }) => name), ...hold])].sort();
  const text = (versions: (name: string) => string | undefined, isHeld: (name: string) => boolean): Buffer =>
    Buffer.from(
      names
        .flatMap((name) => (versions(name) ? [`${name} ${versions(name)}${isHeld(name) ? ', held' : ''}\n`] : []))
        .join(''),
    );
  const steps = new Map(foreseen.steps.map(({ name, version }) => [name, version]));
  const wasHeld = (name: string): boolean => database.get(name)?.held ?? false;
  const before = text((name) => versionIn(database, name), wasHeld);
  const after = text(
    (name) => steps.get(name) ?? versionIn(database, name),
    (name) => (hold.includes(name) ? held : wasHeld(name)),
  );
  return before.equals(after) ? [] : [contentDiff(PACKAGES, before, after)];
}

function outputOf(
  manager: PackageManager,
  wanted: readonly Wanted[],
  database: Database,
  done: string[],
): ActionOutput<'package'> {
  const packages = Object.fromEntries(wanted.map(({ name }) => [name, versionIn(database, name) ?? '']));
  return { manager: manager.kind, packages, done };
}

/** `root`: what /usr and /var are below. */
export function packageExecutor(root: string): ActionExecutor<'package'> {
  /** Is what the repositories have known for longer than the task allows? */
  async function isDue(input: Input, manager: PackageManager, { host }: ActionContext): Promise<boolean> {
    if (input.update_cache !== true) return false;
    const askedAtMs = await manager.askedAtMs();
    return askedAtMs === undefined || host.nowMs() - askedAtMs > input.cache_valid_seconds * 1000;
  }

  async function work(input: Input, context: ActionContext, manager: PackageManager) {
    const { host, signal, folder, log, timeoutMs } = context;
    const options = optionsOf(input, false);
    const run = (...programs: Argv[]): Promise<void> =>
      runPrograms(programs, {
        ...{ host, signal, folder, log, timeoutMs },
        starting: () => context.starting(),
        env: manager.environment(options),
        lockWaitMs: input.lock_wait_seconds * 1000,
      });
    const before = await manager.database();
    let isFresh = false;
    const refresh = async (): Promise<void> => {
      if (isFresh) return;
      try {
        await run(manager.refresh());
      } catch (thrown) {
        await manager.setAskedAt(0);
        throw thrown;
      }
      isFresh = true;
    };
    const installs = input.state !== 'absent';
    if (installs && (input.name ?? input.files) === undefined) await refresh();
    else if (installs && (await isDue(input, manager, context))) await refresh();
    const plan = await planOf(input, manager, context, false).catch(async (thrown: unknown) => {
      if (isFresh || input.update_cache === false || !isStale(thrown)) throw thrown;
      const failed = await refresh().then(
        () => undefined,
        (one: unknown) => {
          if (isStale(one)) return one;
          throw one;
        },
      );
      // Another repository than those that do not answer may have it.
      return planOf(input, manager, context, false).catch((still: unknown) => {
        throw failed !== undefined && isStale(still) ? failed : still;
      });
    });
    const { change, wanted, hold } = plan;
    for (const [resource, after] of resourcesOf(plan.foreseen.steps, hold, input.hold === true))
      await context.remember(resource, after);
    if (change.install.length + change.remove.length > 0) {
      const all = (): Promise<void> => run(...manager.transaction(change, options));
      if (input.start_services || manager.kind !== 'apt') await all();
      else await withoutStarts(host, root, all);
    }
    // Whatever changed the version of a held one took its hold away (apt does).
    const toHold = notHeldSo(input.hold, wanted, await manager.database());
    if (toHold.length > 0) await run(manager.hold(toHold, input.hold === true));
    const after = await manager.database();
    const missed = wanted.find((one) =>
      installs ? !isThere(after, one, manager.isVersion) : versionIn(after, one.name),
    );
    if (missed !== undefined && !(input.state === 'latest' && versionIn(after, missed.name) !== undefined))
      throw notAsWanted(missed, versionIn(after, missed.name), installs);
    const done = differences(before, after);
    return {
      output: outputOf(manager, wanted, after, done),
      changed: done.length > 0,
      diffs: diffsOf(plan, input.hold === true),
    };
  }

  return {
    async inspect(input, context) {
      const { host, signal, dryRun } = context;
      // What was begun may be at work: first apply waits for it.
      if (context.recovering !== undefined) return { already: false };
      const manager = await packageManagerOf(host, root, signal);
      if (await isPolicyLeft(host, root)) return { already: false };
      const isOnlyRefresh = (input.name ?? input.files) === undefined;
      const isOld = await isDue(input, manager, context);
      if (isOnlyRefresh) {
        const output = outputOf(manager, [], new Map(), []);
        return isOld ? { already: false, changed: false, foreseen: output } : { already: true, output };
      }
      try {
        const plan = await planOf(input, manager, context, true);
        const foreseen = outputOf(manager, plan.wanted, plan.database, []);
        // Only a fresh look tells whether there is a newer one.
        if (isDone(plan) && !(isOld && input.state === 'latest')) return { already: true, output: foreseen };
        const diffs = diffsOf(plan, input.hold === true);
        return { already: false, diffs, ...(isDone(plan) ? { changed: false as const, foreseen } : {}) };
      } catch (thrown) {
        if (!(thrown instanceof KkError)) throw thrown;
        // Applying it looks again, with what the repositories have by then.
        if (dryRun !== true) return { already: false };
        if (input.update_cache !== false && isStale(thrown))
          throw new Unknown('what the repositories have by now is not known');
        throw thrown;
      }
    },

    apply: (input, context) =>
      inTurn(context.host.files, PACKAGES, async () => {
        const { host, signal, recovering } = context;
        if (recovering !== undefined) await followPrograms(context, recovering.bootId);
        const manager = await packageManagerOf(host, root, signal, input.lock_wait_seconds * 1000);
        if (await isPolicyLeft(host, root)) await takeAway(host, root);
        return work(input, context, manager);
      }),
  };
}

function notAsWanted({ name, version }: Wanted, present: string | undefined, installs: boolean): KkError {
  const is = present === undefined ? 'it is not installed' : `${present} is installed`;
  return new KkError({
    code: 'PACKAGE_NOT_AS_WANTED',
    message: installs
      ? `The package manager ended well, but of ${name}${version === undefined ? '' : ` ${version}`} ${is}.`
      : `The package manager ended well, but ${name} is still there: ${is}.`,
    remedy:
      'Write the name that dpkg-query -W or rpm -qa has for it: one that others only provide is not found again. See its output for what it did.',
  });
}
