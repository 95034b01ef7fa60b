import type { X509Certificate } from 'node:crypto';
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { certificateHash, isPastHalfLife, readableTime, serialOf, validityOf } from '../../shared/certificates.ts';
import { KkError } from '../../shared/errors.ts';
import { controllerUri, isNodeName, NODE_NAME_RULE, nodeUri } from '../../shared/identity.ts';
import { openCaFolder } from './ca-folder.ts';
import type { KeyedCertificate, Random } from './certs.ts';
import { keyToPem, makeCa, makeLeaf, publicKeyDer, readCsr } from './certs.ts';
import type { Trust } from './judge-peer.ts';
import { BACKDATE_MS, CONTROLLER_LIFE_MS, ISSUING_LIFE_MS, NODE_LIFE_MS } from './lifetimes.ts';

/** A node's fresh certificate. Times are epoch milliseconds, the serial lower-case hex. */
export interface SignedNode {
  /** PEM: leaf, then the issuing CA. */
  certificatePem: string;
  serial: string;
  /** Hex sha256 of the certified public key's SubjectPublicKeyInfo. */
  keyHash: string;
  notBefore: number;
  notAfter: number;
}

/** The fleet's certificate authority, opened. Everything it answers is from memory; only `refresh` writes. */
export interface Authority {
  readonly fleetId: string;
  /** sha256 (hex) of the root certificate's DER; travels in every join token. */
  readonly caHash: string;
  /** base64 sha256 of the controller key's SubjectPublicKeyInfo, as in `curl --pinnedpubkey sha256//…`. */
  readonly controllerKeyPin: string;
  /**
   * 1 until CA rotation exists. A renewal of the issuing certificate under its own key changes the text of the bundle
   * but not whom it trusts; agents keep a bundle whose text differs, whatever its version.
   */
  readonly bundleVersion: number;
  rootPem(): string;
  /** Root + issuing CA: what agents trust. */
  bundlePem(): string;
  /** What {@link judgePeer} needs. */
  trust(): Trust;
  /** Options for the TLS server: PEM key and leaf + issuing + root. */
  controllerTls(): { key: string; cert: string };
  /**
   * Renews, under the same keys, the controller's certificate at half life and (while root.key is in the folder) the
   * issuing CA's. Call it now and then, once a day is plenty; true = hand `controllerTls()` to the server again.
   */
  refresh(): Promise<boolean>;
  /** Certifies the public key of a signing request for `name`. Throws KkError CSR_INVALID or NODE_NAME_INVALID. */
  signNode(input: { csrPem: string; name: string; now: number }): Promise<SignedNode>;
  /** MAC over a generation (ENGINE 3.6); agents give both back. */
  generationMac(generation: number): Buffer;
  verifyGenerationMac(generation: number, mac: Uint8Array): boolean;
}

/** Settings of {@link openAuthority}. */
export interface AuthorityOptions {
  /** Epoch milliseconds. */
  clock: () => number;
  /** Prescribes the fleet id at first use; later it must be the one on disk. A lower-case UUID. */
  fleetId?: string;
  random?: Random;
}

/**
 * Opens the CA in `folder`, making whatever is not there yet at first use. Throws KkError: STATE_NOT_WRITABLE,
 * CA_DAMAGED (a file is unreadable, missing or does not fit the others), CA_EXPIRED, FLEET_ID_MISMATCH.
 */
export async function openAuthority(folder: string, options: AuthorityOptions): Promise<Authority> {
  const random = options.random ?? randomBytes;
  const files = await openCaFolder(folder, {
    now: options.clock(),
    random,
    ...pick(options.fleetId),
  });
  const { fleetId, root, rootKey, issuingKey, controllerKey, generationKey } = files;
  let { issuing, controller } = files;

  const issuer = (): KeyedCertificate => ({
    key: issuingKey,
    certificate: issuing,
  });
  const bundlePem = (): string => `${pem(root)}${pem(issuing)}`;

  const renewIssuing = async (now: number): Promise<boolean> => {
    if (rootKey === undefined || !isPastHalfLife(issuing, now)) return false;
    // The first notBefore stays: the key has been a CA's since then, and old leaves still point into that time.
    const validity = {
      notBefore: validityOf(issuing).notBefore,
      notAfter: now + ISSUING_LIFE_MS,
    };
    const next = await makeCa({
      name: commonName(issuing),
      key: issuingKey,
      pathLength: 0,
      validity: capped(validity, root),
      random,
      issuer: { key: rootKey, certificate: root },
    });
    await files.keepIssuing(next);
    issuing = next;
    return true;
  };
  const renewController = async (now: number): Promise<boolean> => {
    if (controller !== undefined && !isPastHalfLife(controller, now)) return false;
    const next = await makeLeaf({
      uri: controllerUri(fleetId),
      commonName: 'kk controller',
      publicKey: publicKeyDer(controllerKey),
      server: true,
      validity: capped({ notBefore: now - BACKDATE_MS, notAfter: now + CONTROLLER_LIFE_MS }, issuing),
      random,
      issuer: issuer(),
    });
    await files.keepController(next);
    controller = next;
    return true;
  };
  const refresh = async (): Promise<boolean> => {
    const now = options.clock();
    const issuingChanged = await renewIssuing(now);
    refuseExpired(folder, issuing, now);
    return (await renewController(now)) || issuingChanged;
  };

  await refresh();
  const mac = (generation: number): Buffer =>
    createHmac('sha256', generationKey).update(`kk generation ${fleetId} ${generation}`).digest();

  return {
    fleetId,
    caHash: certificateHash(root),
    controllerKeyPin: createHash('sha256').update(publicKeyDer(controllerKey)).digest('base64'),
    bundleVersion: 1,
    rootPem: () => pem(root),
    bundlePem,
    trust: () => ({ fleetId, issuing }),
    controllerTls: () => ({
      key: keyToPem(controllerKey),
      cert: [controller, issuing, root].map((one) => (one === undefined ? '' : pem(one))).join(''),
    }),
    refresh,
    async signNode({ csrPem, name, now }) {
      refuseBadName(name);
      const csr = await readCsr(csrPem);
      if (!csr.ok) {
        throw new KkError({
          code: 'CSR_INVALID',
          message: `The signing request for node ${name} was refused: ${csr.why}.`,
          remedy: 'Let kk-agent make the request itself; update the agent if it is an old one.',
          node: name,
        });
      }
      const certificate = await makeLeaf({
        uri: nodeUri(fleetId, name),
        commonName: name,
        publicKey: csr.publicKey,
        server: false,
        validity: capped({ notBefore: now - BACKDATE_MS, notAfter: now + NODE_LIFE_MS }, issuing),
        random,
        issuer: issuer(),
      });
      return {
        certificatePem: `${pem(certificate)}${pem(issuing)}`,
        serial: serialOf(certificate),
        keyHash: createHash('sha256').update(csr.publicKey).digest('hex'),
        ...validityOf(certificate),
      };
    },
    generationMac: mac,
    verifyGenerationMac(generation, given) {
      const right = mac(generation);
      return given.length === right.length && timingSafeEqual(right, given);
    },
  };
}

function pick(fleetId: string | undefined): { fleetId?: string } {
  return fleetId === undefined ? {} : { fleetId };
}

function pem(certificate: X509Certificate): string {
  return certificate.toString();
}

function commonName(certificate: X509Certificate): string {
  return certificate.subject.replace(/^CN=/, '');
}

/** No certificate outlives its CA: it would be refused by whoever checks the whole path. */
function capped<T extends { notBefore: number; notAfter: number }>(validity: T, ca: X509Certificate): T {
  return {
    ...validity,
    notAfter: Math.min(validity.notAfter, validityOf(ca).notAfter),
  };
}

function refuseBadName(name: string): void {
  if (isNodeName(name)) return;
  throw new KkError({
    code: 'NODE_NAME_INVALID',
    message: `${JSON.stringify(name)} is not a node name.`,
    remedy: `Use ${NODE_NAME_RULE}.`,
  });
}

function refuseExpired(folder: string, issuing: X509Certificate, now: number): void {
  const { notAfter } = validityOf(issuing);
  if (now <= notAfter) return;
  throw new KkError({
    code: 'CA_EXPIRED',
    message: `The issuing CA in ${folder} expired at ${readableTime(notAfter)}.`,
    remedy: `Put root.key back into ${folder} and start the controller again: it renews the issuing CA. Check this machine's clock, too.`,
  });
}
