/** May this agent take a share on? Decided before any step starts (ENGINE 2.9). */
import { ACTIONS, isActionKind } from '../../shared/actions/index.ts';
import { isBlock } from '../../shared/blocks.ts';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
import { bytesJson } from '../../shared/protocol/codec.ts';
import { Common, SHARE_FORMAT, Share } from '../../shared/share.ts';

const UPGRADE =
  'Upgrade kk-agent on this node to the version of the controller (kk-controller bootstrap), then apply again.';

function tooOld(message: string): KkError {
  return new KkError({ code: 'AGENT_TOO_OLD', message, remedy: UPGRADE });
}

function parsed<T>(
  what: string,
  bytes: Uint8Array,
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false; error: Error } },
): T {
  const value = bytesJson(bytes) as { format?: unknown };
  if (value?.format !== SHARE_FORMAT) {
    throw tooOld(`The ${what} has format ${JSON.stringify(value?.format)}; this agent knows format ${SHARE_FORMAT}.`);
  }
  const read = schema.safeParse(value);
  if (!read.success) throw tooOld(`The ${what} is not as this agent knows it: ${read.error.message.slice(0, 300)}.`);
  return read.data;
}

/** A run's id names a folder of the agent's, so nothing else may be in it. Throws KkError FRAME_MALFORMED. */
export function checkRunId(id: string): void {
  if (/^[0-9A-Za-z][0-9A-Za-z-]{0,63}$/.test(id)) return;
  throw new KkError({
    code: 'FRAME_MALFORMED',
    message: `${JSON.stringify(id.slice(0, 100))} is not the id of a run.`,
    remedy: UPGRADE,
  });
}

/** The node's share. Throws KkError AGENT_TOO_OLD, FRAME_MALFORMED. */
export function readShare(bytes: Uint8Array): Share {
  return parsed('share', bytes, Share);
}

/** The document common to all nodes. Throws KkError AGENT_TOO_OLD, FRAME_MALFORMED. */
export function readCommon(bytes: Uint8Array): Common {
  return parsed('common document', bytes, Common);
}

/** Why the share cannot be done here; undefined: it can. */
export function refusal(share: Share, common: Common): ErrorReport | undefined {
  for (const task of share.tasks) {
    const spec = common.tasks[task];
    if (spec === undefined) {
      return {
        code: 'SHARE_BROKEN',
        message: `The share names task ${task}, which the plan does not have.`,
        remedy: UPGRADE,
      };
    }
    if (isActionKind(spec.action) || isBlock(spec)) continue;
    return {
      code: 'AGENT_LACKS_ACTION',
      message: `This agent does not know the action "${spec.action}" of task ${spec.key}; it knows ${Object.keys(ACTIONS).join(', ')}.`,
      remedy: UPGRADE,
      node: share.node,
      task: spec.key,
      position: { file: spec.file, line: spec.at[0], column: spec.at[1] },
    };
  }
  return undefined;
}
