import type { BlobRef } from '../../shared/blob.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import type { Inventory, Plan, TaskDocument } from '../plan/types.ts';
import type { CopyRequest } from '../server/operations.ts';
import { execPlan } from './exec-plan.ts';

/** The plan of `cp`: that of `exec` with a copy or fetch for each thing that is named. Like exec it takes no locks. */
export function copyPlan(inventory: Inventory, nodes: readonly string[], request: CopyRequest): Plan {
  const name = `cp ${request.copies.map(({ from }) => from).join(' ')}`.slice(0, 120);
  const plan = execPlan(inventory, nodes, {
    selector: [],
    argv: [name],
    timeoutSeconds: 0,
    forks: undefined,
    by: request.by,
  });
  const [template] = plan.roles['exec']?.tasks ?? [];
  if (template === undefined) return plan;
  const tasks = request.copies.map(
    (copy, index): TaskDocument => ({
      ...template,
      id: `cp-${index + 1}`,
      name: copy.from.slice(0, 120),
      ...(request.direction === 'to' ? given(copy) : taken(copy, nodes.length)),
    }),
  );
  return { ...plan, name, roles: { exec: { name: 'exec', defaults: {}, files: {}, tasks } } };
}

type Copy = CopyRequest['copies'][number];

function given({ from, to, blobs }: Copy): Pick<TaskDocument, 'action' | 'inputs' | 'blobs'> {
  return { action: 'copy', inputs: { src: literal(from), dest: literal(to) }, blobs: blobs as Record<string, BlobRef> };
}

/** Of several nodes each has a folder. */
function taken({ from, to }: Copy, nodes: number): Pick<TaskDocument, 'action' | 'inputs'> {
  const inputs = {
    path: literal(from),
    dest: to,
    layout: nodes > 1 ? 'node' : 'flat',
    max_bytes: Number.MAX_SAFE_INTEGER,
  };
  return { action: 'fetch', inputs };
}

/** A person typed it: braces are theirs, not a template's. */
function literal(text: string): string {
  return isTemplate(text) ? `{{ ${JSON.stringify(text)} }}` : text;
}
