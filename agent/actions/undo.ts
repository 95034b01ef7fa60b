import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { modeText } from '../../shared/actions/mode.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { Image, Resource } from '../undo/image.ts';
import { type Difference, judge } from '../undo/judge.ts';
import type { Hands } from '../undo/resource.ts';
import type { UndoStore } from '../undo/store.ts';
import { contentDiff, describedDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { onPath } from './system-errors.ts';

/** The part of the store that undoing needs. */
export type Undoing = Pick<UndoStore, 'changesOf' | 'forget' | 'hands' | 'contentsFolder' | 'kinds'>;

type Output = ActionOutput<'undo'>;

interface Wanted {
  resource: Resource;
  present: Image;
  to: Image;
  hands: Hands;
  diffs: Diff[];
}

/** Brings back what one step changed, the latest change first: all of it, or, where one is in the way, nothing. */
export function undoExecutor(store: Undoing): ActionExecutor<'undo'> {
  async function plan(
    input: ActionInput<'undo'>,
    { signal }: ActionContext,
  ): Promise<{ any: boolean; wanted: Wanted[] }> {
    const remembered = await store.changesOf(input);
    const wanted: Wanted[] = [];
    const conflicts: Conflict[] = [];
    for (const { resource, changes } of input.replaced ? [] : remembered) {
      const kind = store.kinds[resource.kind];
      if (kind === undefined) throw unknownKind(resource);
      const saw = new Map<string, Buffer>();
      const hands = store.hands(signal, saw);
      const present = await onPath(resource.id, () => kind.look(resource.id, hands));
      const judged = judge(changes, present);
      if (judged.verdict === 'lost') throw notKept(resource, judged.why);
      if (judged.verdict === 'conflict')
        conflicts.push(...judged.differences.map((one) => conflictOf(resource, one, store.contentsFolder)));
      if (judged.verdict !== 'restore') continue;
      const diffs = await diffsOf(resource, present, judged.to, hands, saw);
      // Many files that are large would not fit into memory at once.
      saw.clear();
      wanted.push({ resource, present, to: judged.to, hands, diffs });
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
      for (const { resource, present, to, hands } of wanted) {
        const { kind, id } = resource;
        const note = await onPath(id, async () => store.kinds[kind]?.restore(id, to, present, hands));
        if (note === undefined) output.restored.push(nameOf(resource));
        else output.left.push(note);
      }
      await store.forget(input);
      return { output, changed: output.restored.length > 0, diffs: wanted.flatMap(({ diffs }) => diffs) };
    },
  };
}

function nameOf({ kind, id }: Resource): string {
  return kind === 'unit' ? id : `${kind === 'tree' ? 'directory' : kind.replaceAll('_', ' ')} ${id}`;
}

function textOf(facet: string, value: Image[string] | undefined): string {
  if (value === undefined || value === '') return 'nothing';
  // The digest of a hash tells who has the same password.
  if (facet === 'password') return 'not shown';
  return facet === 'mode' && typeof value === 'number' ? modeText(value) : String(value);
}

/** Content as content, the rest as lines of `facet: value`. */
async function diffsOf(
  { id }: Resource,
  present: Image,
  to: Image,
  hands: Hands,
  saw: ReadonlyMap<string, Buffer>,
): Promise<Diff[]> {
  const digestIn = (image: Image): string | undefined => {
    const digest = String(image['content'] ?? '');
    return /^[0-9a-f]{64}$/.test(digest) ? digest : undefined;
  };
  const [is, was] = [digestIn(present), digestIn(to)];
  const diffs: Diff[] = [];
  // What is there and too large to be kept was only seen by its digest.
  if (is !== undefined && is !== was && !saw.has(is))
    diffs.push(describedDiff(id, `sha256 ${is}`, was && `sha256 ${was}`));
  else if (present['content'] !== to['content']) {
    const after = was === undefined ? undefined : (saw.get(was) ?? (await hands.content(was)));
    diffs.push(contentDiff(id, is === undefined ? undefined : saw.get(is), after));
  }
  const facets = [...new Set([...Object.keys(present), ...Object.keys(to)])].filter(
    (facet) => facet !== 'content' && present[facet] !== to[facet],
  );
  if (facets.length === 0) return diffs;
  const lines = (image: Image): string[] =>
    facets.filter((facet) => image[facet] !== undefined).map((facet) => `${facet}: ${textOf(facet, image[facet])}`);
  const [before, after] = [lines(present), lines(to)];
  const unified = [`--- ${id}`, `+++ ${id}`, ...before.map((line) => `-${line}`), ...after.map((line) => `+${line}`)];
  return [
    ...diffs,
    { path: id, before: before.join('\n'), after: after.join('\n'), unified: `${unified.join('\n')}\n` },
  ];
}

function conflictOf(resource: Resource, { facet, present, left, before }: Difference, contents: string): Conflict {
  const was =
    facet === 'content' && /^[0-9a-f]{64}$/.test(String(before)) ? `${contents}/${before}` : textOf(facet, before);
  const name = nameOf(resource);
  const whole = `${name}: ${facet} is ${textOf(facet, present)}; the run left ${textOf(facet, left)}; before it was ${was}`;
  return { whole, brief: facet === 'content' ? `${name}: content is not what the run left` : whole };
}

interface Conflict {
  /** Without digests: they give away what is short and secret. */
  brief: string;
  /** For the evidence, which sensitive steps keep to themselves. */
  whole: string;
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

function unknownKind({ kind, id }: Resource): KkError {
  return new KkError({
    code: 'UNDO_NOT_KEPT',
    message: `This agent does not know how to bring back the ${kind} ${id}, which a newer one changed.`,
    remedy: 'Upgrade the agent on the node, then roll back again.',
  });
}
