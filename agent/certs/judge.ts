import { readableTime } from '../../shared/certificates.ts';
import type { NodeCertificate } from '../../shared/node-certificates.ts';

const DAY_MS = 86_400_000;
/** With less left than this, an outage by an expired certificate is nearer than one by two control planes at once. */
export const ALONE_MS = 3 * DAY_MS;

export type Verdict =
  | { do: 'nothing'; why: string }
  | { do: 'wait'; why: string }
  /** `alone`: also when the Lease cannot be had. */
  | { do: 'renew'; alone: boolean; why: string };

export interface Situation {
  certificates: readonly NodeCertificate[];
  renewBeforeMs: number;
  /** A person or a run asks for it, whatever is left. */
  now: boolean;
  /** The last renewal was cut short: programs may not have read the new ones. */
  unfinished: boolean;
  /** A run is at work on this node. */
  runAtWork: boolean;
  nowMs: number;
}

/** Is it time, and may it be? Pure. The certificate that ends first decides for all: kubeadm renews them together. */
export function judge({ certificates, renewBeforeMs, now, unfinished, runAtWork, nowMs }: Situation): Verdict {
  const first = earliest(certificates.filter(isKubeadms));
  if (first === undefined) return { do: 'nothing', why: 'there are no certificates of kubeadm on this node' };
  const left = first.not_after_ms - nowMs;
  const alone = left < ALONE_MS;
  const why = `${first.name} ${left < 0 ? 'ended' : 'is the first to end,'} on ${readableTime(first.not_after_ms)}`;
  if (!now && !unfinished && left >= renewBeforeMs) return { do: 'nothing', why };
  if (runAtWork && !alone) return { do: 'wait', why: `a run is at work on this node; ${why}` };
  return { do: 'renew', alone, why };
}

/** Does `kubeadm certs renew` renew it? */
export function isKubeadms({ keeper }: NodeCertificate): boolean {
  return keeper === 'timer';
}

/** The certificate that ends first. */
export function earliest(certificates: readonly NodeCertificate[]): NodeCertificate | undefined {
  return certificates.reduce<NodeCertificate | undefined>(
    (first, one) => (first === undefined || one.not_after_ms < first.not_after_ms ? one : first),
    undefined,
  );
}

/** Those that only a run can renew and that end soon. */
export function wantRun(certificates: readonly NodeCertificate[], beforeMs: number, nowMs: number): string[] {
  const soon = certificates.filter(({ keeper, not_after_ms }) => keeper === 'run' && not_after_ms - nowMs < beforeMs);
  return soon.map(({ name, not_after_ms }) => `${name} ends on ${readableTime(not_after_ms)}`);
}
