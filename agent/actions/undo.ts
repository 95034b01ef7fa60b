import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Resource } from '../undo/image.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { type Conflict, nameOf, type Undoing, type Weighed, weigh } from './undo-plan.ts';

type Output = ActionOutput<'undo'>;

type Wanted = Extract<Weighed, { verdict: 'restore' }> & { resource: Resource };

/** Brings back what one step changed, the latest change first: all of it, or, where one is in the way, nothing. */
export function undoExecutor(store: Undoing): ActionExecutor<'undo'> {
  async function plan(
    input: ActionInput<'undo'>,
    { signal }: ActionContext,
  ): Promise<{ any: boolean; wanted: Wanted[] }> {
    const remembered = await store.changesOf(input);
    const wanted: Wanted[] = [];
    const conflicts: Conflict[] = [];
    for (const one of input.replaced ? [] : remembered) {
      const { resource } = one;
      const weighed = await weigh(store, one, signal);
      if (weighed.verdict === 'lost') throw notKept(resource, weighed.why);
      if (weighed.verdict === 'conflict') conflicts.push(...weighed.conflicts);
      if (weighed.verdict === 'restore') wanted.push({ ...weighed, resource });
    }
    if (conflicts.length > 0) throw conflictError(conflicts);
    return { any: remembered.length > 0, wanted };
  }

  return {
    async inspect(input, context) {
      const { any, wanted } = await plan(input, context);
      if (!any) return { already: true, output: { restored: [], left: [] } };
      return { already: false, diffs: wanted.flatMap(({ diffs }) => diffs) };
    },

    async apply(input, context) {
      const { wanted } = await plan(input, context);
      const output: Output = { restored: [], left: [] };
      for (const { resource, restore } of wanted) {
        const note = await restore();
        if (note === undefined) output.restored.push(nameOf(resource));
        else output.left.push(note);
      }
      await store.forget(input);
      return { output, changed: output.restored.length > 0, diffs: wanted.flatMap(({ diffs }) => diffs) };
    },
  };
}

function conflictError(conflicts: readonly Conflict[]): KkError {
  const first = conflicts[0]?.brief ?? '';
  return new KkError({
    code: 'UNDO_CONFLICT',
    message: `It was changed after the run, so it is not brought back: ${first}${conflicts.length > 1 ? ` (and ${conflicts.length - 1} more)` : ''}.`,
    remedy:
      'See on the node who changed it. Bring it by hand to what it was before (the evidence says what, and where the old content is kept), then roll back again: what is as it was before is left alone.',
    evidence: conflicts
      .slice(0, 50)
      .map(({ whole }) => whole)
      .join('\n'),
  });
}

function notKept(resource: Resource, why: string): KkError {
  return new KkError({
    code: 'UNDO_NOT_KEPT',
    message: `How ${nameOf(resource)} was before the run is not kept: ${why}.`,
    remedy: 'Bring it back by hand, and roll back the other tasks (--task).',
  });
}
