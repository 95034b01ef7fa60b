import type { X509Certificate } from 'node:crypto';
import { CLIENT_AUTH, isSignedBy, readableTime, serialOf, spiffeIdOf, validityOf } from '../../shared/certificates.ts';
import { isAccepted } from './ledger.ts';
import { RENEW_GRACE_MS } from './lifetimes.ts';
import type { IdentityReader } from './ports.ts';

/** What is needed to know our own certificates. */
export interface Trust {
  fleetId: string;
  issuing: X509Certificate;
}

/** May this peer come in, as whom, and for what? */
export type PeerVerdict =
  | { kind: 'node'; name: string; serial: string }
  | { kind: 'renew-only'; name: string; serial: string; expiredAt: number }
  | {
      kind: 'refused';
      code: string;
      detail: string;
      remedy: string;
      name?: string;
      serial?: string;
    };

const JOIN_AGAIN = 'run on it the line of `kk-controller join-command --replace NAME`';

/**
 * Judges the certificate of an upgrade, new or resumed (ENGINE 4.3). It looks at the certificate itself and at the
 * ledger; what the TLS stack thought of it does not matter. What else the peer sent (its chain) is not asked:
 * our own issuing CA is enough for every certificate we issue. `now` is epoch milliseconds.
 */
export function judgePeer(input: {
  certificate: X509Certificate | undefined;
  trust: Trust;
  now: number;
  ledger: IdentityReader;
}): PeerVerdict {
  const { certificate, trust, now } = input;
  if (certificate === undefined) {
    return refuse('CERT_MISSING', 'the peer showed no certificate', 'join the node with a token first');
  }
  const serial = serialOf(certificate);
  const { notBefore, notAfter } = validityOf(certificate);

  if (!comesFromUs(certificate, trust.issuing)) {
    return refuse(
      'CERT_FOREIGN_CA',
      `the certificate (issuer ${oneLine(certificate.issuer)}) is not from the CA of this fleet`,
      `the node belongs to another controller, or this one lost its state: restore its backup, or ${JOIN_AGAIN}`,
      { serial },
    );
  }
  const id = spiffeIdOf(certificate);
  if (id?.kind !== 'node' || id.fleetId !== trust.fleetId || !certificate.keyUsage?.includes(CLIENT_AUTH)) {
    const said = oneLine(certificate.subjectAltName ?? 'no name');
    return refuse('CERT_WRONG_NAME', `the certificate names no node of this fleet (${said})`, JOIN_AGAIN, { serial });
  }
  const who = { name: id.name, serial };
  const known = input.ledger.node(id.name);
  if (known === undefined) {
    return refuse(
      'CERT_UNKNOWN_NODE',
      `no node ${id.name} is on record here`,
      `join the node again with a new token`,
      who,
    );
  }
  if (known.revoked) {
    return refuse('CERT_REVOKED', `the certificates of node ${id.name} were revoked`, JOIN_AGAIN, who);
  }
  if (now < notBefore) {
    return refuse(
      'CLOCK_SKEW',
      `the certificate of ${id.name} is valid from ${readableTime(notBefore)}, this controller's clock says ${readableTime(now)}`,
      'set the clock of the controller right (chrony or systemd-timesyncd), then try again',
      who,
    );
  }
  const accepted = isAccepted(known, serial);
  if (now <= notAfter) {
    if (accepted) return { kind: 'node', ...who };
    return refuse('CERT_SUPERSEDED', `node ${id.name} has a newer certificate than this one`, JOIN_AGAIN, who);
  }
  if (accepted && now <= notAfter + RENEW_GRACE_MS) return { kind: 'renew-only', ...who, expiredAt: notAfter };
  const why = accepted ? 'longer ago than the 400 days of grace' : 'and it is not the last one issued to this node';
  return refuse(
    'CERT_EXPIRED',
    `the certificate of ${id.name} expired at ${readableTime(notAfter)}, ${why}`,
    JOIN_AGAIN,
    who,
  );
}

/**
 * Signed by our issuing CA, and no longer valid than that CA. An expired leaf passes: it is judged as of its own
 * notAfter. The root's signature on the issuing CA was checked when the authority was opened.
 */
function comesFromUs(leaf: X509Certificate, issuing: X509Certificate): boolean {
  return !leaf.ca && isSignedBy(leaf, issuing) && validityOf(leaf).notAfter <= validityOf(issuing).notAfter;
}

function refuse(
  code: string,
  detail: string,
  remedy: string,
  who: { name?: string; serial?: string } = {},
): PeerVerdict {
  return { kind: 'refused', code, detail, remedy, ...who };
}

/** A distinguished name as node prints it has one part a line; peers choose it, so control characters go. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').slice(0, 200);
}
