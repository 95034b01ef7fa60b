import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import type { Diff } from '../../shared/share.ts';
import type { Image } from '../undo/image.ts';
import { contentDiff, sha256 } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { UNIT_FOLDER } from './resources/index.ts';
import { facetsOf } from './resources/unit.ts';
import { onPath } from './system-errors.ts';
import { type Doing, planUnit } from './systemd-plan.ts';
import { presentStamp, type Stamps, stampsIn } from './systemd-stamp.ts';
import { startFailed, systemctlOf, type UnitState, unitName } from './systemd-unit.ts';
import { wantedContent } from './wanted-content.ts';

type Input = ActionInput<'systemd'>;

interface Planned {
  unit: string;
  path: string;
  content: Buffer | undefined;
  state: UnitState;
  doing: Doing[];
  diffs: Diff[];
}

function unitFiles(state: UnitState, path: string, content: Buffer | undefined): string[] {
  return [content === undefined ? state.fragment : path, ...state.dropIns].filter((file) => file !== '');
}

/** CLOCK_MONOTONIC of a start as wall clock. Time asleep makes it look earlier, which at worst restarts once more. */
function wallClock(monotonicMs: number | undefined, { host }: ActionContext): number | undefined {
  return monotonicMs === undefined ? undefined : host.nowMs() - (host.bootTimeMs() - monotonicMs);
}

/** What was done; `stamp` and `unstamp` are notes of our own and change nothing on the node. */
function changes(doing: readonly Doing[]): Doing[] {
  return doing.filter((what) => what !== 'stamp' && what !== 'unstamp');
}

async function plan(input: Input, context: ActionContext, stamps: Stamps, unitFolder: string): Promise<Planned> {
  const { host } = context;
  const unit = unitName(input.unit);
  const path = `${unitFolder}/${unit}`;
  const content = wantedContent({ content: input.content, template: input.template }, context);
  const before = content === undefined ? undefined : await host.files.read(path);
  const fileDiffers = content !== undefined && (before === undefined || !before.equals(content));
  const state = await systemctlOf(host).show(unit);
  const stamped = input.inputs !== undefined || content !== undefined;
  const doing = planUnit(
    { unit, enabled: input.enabled, state: input.state, onChange: input.on_change },
    {
      unit: state,
      fileDiffers,
      hasContent: content !== undefined,
      present: stamped ? await presentStamp(host, unitFiles(state, path, content), input.inputs ?? []) : undefined,
      stamp: await stamps.read(host, unit),
      startedAtMs: wallClock(state.startedAtMs, context),
    },
  );
  return { unit, path, content, state, doing, diffs: fileDiffers ? [contentDiff(path, before, content)] : [] };
}

/** The unit as it is about to be left; its own file is looked at once more where it is not written. */
async function left({ host }: ActionContext, { path, content, state, doing }: Planned): Promise<Image> {
  const facets = facetsOf(state);
  const starts = doing.some((what) => what === 'start' || what === 'restart');
  const after = {
    state: 'unit',
    enabled: doing.includes('enable') || (facets.enabled && !doing.includes('disable')),
    running: starts || (facets.running && !doing.includes('stop')),
  };
  if (doing.includes('write')) return { ...after, content: sha256(content ?? Buffer.alloc(0)), mode: 0o644 };
  const present = await host.files.read(path);
  return present === undefined ? { ...after, content: '' } : { ...after, content: sha256(present) };
}

function output(unit: string, state: UnitState, doing: readonly Doing[]): ActionOutput<'systemd'> {
  return { unit, active: state.active, enabled: state.enabled, done: changes(doing) };
}

/** `stateFolder`: where stamps are kept. `unitFolder`: where unit files are written. */
export function systemdExecutor(stateFolder: string, unitFolder = UNIT_FOLDER): ActionExecutor<'systemd'> {
  const stamps = stampsIn(stateFolder);

  async function carryOut(input: Input, context: ActionContext, planned: Planned): Promise<UnitState> {
    const { host, signal } = context;
    const { unit, path, content, doing } = planned;
    if (changes(doing).length > 0) await context.remember({ kind: 'unit', id: unit }, await left(context, planned));
    const systemctl = systemctlOf(host);
    const noBlock = input.no_block ? ['--no-block'] : [];
    let starts = false;
    for (const what of doing) {
      if (what === 'stamp' || what === 'unstamp') continue;
      if (what === 'write') await host.files.writeAtomic(path, content ?? Buffer.alloc(0), { mode: 0o644 });
      else if (what === 'daemon-reload') await systemctl.act(['daemon-reload'], unit, signal);
      else if (what === 'enable' || what === 'disable') await systemctl.act([what, '--', unit], unit, signal);
      else {
        starts ||= what !== 'stop';
        // One that failed too often is not started again until its failures are forgotten.
        if (what === 'start' && planned.state.active === 'failed')
          await systemctl.act(['reset-failed', '--', unit], unit, signal);
        // Drop-ins and fragment are known only now that systemd has read them; the stamp is of before the start, so that
        // what is written meanwhile counts as a change.
        const before = await systemctl.show(unit);
        const stamp = await presentStamp(host, unitFiles(before, path, content), input.inputs ?? []);
        if (what === 'restart' || what === 'reload') await stamps.remove(host, unit);
        await systemctl.act([what, ...noBlock, '--', unit], unit, signal);
        if (what === 'stop') await stamps.remove(host, unit);
        else if (input.inputs !== undefined || content !== undefined) await stamps.write(host, unit, stamp);
      }
    }
    const after = await systemctl.show(unit);
    if (starts && !input.no_block && (after.active === 'failed' || after.sub === 'auto-restart')) {
      await stamps.remove(host, unit);
      throw await startFailed(host, unit, `ActiveState=${after.active} SubState=${after.sub}`);
    }
    if (doing.includes('unstamp')) await stamps.remove(host, unit);
    if (doing.includes('stamp')) {
      await stamps.write(host, unit, await presentStamp(host, unitFiles(after, path, content), input.inputs ?? []));
    }
    return after;
  }

  return {
    async inspect(input, context) {
      const { unit, state, doing, diffs } = await plan(input, context, stamps, unitFolder);
      const foreseen = output(unit, state, doing);
      if (doing.length === 0) return { already: true, output: foreseen };
      return { already: false, diffs, foreseen, ...(changes(doing).length > 0 ? {} : { changed: false as const }) };
    },

    async apply(input, context) {
      const planned = await plan(input, context, stamps, unitFolder);
      const after = await onPath(planned.path, () => carryOut(input, context, planned));
      const { unit, doing, diffs } = planned;
      return { output: output(unit, after, doing), changed: changes(doing).length > 0, diffs };
    },
  };
}
