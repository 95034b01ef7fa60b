/** One try at an action on the node: with its folder, its output masked as it is printed, its changes remembered. */
import { join } from 'node:path';
import type { ActionKind } from '../../shared/actions/index.ts';
import { renderFile } from '../../shared/evaluate.ts';
import type { Scope } from '../../shared/expr/index.ts';
import type { Inputs } from '../../shared/inputs.ts';
import type { TaskSpec } from '../../shared/share.ts';
import { type ActionExecutor, Postponed } from '../actions/executor.ts';
import { type Attempted, attempt } from './attempt.ts';
import { isForgone } from './forgone.ts';
import { MaskedStream } from './mask.ts';
import { type AtItem, folderOf, type StepContext } from './step-context.ts';

/** Which try it is. `part`: of a recovery, whose output is on the node alone. */
export interface TryOf {
  item: number;
  number: number;
  part?: string;
}

/** `spec`: the step's own, or that of a recover task in its place. */
export async function tryOne(
  step: StepContext,
  spec: TaskSpec,
  { item, number, part }: TryOf,
  inputs: Inputs,
  scope: Scope,
  more: { signal?: AbortSignal; recovering?: { bootId: string } },
): Promise<Attempted> {
  const { ports, common, task } = step;
  const { run, share } = step.run;
  const { clock, host } = ports;
  const { signal: cancelled = ports.cancelled, ...recovering } = more;
  const node = common.nodes[share.node];
  const folder = `${item}.${number}${part === undefined ? '' : `.${part}`}`;
  const shown = new Map<string, MaskedStream>();
  const show = (stream: 'stdout' | 'stderr'): MaskedStream => {
    const name = stream === 'stdout' ? 'STREAM_STDOUT' : 'STREAM_STDERR';
    const send = (offset: number, data: Uint8Array): void => {
      const at = { run, task, item, attempt: number, at_ms: clock.nowMs() };
      ports.onLog({ ...at, stream: name, offset, data });
    };
    const known = shown.get(stream) ?? new MaskedStream(() => ports.secrets(), send);
    shown.set(stream, known);
    return known;
  };
  const tried = await attempt(spec, {
    executor: ports.actions[spec.action as ActionKind] as ActionExecutor<ActionKind>,
    inputs,
    clock,
    cancelled,
    begunIsSynced: () => ports.synced(),
    dryRun: share.check === true,
    context: {
      host,
      step: { run, task },
      folder: join(ports.runsFolder, run, folderOf(step.run, task), folder),
      log: (stream, offset, data) => {
        if (!spec.sensitive && part === undefined) show(stream).push(offset, data);
      },
      starting: () => {
        if (!ports.mayStart() || isForgone(step)) throw new Postponed();
        step.hasStarted = true;
      },
      facts: () => ports.facts(),
      node: { name: share.node, address: node?.address ?? '', groups: node?.groups ?? [] },
      blobs: spec.blobs ?? {},
      roleFile: (path) => roleFile(step, `${spec.role}/${path}`),
      render: (text, file) => renderFile(text, `${spec.role}/${file}`, scope),
      remember: async (resource, after) => {
        const why = await ports.remember({ run, task: spec.key, item }, resource, after);
        if (why !== undefined)
          cannotBeUndone(step, `${resource.kind} ${resource.id}: ${why}`, { item, attempt: number });
      },
      ...(spec.sensitive ? { sensitive: true as const } : {}),
      ...recovering,
    },
  });
  for (const stream of shown.values()) stream.flush();
  return tried;
}

/** One attempt at an item, which the journal knows first: of its own number, or (`bootId`) one that a restart cut short. */
export async function tryItem(
  step: StepContext,
  { item, extra }: AtItem,
  number: number,
  inputs: Inputs,
  scope: Scope,
  begins: { bootId: string } | { isRecovery: boolean },
): Promise<Attempted> {
  if ('isRecovery' in begins) {
    const digest = step.digestOf(inputs, scope, extra);
    const recovery = begins.isRecovery ? { recovery: true as const } : {};
    const at = { run: step.run.run, task: step.task, item, attempt: number, boot: step.ports.bootId, inputs: digest };
    step.ports.record({ type: 'attempt', ...at, ...recovery });
  }
  const recovering = 'bootId' in begins ? { recovering: begins } : {};
  return tryOne(step, step.spec, { item, number }, inputs, scope, recovering);
}

/** Told before the change is made, and in the result. */
function cannotBeUndone(step: StepContext, what: string, at: { item: number; attempt: number }): void {
  step.lost.push(what);
  const data = Buffer.from(`This change cannot be undone: ${what}.\n`);
  const where = { run: step.run.run, task: step.task, ...at, at_ms: step.ports.clock.nowMs() };
  step.ports.onLog({ ...where, stream: 'STREAM_STDERR', offset: 0, data });
}

function roleFile({ common: { files } }: StepContext, path: string): string | undefined {
  return Object.hasOwn(files, path) ? files[path] : undefined;
}
