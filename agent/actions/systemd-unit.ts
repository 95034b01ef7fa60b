import { KkError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';

/** What systemd knows of a unit. */
export interface UnitState {
  /** not-found, loaded, masked, error, … */
  load: string;
  active: string;
  sub: string;
  /** enabled, disabled, static, …; empty without a unit file. */
  enabled: string;
  fragment: string;
  dropIns: string[];
  needsReload: boolean;
  /** CLOCK_MONOTONIC milliseconds when it last began to start; undefined: not since boot. */
  startedAtMs: number | undefined;
}

const PROPERTIES =
  'LoadState,ActiveState,SubState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload,' +
  'ExecMainStartTimestampMonotonic,InactiveExitTimestampMonotonic';

const SUFFIX = /\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$/;

export function unitName(unit: string): string {
  return SUFFIX.test(unit) ? unit : `${unit}.service`;
}

/** Starting may take as long as the unit's own TimeoutStartSec allows; systemd ends it, not we. */
const SYSTEMCTL_MS = 15 * 60_000;

export interface Systemctl {
  show(unit: string): Promise<UnitState>;
  /** Throws `code` with `what` when systemctl refuses. */
  act(args: readonly string[], unit: string, signal: AbortSignal): Promise<void>;
}

export function systemctlOf(host: Host): Systemctl {
  return {
    async show(unit) {
      const { code, stdout, stderr } = await host.run(['systemctl', 'show', `--property=${PROPERTIES}`, '--', unit]);
      if (code !== 0) throw noSystemd(stderr);
      return parseShow(stdout);
    },
    async act(args, unit, signal) {
      const { code, stderr } = await host.run(['systemctl', ...args], { timeoutMs: SYSTEMCTL_MS, signal });
      if (code !== 0) throw await failed(host, args, unit, stderr);
    },
  };
}

/** Pure: the lines of `systemctl show`. */
export function parseShow(text: string): UnitState {
  const properties = new Map(
    text.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
  );
  const value = (name: string) => properties.get(name) ?? '';
  const begun = Number(value('ExecMainStartTimestampMonotonic')) || Number(value('InactiveExitTimestampMonotonic'));
  return {
    load: value('LoadState'),
    active: value('ActiveState'),
    sub: value('SubState'),
    enabled: value('UnitFileState'),
    fragment: value('FragmentPath'),
    dropIns: value('DropInPaths')
      .split(' ')
      .filter((path) => path !== ''),
    needsReload: value('NeedDaemonReload') === 'yes',
    startedAtMs: begun > 0 ? begun / 1000 : undefined,
  };
}

function noSystemd(stderr: string): KkError {
  return new KkError({
    code: 'SYSTEMD_UNAVAILABLE',
    message: 'systemd does not answer on this node.',
    remedy: 'The node must have been booted with systemd; see `systemctl status` there.',
    evidence: stderr.trim().slice(-2000),
  });
}

const STARTS = new Set(['start', 'restart', 'reload']);

async function failed(host: Host, args: readonly string[], unit: string, stderr: string): Promise<KkError> {
  const verb = args.find((arg) => !arg.startsWith('-')) ?? '';
  if (STARTS.has(verb)) return startFailed(host, unit, stderr);
  return new KkError({
    code: 'SYSTEMD_FAILED',
    message: `systemctl ${args.join(' ')} failed.`,
    remedy: 'See the evidence, and `systemctl status` on the node.',
    evidence: stderr.trim().slice(-2000),
  });
}

const EVIDENCE_LINES = 20;

/** With what the unit said before it died: its journal, else systemd's status. */
export async function startFailed(host: Host, unit: string, stderr: string): Promise<KkError> {
  const last = String(EVIDENCE_LINES);
  const journal = await host.run(['journalctl', '--no-pager', '--quiet', '--output=short-iso', '-n', last, '-u', unit]);
  let text = journal.code === 0 ? journal.stdout.trim() : '';
  if (text === '') text = (await host.run(['systemctl', 'status', '--no-pager', '--full', '--', unit])).stdout.trim();
  const lines = text.split('\n').slice(-EVIDENCE_LINES);
  return new KkError({
    code: 'SYSTEMD_START_FAILED',
    message: `${unit} did not start.`,
    remedy: `See why in the evidence, or with: journalctl -u ${unit}. Mend its configuration and run again.`,
    evidence: [stderr.trim(), ...lines]
      .filter((line) => line !== '')
      .join('\n')
      .slice(-8000),
  });
}
