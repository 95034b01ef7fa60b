import type { KeyObject } from 'node:crypto';
import { X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isSignedBy } from '../../shared/certificates.ts';
import { KkError } from '../../shared/errors.ts';
import { replace } from '../durable/files.ts';
import { type KeyedCertificate, keyFromPem, keyToPem, makeCa, makeKey, publicKeyDer, type Random } from './certs.ts';
import { readIfThere } from './files.ts';
import { BACKDATE_MS, CLUSTER_CA_LIFE_MS } from './lifetimes.ts';

/** X.520 allows no more in a common name. */
const COMMON_NAME = 64;

/** The CAs of clusters: one for each name within a plan, made on first use. */
export class ClusterCas {
  readonly #folder: string;
  readonly #random: Random;
  readonly #nowMs: () => number;
  /** By path: two that ask at once get one CA. */
  readonly #opening = new Map<string, Promise<KeyedCertificate>>();

  /** `folder`: of the controller's own CA. */
  constructor(folder: string, { random, nowMs }: { random: Random; nowMs: () => number }) {
    this.#folder = join(folder, 'clusters');
    this.#random = random;
    this.#nowMs = nowMs;
  }

  /** Throws KkError CLUSTER_CA_DAMAGED, and what the system throws. */
  async open(plan: string, ca: string): Promise<KeyedCertificate> {
    const path = join(this.#folder, plan, ca);
    const opening = this.#opening.get(path) ?? this.#read(path, `${ca} ${plan}`);
    this.#opening.set(path, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(path);
    }
  }

  async #read(path: string, name: string): Promise<KeyedCertificate> {
    const [keyPem, certificatePem] = [await readIfThere(`${path}.key`), await readIfThere(`${path}.crt`)];
    // Made first: a certificate without it has lost it, and a new CA would disown what the cluster trusts.
    if (keyPem === undefined && certificatePem !== undefined) throw damaged(`${path}.key`, 'it is missing');
    const key = keyPem === undefined ? await this.#makeKey(path) : readKey(path, keyPem);
    if (certificatePem === undefined) return { key, certificate: await this.#makeCertificate(path, name, key) };
    return { key, certificate: readCertificate(path, certificatePem, key) };
  }

  async #makeKey(path: string): Promise<KeyObject> {
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
    const key = await makeKey();
    await replace(`${path}.key`, keyToPem(key), 0o600, 'controller.cluster-ca');
    return key;
  }

  async #makeCertificate(path: string, name: string, key: KeyObject): Promise<X509Certificate> {
    const now = this.#nowMs();
    const certificate = await makeCa({
      name: name.slice(0, COMMON_NAME),
      key,
      pathLength: 0,
      validity: { notBefore: now - BACKDATE_MS, notAfter: now + CLUSTER_CA_LIFE_MS },
      random: this.#random,
    });
    await replace(`${path}.crt`, certificate.toString(), 0o644, 'controller.cluster-ca');
    return certificate;
  }
}

function readKey(path: string, pem: Buffer): KeyObject {
  try {
    return keyFromPem(pem);
  } catch {
    // What OpenSSL says about a broken key helps nobody, and might quote it.
    throw damaged(`${path}.key`, 'it is not a P-256 private key in PEM');
  }
}

function readCertificate(path: string, pem: Buffer, key: KeyObject): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    throw damaged(`${path}.crt`, 'it is not a certificate in PEM');
  }
  if (!isSignedBy(certificate, certificate)) throw damaged(`${path}.crt`, 'it is not a self-signed CA');
  if (!publicKeyDer(key).equals(publicKeyDer(certificate.publicKey)))
    throw damaged(`${path}.key`, `it is not the key of ${path}.crt`);
  return certificate;
}

function damaged(path: string, why: string): KkError {
  return new KkError({
    code: 'CLUSTER_CA_DAMAGED',
    message: `The file ${path} of a cluster's CA cannot be used: ${why}.`,
    remedy: 'Restore it from a backup of the controller. A new CA would not be trusted by the cluster that is there.',
  });
}
