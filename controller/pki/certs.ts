/** Making keys and certificates: with `requests`, all that knows @peculiar/x509 on the controller. Nothing is stored here. */
import 'reflect-metadata';
import type { X509Certificate } from 'node:crypto';
import {
  createPrivateKey,
  createPublicKey,
  KeyObject,
  X509Certificate as NodeCertificate,
  webcrypto,
} from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { groupsOf, type Subject, sanOf } from '../../shared/actions/certificate-names.ts';
import { CLIENT_AUTH, SERVER_AUTH } from '../../shared/certificates.ts';

x509.cryptoProvider.set(webcrypto);

const EC = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** Random bytes of the asked length; handed in so that tests can choose them. */
export type Random = (size: number) => Uint8Array;

/** A CA's or server's private key with its certificate. */
export interface KeyedCertificate {
  key: KeyObject;
  certificate: X509Certificate;
}

/** From when to when a certificate holds, epoch milliseconds. */
export interface Validity {
  notBefore: number;
  notAfter: number;
}

/** A new P-256 private key. */
export async function makeKey(): Promise<KeyObject> {
  const pair = (await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  return KeyObject.from(pair.privateKey);
}

/** PKCS #8 PEM of a private key. */
export function keyToPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The inverse of {@link keyToPem}; throws on anything that is not a P-256 private key. */
export function keyFromPem(pem: string | Uint8Array): KeyObject {
  const key = createPrivateKey(typeof pem === 'string' ? pem : Buffer.from(pem));
  if (!isP256(key)) throw new Error('not a P-256 private key');
  return key;
}

/** Whether a key, public or private, is on the one curve we use. */
export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** SubjectPublicKeyInfo (DER) of a key's public half. */
export function publicKeyDer(key: KeyObject): Buffer {
  const open = key.type === 'private' ? createPublicKey(key) : key;
  return open.export({ type: 'spki', format: 'der' });
}

/**
 * A serial of 16 random bytes (RFC 5280 allows 20). The two upper bits are set to 01: the number is positive and always
 * has 32 hex digits, so its text form is unique.
 */
function makeSerial(random: Random): string {
  const bytes = Buffer.from(random(16));
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return bytes.toString('hex');
}

/** A CA certificate; self-signed without an issuer. `pathLength` = how many CAs may follow below. */
export async function makeCa(input: {
  name: string;
  key: KeyObject;
  pathLength: number;
  validity: Validity;
  random: Random;
  issuer?: KeyedCertificate;
}): Promise<X509Certificate> {
  const issuer = input.issuer ?? { key: input.key, subject: input.name };
  return build({
    subject: `CN=${input.name}`,
    issuer: 'certificate' in issuer ? issuer.certificate.subject : `CN=${input.name}`,
    publicKey: publicKeyDer(input.key),
    issuerKey: issuer.key,
    validity: input.validity,
    random: input.random,
    extensions: [
      new x509.BasicConstraintsExtension(true, input.pathLength, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
}

/** A leaf of a cluster's CA, with the names that the plan states. */
export async function makeNamedLeaf(input: {
  subject: Subject;
  /** In the form of `normalSans`. */
  sans: readonly string[];
  usages: readonly ('server' | 'client')[];
  publicKey: Buffer;
  validity: Validity;
  random: Random;
  issuer: KeyedCertificate;
}): Promise<X509Certificate> {
  const { subject, sans, usages } = input;
  const names = sans.flatMap((san) => sanOf(san) ?? []);
  return build({
    subject: [...groupsOf(subject).map((group) => ({ O: [group] })), { CN: [subject.CN] }],
    issuer: input.issuer.certificate.subject,
    publicKey: input.publicKey,
    issuerKey: input.issuer.key,
    validity: input.validity,
    random: input.random,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages.map((usage) => (usage === 'server' ? SERVER_AUTH : CLIENT_AUTH))),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
}

/** A leaf with one URI SAN and nothing else that names it; a server leaf serves and may also call. */
export async function makeLeaf(input: {
  uri: string;
  commonName: string;
  publicKey: Buffer;
  server: boolean;
  validity: Validity;
  random: Random;
  issuer: KeyedCertificate;
}): Promise<X509Certificate> {
  return build({
    subject: `CN=${input.commonName}`,
    issuer: input.issuer.certificate.subject,
    publicKey: input.publicKey,
    issuerKey: input.issuer.key,
    validity: input.validity,
    random: input.random,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(input.server ? [SERVER_AUTH, CLIENT_AUTH] : [CLIENT_AUTH]),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: input.uri }]),
    ],
  });
}

async function build(input: {
  subject: string | x509.JsonName;
  issuer: string;
  publicKey: Buffer;
  issuerKey: KeyObject;
  validity: Validity;
  random: Random;
  extensions: x509.Extension[];
}): Promise<X509Certificate> {
  const publicKey = await x509.PublicKey.create(new Uint8Array(input.publicKey));
  const issuerPublic = await x509.PublicKey.create(new Uint8Array(publicKeyDer(input.issuerKey)));
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: makeSerial(input.random),
    subject: input.subject,
    issuer: input.issuer,
    notBefore: new Date(input.validity.notBefore),
    notAfter: new Date(input.validity.notAfter),
    publicKey: await publicKey.export(EC, ['verify']),
    signingKey: input.issuerKey.toCryptoKey(EC, false, ['sign']),
    signingAlgorithm: SIGNING,
    extensions: [
      ...input.extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuerPublic),
    ],
  });
  return new NodeCertificate(Buffer.from(made.rawData));
}

/** What a signing request is good for. */
export type CsrVerdict = { ok: true; publicKey: Buffer } | { ok: false; why: string };

/**
 * Reads a PKCS #10 request: its signature must be by the key it carries (the sender holds that key) and the key on
 * P-256. Everything else in it is ignored: names come from the token and the ledger, never from the sender.
 */
export async function readCsr(pem: string): Promise<CsrVerdict> {
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    const der = Buffer.from(request.publicKey.rawData);
    if (!isP256(createPublicKey({ key: der, format: 'der', type: 'spki' })))
      return { ok: false, why: 'its key is not on the curve P-256' };
    return (await request.verify())
      ? { ok: true, publicKey: der }
      : { ok: false, why: 'its signature does not fit its key' };
  } catch (thrown) {
    return {
      ok: false,
      why: `it cannot be read (${thrown instanceof Error ? thrown.message : String(thrown)})`,
    };
  }
}
