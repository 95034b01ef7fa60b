/** What names the evaluated inputs of a step: equal digests mean that it would do the same (ENGINE 3.4). */
import { runsProgram } from '../../shared/actions/index.ts';
import { blobsOf } from '../../shared/blob.ts';
import { renderFile } from '../../shared/evaluate.ts';
import type { Scope } from '../../shared/expr/index.ts';
import type { Inputs } from '../../shared/inputs.ts';
import type { Common, Json, TaskSpec } from '../../shared/share.ts';

/** A keyed hash: inputs may hold what is secret, and digests lie on disk. */
export type Digest = (text: string) => string;

/** Of one item, or of a step without a loop; files of the role that the inputs name count with their text. */
export function inputsDigest(
  digest: Digest,
  common: Common,
  spec: TaskSpec,
  inputs: Inputs,
  scope: Scope,
  item: Json | undefined,
): string {
  const { template, source, beside, src, component } = inputs.value as Partial<Record<string, unknown>>;
  const text = (folder: string, name: unknown): string | undefined =>
    typeof name === 'string' ? common.files[`${spec.role}/${folder}/${name}`] : undefined;
  const written = text('templates', template);
  const rendered = written === undefined ? undefined : renderFile(written, `${spec.role}/templates/${template}`, scope);
  const named = spec.blobs ?? {};
  const blobs = typeof src === 'string' ? blobsOf(named, src) : component === undefined ? undefined : named;
  const parts = [spec.action, item ?? null, counted(spec, inputs), rendered ?? null, text('files', source) ?? null];
  if (blobs !== undefined) parts.push(blobs);
  if (Array.isArray(beside)) parts.push(beside.map((name) => text('files', name) ?? null));
  return digest(JSON.stringify(ordered(parts)));
}

/** What is said of failures is no part of what is done. */
function counted({ action }: TaskSpec, { value }: Inputs): unknown {
  if (!runsProgram(action)) return value;
  const { remedies: _remedies, ...rest } = value as { remedies?: unknown };
  return rest;
}

/** Of the whole step; undefined: an item that its `when` left out. */
export function stepDigest(digest: Digest, items: readonly (string | undefined)[], isLoop: boolean): string {
  return digest(JSON.stringify([isLoop, ...items.map((item) => item ?? null)]));
}

/** The order in which a person wrote the keys of a map means nothing. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, part]) => [key, ordered(part)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
