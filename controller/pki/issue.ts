import { createHash, X509Certificate } from 'node:crypto';
import { groupsOf, normalSans, type Subject } from '../../shared/actions/certificate-names.ts';
import { isSignedBy, serialOf, validityOf } from '../../shared/certificates.ts';
import { KkError } from '../../shared/errors.ts';
import { type KeyedCertificate, makeNamedLeaf, type Random } from './certs.ts';
import { BACKDATE_MS } from './lifetimes.ts';
import type { CertificateLedger, IssuedCertificate } from './ports.ts';
import { readRequest } from './requests.ts';

const DAY_MS = 24 * 3_600_000;

/** A certificate that a task asks for. The names are the task's, never the node's. */
export interface CertificateWish {
  plan: string;
  ca: string;
  node: string;
  run: string;
  task: string;
  /** PEM. */
  csr: string;
  subject: Subject;
  sans: readonly string[];
  usages: readonly ('server' | 'client')[];
  days: number;
  /** Another one, also where there is a fresh one; once for each step. */
  renew: boolean;
}

/**
 * Issues a certificate and writes it down; or gives the one again that the same key has for the same names, as long as more
 * than a third of its life is left, so that a second apply changes nothing. Throws KkError CSR_INVALID, CSR_NAMES.
 */
export async function issueCertificate(
  wish: CertificateWish,
  issuer: KeyedCertificate,
  { ledger, random, nowMs }: { ledger: CertificateLedger; random: Random; nowMs: () => number },
): Promise<{ pem: string; isNew: boolean }> {
  const { csr, plan, ca, node, run, task, days, renew } = wish;
  const request = await readRequest(csr);
  if (!request.ok) throw invalid(node, request.why);
  const subject = { CN: wish.subject.CN, O: [...groupsOf(wish.subject)] };
  const sans = normalSans(wish.sans);
  refuseOtherNames(node, { subject: { CN: [subject.CN], O: subject.O }, sans }, request);

  const now = nowMs();
  const names = JSON.stringify({ ...subject, sans, usages: [...new Set(wish.usages)].sort(), days });
  const keyHash = createHash('sha256').update(request.publicKey).digest('hex');
  const known = await ledger.ofKey(plan, ca, keyHash);
  const isOfStep = (one: IssuedCertificate): boolean => one.run === run && one.task === task && one.node === node;
  const again = known.find((one) => one.names === names && (!renew || isOfStep(one)) && isGood(one, issuer, now));
  if (again !== undefined) return { pem: again.pem, isNew: false };

  const certificate = await makeNamedLeaf({
    subject,
    sans,
    usages: wish.usages,
    publicKey: request.publicKey,
    validity: {
      notBefore: now - BACKDATE_MS,
      notAfter: Math.min(now + days * DAY_MS, validityOf(issuer.certificate).notAfter),
    },
    random,
    issuer,
  });
  const pem = certificate.toString();
  const issued: IssuedCertificate = {
    serial: serialOf(certificate),
    plan,
    ca,
    node,
    run,
    task,
    names,
    keyHash,
    pem,
    ...validityOf(certificate),
  };
  await ledger.add(issued);
  return { pem, isNew: true };
}

/** Not taken back, by this CA, and with more than a third of its life left. */
function isGood(
  { revokedMs, pem, notBefore, notAfter }: IssuedCertificate,
  issuer: KeyedCertificate,
  now: number,
): boolean {
  const isFresh = notAfter - now > (notAfter - notBefore) / 3;
  return revokedMs === undefined && isFresh && isSignedBy(new X509Certificate(pem), issuer.certificate);
}

interface Names {
  subject: { [field: string]: string[] };
  sans: readonly string[];
}

/** A node that asks for other names than the task states has another task's request, or means to be somebody else. */
function refuseOtherNames(node: string, stated: Names, asked: Names): void {
  const text = ({ subject, sans }: Names): string =>
    [
      ...Object.entries(subject).flatMap(([field, values]) => [...values].sort().map((value) => `${field}=${value}`)),
      ...sans,
    ]
      .sort()
      .join(', ');
  if (text(stated) === text(asked)) return;
  throw new KkError({
    code: 'CSR_NAMES',
    message: `The request of ${node} asks for other names than the task states.`,
    remedy: 'Give certificate_request and pki.issue the same subject and sans.',
    evidence: `stated: ${text(stated)}\nasked: ${text(asked)}`.slice(0, 4000),
  });
}

function invalid(node: string, why: string): KkError {
  return new KkError({
    code: 'CSR_INVALID',
    message: `The request for a certificate that came from ${node} cannot be used: ${why}.`,
    remedy: 'Take it from the csr of a certificate_request that ran on that node.',
  });
}
