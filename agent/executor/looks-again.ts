/** Steps that tell of the node and not of their inputs: a later revision looks again instead of keeping what was seen. Pure. */
import type { ActionKind } from '../../shared/actions/index.ts';
import { runsProgram } from '../../shared/actions/index.ts';
import type { TaskSpec } from '../../shared/share.ts';

const ONLY_LOOKS: ReadonlySet<string> = new Set<ActionKind>(['check', 'facts', 'stat', 'wait_for']);

/**
 * Besides actions that only look: a program of which the plan says that it changes nothing (`changed_when: false`) and may be
 * repeated (`on_interrupt: rerun`), and a unit with `inputs`, which goes by what those files hold now.
 */
export function looksAgain({ action, inputs, changedWhen, onInterrupt }: TaskSpec): boolean {
  if (ONLY_LOOKS.has(action)) return true;
  if (action === 'systemd') return typeof inputs === 'object' && inputs !== null && goesByFiles(inputs);
  return runsProgram(action) && onInterrupt === 'rerun' && changedWhen.some(({ text }) => text === 'false');
}

/** `restarted` is done whatever the files hold, so it is done once. */
function goesByFiles(inputs: object): boolean {
  return 'inputs' in inputs && !('state' in inputs && inputs.state === 'restarted');
}
