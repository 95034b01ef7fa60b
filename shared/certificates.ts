/**
 * Judging X.509 certificates without OpenSSL's verdict. A TLS stack reports one error code per handshake and an expired
 * leaf of a foreign CA reads "expired" too; both sides therefore check signatures, names and times here, one by one.
 * Pure: certificates and the time come in, an answer goes out.
 */
import { createHash, X509Certificate } from 'node:crypto';
import type { SpiffeId } from './identity.ts';
import { parseSpiffeUri } from './identity.ts';

/** root -> issuing -> leaf: our chains are never longer (root pathlen 1, issuing pathlen 0). */
const LONGEST_PATH = 3;
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Extended key usages (RFC 5280, 4.2.1.12). */
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/** The certificates of a PEM text in its order. Throws what node:crypto throws on a broken block. */
export function parseBundle(pem: string): X509Certificate[] {
  return (pem.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block));
}

/** sha256 (hex) of the certificate's DER: the `caHash` of a token when the certificate is the root. */
export function certificateHash(certificate: X509Certificate): string {
  return createHash('sha256').update(certificate.raw).digest('hex');
}

/** The serial as lower-case hex, the form every record uses. */
export function serialOf(certificate: X509Certificate): string {
  return certificate.serialNumber.toLowerCase();
}

/** The identity in a certificate: its only SAN must be one URI of ours; anything beside it makes it a stranger's. */
export function spiffeIdOf(certificate: X509Certificate): SpiffeId | undefined {
  const san = certificate.subjectAltName ?? '';
  return san.startsWith('URI:') ? parseSpiffeUri(san.slice('URI:'.length)) : undefined;
}

/** Whether `issuer` is a CA, is named as the issuer, and its key made the signature. Says nothing about time. */
export function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    // A key of another kind makes verify throw: that is a signature that does not fit.
    return false;
  }
}

/**
 * All ways from `leaf` over `between` to one of `anchors`, by signature only, leaf first. There can be several: a CA
 * certificate renewed under the same key leaves two that fit.
 */
export function pathsToAnchor(
  leaf: X509Certificate,
  between: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
): X509Certificate[][] {
  if (leaf.ca) return [];
  const found: X509Certificate[][] = [];
  const walk = (path: X509Certificate[], tip: X509Certificate): void => {
    for (const anchor of anchors) if (isSignedBy(tip, anchor)) found.push([...path, anchor]);
    if (path.length + 1 >= LONGEST_PATH) return;
    for (const next of between) {
      if (path.some((seen) => seen.raw.equals(next.raw)) || !isSignedBy(tip, next)) continue;
      walk([...path, next], next);
    }
  };
  walk([leaf], leaf);
  return found;
}

/** When a certificate holds, in epoch milliseconds. */
export function validityOf(certificate: X509Certificate): {
  notBefore: number;
  notAfter: number;
} {
  return {
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
  };
}

/** Whether `at` (epoch ms) lies within the certificate's validity, both ends included. */
export function isValidAt(certificate: X509Certificate, at: number): boolean {
  const { notBefore, notAfter } = validityOf(certificate);
  return notBefore <= at && at <= notAfter;
}

/** Half of the certificate's life is over: time to renew it (ENGINE 4.3). */
export function isPastHalfLife(certificate: X509Certificate, now: number): boolean {
  const { notBefore, notAfter } = validityOf(certificate);
  return now >= notBefore + (notAfter - notBefore) / 2;
}

/** A moment as people read it in messages: ISO 8601, UTC, whole seconds. */
export function readableTime(at: number): string {
  return new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
