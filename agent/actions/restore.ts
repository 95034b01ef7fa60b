import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Image, Resource } from '../undo/image.ts';
import type { Remembered, StepOf } from '../undo/store.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { facetsOf } from './resources/unit.ts';
import { presentStamp, type Stamp, stampsIn } from './systemd-stamp.ts';
import { systemctlOf } from './systemd-unit.ts';
import { nameOf, type Undoing, type Weighed, weigh } from './undo-plan.ts';

type Output = ActionOutput<'restore'>;

interface Plan {
  wanted: (Extract<Weighed, { verdict: 'restore' }> & { resource: Resource })[];
  /** Resources that are as they were. */
  asBefore: Resource[];
  /** What is left alone, and why. */
  left: string[];
}

/**
 * The role of a step by its task's key, `play/role/task`. Names of roles have slashes (`cni/bridge`), ids of tasks none. Of a play
 * with a slash in its name it is no role's name, so that its steps are left to a rollback.
 */
function roleOf({ task }: StepOf): string {
  return task.split('/').slice(1, -1).join('/');
}

/**
 * That a unit was started, stopped, enabled or disabled since is nobody's work to be kept: kubeadm starts the kubelet, and a person
 * stops it. Only how it was at first counts.
 */
function whateverRuns({ resource, changes }: Remembered): Remembered {
  if (resource.kind !== 'unit') return { resource, changes };
  const without = ({ running: _running, enabled: _enabled, ...image }: Image): Image => image;
  return {
    resource,
    changes: changes.map(({ before, after, ...change }, index) => {
      return { ...change, before: index === 0 ? before : without(before), after: without(after) };
    }),
  };
}

/**
 * Brings back what the steps of roles changed in all runs, what they touched first last. Unlike the undoing of one step it does
 * what it can: a machine that is given away must not keep everything because of one file that somebody has edited.
 */
export function restoreExecutor(store: Undoing, stateFolder: string): ActionExecutor<'restore'> {
  const stamps = stampsIn(stateFolder);

  /** A unit that runs on was started with files that are others now, which come back in whatever order: it is started anew. */
  async function restartStale(unit: string, stamp: Stamp, { host, signal }: ActionContext): Promise<boolean> {
    if (stamp.paths === undefined) return false;
    const systemctl = systemctlOf(host);
    if (!facetsOf(await systemctl.show(unit)).running) return false;
    if ((await presentStamp(host, [], stamp.paths)).inputs === stamp.inputs) return false;
    await systemctl.act(['restart', '--', unit], unit, signal);
    await stamps.remove(host, unit);
    return true;
  }

  const ofRoles = ({ roles }: ActionInput<'restore'>) => {
    return (step: StepOf): boolean => roles.includes(roleOf(step));
  };

  async function plan(input: ActionInput<'restore'>, { signal }: ActionContext): Promise<Plan> {
    const planned: Plan = { wanted: [], asBefore: [], left: [] };
    for (const remembered of await store.changesBy(ofRoles(input))) {
      const { resource } = remembered;
      const weighed = await orWhy(resource, signal, () => weigh(store, whateverRuns(remembered), signal));
      if (typeof weighed === 'string') planned.left.push(weighed);
      else if (weighed.verdict === 'restore') planned.wanted.push({ ...weighed, resource });
      else if (weighed.verdict === 'as-before') planned.asBefore.push(resource);
      else if (weighed.verdict === 'lost')
        planned.left.push(`${nameOf(resource)}: it is not kept how it was: ${weighed.why}`);
      else planned.left.push(...weighed.conflicts.map(({ brief }) => brief));
    }
    return planned;
  }

  return {
    async inspect(input, context) {
      const { wanted, asBefore, left } = await plan(input, context);
      if (wanted.length + asBefore.length === 0) return { already: true, output: { restored: [], left } };
      const diffs = wanted.flatMap((one) => one.diffs);
      const foreseen = { restored: wanted.map(({ resource }) => nameOf(resource)), left };
      return { already: false, diffs, foreseen, ...(wanted.length > 0 ? {} : { changed: false as const }) };
    },

    async apply(input, context) {
      const { wanted, asBefore, left } = await plan(input, context);
      const output: Output = { restored: [], left: [...left] };
      const done = [...asBefore];
      const stamped = new Map<Resource, Stamp>();
      for (const resource of [...asBefore, ...wanted.map((one) => one.resource)]) {
        const stamp = resource.kind === 'unit' ? await stamps.read(context.host, resource.id) : undefined;
        if (stamp) stamped.set(resource, stamp);
      }
      for (const { resource, restore } of wanted) {
        const note = await orWhy(resource, context.signal, restore);
        if (note !== undefined) output.left.push(note);
        else {
          output.restored.push(nameOf(resource));
          done.push(resource);
        }
      }
      let restarted = false;
      for (const [resource, stamp] of stamped) {
        const went = await orWhy(resource, context.signal, () => restartStale(resource.id, stamp, context));
        if (typeof went === 'string') output.left.push(went);
        else restarted ||= went;
      }
      await store.forgetBy(ofRoles(input), done);
      context.log('stderr', 0, Buffer.from(output.left.map((why) => `Left as it is: ${why}.\n`).join('')));
      return { output, changed: restarted || output.restored.length > 0, diffs: wanted.flatMap(({ diffs }) => diffs) };
    },
  };
}

/** The value, or what is in the way of this resource; a cancel goes through. */
async function orWhy<T>(resource: Resource, signal: AbortSignal, work: () => Promise<T>): Promise<T | string> {
  try {
    return await work();
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof KkError) return `${nameOf(resource)}: ${thrown.code}: ${thrown.message}`;
    throw thrown;
  }
}
