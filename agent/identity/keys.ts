import type { X509Certificate } from 'node:crypto';
import { createHash, createPublicKey, generateKeyPairSync, KeyObject, webcrypto } from 'node:crypto';
import { groupsOf, type Subject, sanOf } from '../../shared/actions/certificate-names.ts';
import { isPastHalfLife } from '../../shared/certificates.ts';
import { keyFingerprint } from '../../shared/identity.ts';

const EC = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** A new private key (PKCS #8 PEM) and the request that proves we hold it (PKCS #10 PEM). */
export interface KeyAndCsr {
  keyPem: string;
  csrPem: string;
}

/** Makes a P-256 key and its signing request. The name in it is for people; the controller ignores it. */
export async function makeKeyAndCsr(name: string): Promise<KeyAndCsr> {
  const pair = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  const keyPem = KeyObject.from(pair.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
  return { keyPem, csrPem: await requestFor([{ CN: [name] }], pair) };
}

/** The signing request for a key that is there already: an enrolment that was cut short goes on with it. */
export async function makeCsr(name: string, key: { privateKey: KeyObject; publicKey: KeyObject }): Promise<string> {
  return requestFor([{ CN: [name] }], pairOf(key.privateKey, key.publicKey));
}

/** A new P-256 private key. */
export function makeKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: EC.namedCurve }).privateKey;
}

/** PEM of a private key as SEC 1 has it: kubeadm before 1.22 hands on no other form of an EC key to control planes that join. */
export function keyPemOf(key: KeyObject): string {
  return key.export({ type: 'sec1', format: 'pem' }).toString();
}

/** Whether a key is on the one curve we use. */
export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** The signing request (PKCS #10 PEM) for a certificate of a cluster. `sans`: `DNS:name`, `IP:address`. */
export async function requestOf(key: KeyObject, subject: Subject, sans: readonly string[]): Promise<string> {
  const groups = groupsOf(subject).map((group) => ({ O: [group] }));
  const names = sans.flatMap((san) => sanOf(san) ?? []);
  return requestFor([...groups, { CN: [subject.CN] }], pairOf(key, createPublicKey(key)), names);
}

function pairOf(privateKey: KeyObject, publicKey: KeyObject): webcrypto.CryptoKeyPair {
  return {
    privateKey: privateKey.toCryptoKey(EC, true, ['sign']),
    publicKey: publicKey.toCryptoKey(EC, true, ['verify']),
  };
}

/** As the controller shows it to who approves the join. */
export function publicKeyFingerprint(key: KeyObject): string {
  return keyFingerprint(
    createHash('sha256')
      .update(key.export({ type: 'spki', format: 'der' }))
      .digest('hex'),
  );
}

/** Loaded on use: it takes 10 MB of memory, and an agent makes a request twice a week. */
async function loadX509() {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

async function requestFor(
  name: { [field: string]: string[] }[],
  keys: webcrypto.CryptoKeyPair,
  sans: { type: 'dns' | 'ip'; value: string }[] = [],
): Promise<string> {
  const x509 = await loadX509();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name,
    keys,
    signingAlgorithm: SIGNING,
    extensions: sans.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(sans)],
  });
  return request.toString('pem');
}

/** Half of the certificate's life is over (ENGINE 4.3). `now` is epoch milliseconds. */
export function needsRenewal(certificate: X509Certificate, now: number): boolean {
  return isPastHalfLife(certificate, now);
}
