import { readableTime } from '../../../shared/certificates.ts';
import type { Keeper } from '../../../shared/node-certificates.ts';
import type { ToldCertificates } from '../certs-watch.ts';
import type { Colors } from './colors.ts';
import { table } from './table.ts';
import { clean } from './text.ts';

const DAY_MS = 86_400_000;
/** With less left a line is red. */
const SOON_MS = 30 * DAY_MS;

const KEPT_BY: Readonly<Record<Keeper, string>> = {
  timer: 'timer',
  kubelet: 'kubelet',
  run: 'certs renew',
  agent: 'agent',
  nobody: '-',
};

/** One line for each certificate, then what the timers did last. */
export function certificateRows(told: readonly ToldCertificates[], now: number, colors: Colors): string[] {
  const rows = told.flatMap(({ node, certificates }) =>
    certificates.map(({ name, not_after_ms: end, issuer, keeper }) => [
      clean(node),
      clean(name),
      readableTime(end),
      // An agent's lives for a week and is renewed half-way: that is as it should be.
      end - now < SOON_MS && keeper !== 'agent' ? colors.red(left(end - now)) : left(end - now),
      clean(issuer),
      KEPT_BY[keeper],
    ]),
  );
  if (rows.length === 0) return ['No certificates were found.'];
  const renewals = told.flatMap(({ node, renewal }) => {
    if (renewal === undefined) return [];
    const { state, at_ms, message } = renewal;
    const isWell = state === 'good' || state === 'renewed';
    const word = isWell ? colors.green(state) : colors.red(state);
    return [`${clean(node)}: last looked ${readableTime(at_ms)}: ${word}: ${clean(message)}`];
  });
  return [...table(['node', 'name', 'ends', 'left', 'issuer', 'renewed by'], rows), ...renewals];
}

/** `364d`, `5h`, `ended`. */
function left(ms: number): string {
  if (ms <= 0) return 'ended';
  return ms >= DAY_MS ? `${Math.floor(ms / DAY_MS)}d` : `${Math.floor(ms / 3_600_000)}h`;
}
