import { isBesidePlan } from '../../shared/blob.ts';
import type { Position } from '../../shared/errors.ts';
import { type DocNode, nodeAt } from './document.ts';

/** A src that is nothing but the name of a setting: `{{ etcd.ca_file }}`. */
const SETTING = /^\{\{\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*\}\}$/;

/**
 * The file beside the plan that `spec.config` states under the setting that a src names, with its place there; undefined: the src
 * is something else, or no such file is stated. It is the only template whose value is known when files are taken.
 */
export function chosenFile(src: string, plan: DocNode | undefined): { path: string; at: Position } | undefined {
  const [, setting] = SETTING.exec(src) ?? [];
  const node =
    setting === undefined || plan === undefined ? undefined : nodeAt(plan, ['spec', 'config', ...setting.split('.')]);
  if (node?.kind !== 'scalar' || typeof node.value !== 'string' || !isBesidePlan(node.value)) return undefined;
  return { path: node.value, at: node.at };
}
