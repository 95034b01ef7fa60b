import { modeText } from '../../shared/actions/mode.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { Image, Resource } from '../undo/image.ts';
import { type Difference, judge } from '../undo/judge.ts';
import type { Hands } from '../undo/resource.ts';
import type { Remembered, UndoStore } from '../undo/store.ts';
import { contentDiff, describedDiff, hiddenDiff, isHidden } from './content-diff.ts';
import { onPath } from './system-errors.ts';

/** The part of the store that undoing needs. */
export type Undoing = Pick<
  UndoStore,
  'changesOf' | 'changesBy' | 'forget' | 'forgetBy' | 'hands' | 'contentsFolder' | 'kinds'
>;

/** What was remembered of a resource, against how it is now. */
export type Weighed =
  | { verdict: 'as-before' }
  /** `restore` answers with a note of what it left and why, if anything. */
  | { verdict: 'restore'; diffs: Diff[]; restore(): Promise<string | undefined> }
  | { verdict: 'conflict'; conflicts: Conflict[] }
  | { verdict: 'lost'; why: string };

/** What is to be done about one resource. Only looks. Throws UNDO_NOT_KEPT for a kind that a newer agent made, UNDO_DAMAGED. */
export async function weigh(store: Undoing, { resource, changes }: Remembered, signal: AbortSignal): Promise<Weighed> {
  const kind = store.kinds[resource.kind];
  if (kind === undefined) throw unknownKind(resource);
  const saw = new Map<string, Buffer>();
  const hands = store.hands(signal, saw);
  const present = await onPath(resource.id, () => kind.look(resource.id, hands));
  const judged = judge(changes, present);
  if (judged.verdict === 'conflict')
    return {
      verdict: 'conflict',
      conflicts: judged.differences.map((one) => conflictOf(resource, one, store.contentsFolder)),
    };
  if (judged.verdict !== 'restore') return judged;
  const diffs = await diffsOf(resource, present, judged.to, hands, saw);
  // Many files that are large would not fit into memory at once.
  saw.clear();
  const restore = () => onPath(resource.id, () => kind.restore(resource.id, judged.to, present, hands));
  return { verdict: 'restore', diffs, restore };
}

/** How people are told of a resource. */
export function nameOf({ kind, id }: Resource): string {
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
    const isKept = [present, to].some(({ mode }) => typeof mode === 'number' && isHidden(mode));
    diffs.push((isKept ? hiddenDiff : contentDiff)(id, is === undefined ? undefined : saw.get(is), after));
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

export interface Conflict {
  /** Without digests: they give away what is short and secret. */
  brief: string;
  /** For the evidence, which sensitive steps keep to themselves. */
  whole: string;
}

function unknownKind({ kind, id }: Resource): KkError {
  return new KkError({
    code: 'UNDO_NOT_KEPT',
    message: `This agent does not know how to bring back the ${kind} ${id}, which a newer one changed.`,
    remedy: 'Upgrade the agent on the node, then roll back again.',
  });
}
