import { KkError } from '../../shared/errors.ts';
import type { Present, Stamp } from './systemd-stamp.ts';
import type { UnitState } from './systemd-unit.ts';

export interface Wish {
  unit: string;
  enabled: boolean | undefined;
  state: 'started' | 'stopped' | 'restarted' | undefined;
  onChange: 'restart' | 'reload';
}

export interface Seen {
  unit: UnitState;
  /** The unit file differs from the content that is wanted. */
  fileDiffers: boolean;
  /** Content is stated: there will be a unit file. */
  hasContent: boolean;
  /** undefined: neither inputs nor content are stated, so nothing is stamped. */
  present: Present | undefined;
  stamp: Stamp | undefined;
  /** Wall clock of the unit's last start. */
  startedAtMs: number | undefined;
}

/** `stamp` alone changes nothing on the node but our own note. */
export type Doing =
  | 'write'
  | 'daemon-reload'
  | 'enable'
  | 'disable'
  | 'start'
  | 'stop'
  | 'restart'
  | 'reload'
  | 'stamp'
  | 'unstamp';

const ENABLED = new Set(['enabled', 'enabled-runtime', 'static', 'indirect', 'generated', 'alias', 'transient']);
const DISABLES = new Set(['enabled', 'enabled-runtime', 'linked', 'linked-runtime']);
const RUNNING = new Set(['active', 'activating', 'reloading', 'refreshing']);

/** What is to be done, in order. Pure. Throws SYSTEMD_NO_SUCH_UNIT, SYSTEMD_UNIT_MASKED. */
export function planUnit(wish: Wish, seen: Seen): Doing[] {
  const { unit } = seen;
  refuse(wish, seen);
  const doing: Doing[] = [];
  if (seen.fileDiffers) doing.push('write');
  if (seen.fileDiffers || unit.needsReload) doing.push('daemon-reload');
  if (wish.enabled === true && !ENABLED.has(unit.enabled)) doing.push('enable');
  if (wish.enabled === false && DISABLES.has(unit.enabled)) doing.push('disable');
  const running = RUNNING.has(unit.active);
  if (wish.state === 'stopped') {
    if (running || unit.active === 'deactivating') doing.push('stop');
    if (seen.stamp !== undefined) doing.push('unstamp');
    return doing;
  }
  if (wish.state === 'restarted') doing.push(running ? 'restart' : 'start');
  else if (running) doing.push(...onChange(wish, seen));
  else if (wish.state === 'started') doing.push('start');
  return doing;
}

function refuse({ unit: name, enabled, state }: Wish, { unit, hasContent }: Seen): void {
  const wantsIt = enabled === true || state === 'started' || state === 'restarted';
  if (!wantsIt) return;
  if (unit.load === 'not-found' && !hasContent) {
    throw new KkError({
      code: 'SYSTEMD_NO_SUCH_UNIT',
      message: `There is no unit ${name} on this node.`,
      remedy: 'Install the package that brings it in an earlier task, or give the unit with content or template.',
    });
  }
  if (unit.load === 'masked' || unit.enabled.startsWith('masked')) {
    throw new KkError({
      code: 'SYSTEMD_UNIT_MASKED',
      message: `${name} is masked: somebody made sure that it never starts.`,
      remedy: `If that is no longer wanted: systemctl unmask ${name}.`,
    });
  }
}

/** A running unit against what it was started with. */
function onChange({ onChange: how }: Wish, { present, stamp, startedAtMs, fileDiffers }: Seen): Doing[] {
  if (present === undefined) return [];
  if (fileDiffers) return ['restart'];
  if (stamp === undefined) {
    return startedAtMs !== undefined && startedAtMs > present.newestMs ? ['stamp'] : ['restart'];
  }
  if (stamp.unit !== present.unit) return ['restart'];
  return stamp.inputs === present.inputs ? [] : [how];
}
