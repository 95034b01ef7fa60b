import type { KeyObject, X509Certificate } from 'node:crypto';
import { X509Certificate as NodeCertificate, randomUUID } from 'node:crypto';
import { access, chmod, constants, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isSignedBy, spiffeIdOf } from '../../shared/certificates.ts';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { isFleetId } from '../../shared/identity.ts';
import { replace } from '../durable/files.ts';
import type { Random } from './certs.ts';
import { keyFromPem, keyToPem, makeCa, makeKey, publicKeyDer } from './certs.ts';
import { readIfThere } from './files.ts';
import { BACKDATE_MS, ISSUING_LIFE_MS, ROOT_LIFE_MS } from './lifetimes.ts';

/** The CA as it lies in its folder, checked: every key fits its certificate and every certificate its issuer. */
export interface CaFiles {
  fleetId: string;
  root: X509Certificate;
  /** Absent when the root key was moved away to be kept offline. */
  rootKey: KeyObject | undefined;
  issuing: X509Certificate;
  issuingKey: KeyObject;
  /** 32 bytes; MACs the generation. */
  generationKey: Buffer;
  controllerKey: KeyObject;
  /** Absent at first use; the authority makes it. */
  controller: X509Certificate | undefined;
  keepIssuing(certificate: X509Certificate): Promise<void>;
  keepController(certificate: X509Certificate): Promise<void>;
}

/**
 * In the order they are made. A first start that was cut short goes on where it stopped; but a file that is missing
 * while a later one is there was lost, and making a new one would quietly found another fleet.
 */
const ORDER = [
  'fleet-id',
  'root.key',
  'root.crt',
  'issuing.key',
  'issuing.crt',
  'generation.key',
  'controller.key',
  'controller.crt',
] as const;
type FileName = (typeof ORDER)[number];

/** Reads and checks the folder, making what first use has not made yet. Throws KkError as openAuthority says. */
export async function openCaFolder(
  folder: string,
  { now, random, fleetId: wanted }: { now: number; random: Random; fleetId?: string },
): Promise<CaFiles> {
  await makeFolder(folder);
  const found = await readAll(folder);
  refuseHoles(folder, found);

  const path = (name: FileName): string => join(folder, name);
  const damaged = (name: FileName, why: string): KkError => damage(path(name), why);
  const keep = async (name: FileName, content: string | Uint8Array): Promise<void> => {
    try {
      await replace(path(name), content, name.endsWith('.key') ? 0o600 : 0o644, 'controller.ca');
    } catch (thrown) {
      throw notWritable(folder, thrown);
    }
  };
  const key = async (name: FileName): Promise<KeyObject> => {
    const content = found.get(name);
    if (content !== undefined) return readKey(content, () => damaged(name, 'it is not a P-256 private key in PEM'));
    const made = await makeKey();
    await keep(name, keyToPem(made));
    return made;
  };
  const certificate = async (name: FileName, make: () => Promise<X509Certificate>): Promise<X509Certificate> => {
    const content = found.get(name);
    if (content !== undefined) return readCertificate(content, () => damaged(name, 'it is not a certificate in PEM'));
    const made = await make();
    await keep(name, made.toString());
    return made;
  };

  let fleetId = found.get('fleet-id')?.toString('utf8').trim();
  if (fleetId === undefined) {
    fleetId = wanted ?? randomUUID();
    if (!isFleetId(fleetId)) throw fleetMismatch(folder, fleetId, 'a lower-case UUID');
    await keep('fleet-id', `${fleetId}\n`);
  }
  if (!isFleetId(fleetId)) throw damaged('fleet-id', 'it is not a lower-case UUID');
  if (wanted !== undefined && wanted !== fleetId) throw fleetMismatch(folder, wanted, fleetId);

  const offline = found.has('root.crt') && !found.has('root.key');
  const rootKey = offline ? undefined : await key('root.key');
  const from = now - BACKDATE_MS;
  const root = await certificate('root.crt', () =>
    makeCa({
      name: `kk root ${fleetId}`,
      key: needed(rootKey),
      pathLength: 1,
      validity: { notBefore: from, notAfter: now + ROOT_LIFE_MS },
      random,
    }),
  );
  if (!isSignedBy(root, root)) throw damaged('root.crt', 'it is not a self-signed CA');
  if (rootKey !== undefined && !fits(rootKey, root)) throw damaged('root.key', 'it is not the key of root.crt');

  const issuingKey = await key('issuing.key');
  const issuing = await certificate('issuing.crt', () => {
    if (rootKey === undefined) throw damaged('issuing.crt', 'it is missing, and root.key is not there to make it');
    return makeCa({
      name: `kk issuing ${fleetId}`,
      key: issuingKey,
      pathLength: 0,
      validity: { notBefore: from, notAfter: now + ISSUING_LIFE_MS },
      random,
      issuer: { key: rootKey, certificate: root },
    });
  });
  if (!isSignedBy(issuing, root)) throw damaged('issuing.crt', 'it is not signed by root.crt');
  if (!fits(issuingKey, issuing)) throw damaged('issuing.key', 'it is not the key of issuing.crt');

  const generationKey = found.get('generation.key') ?? Buffer.from(random(32));
  if (generationKey.length !== 32) throw damaged('generation.key', 'it is not 32 bytes long');
  if (!found.has('generation.key')) await keep('generation.key', generationKey);

  const controllerKey = await key('controller.key');
  const served = found.get('controller.crt');
  const controller =
    served && readCertificate(served, () => damaged('controller.crt', 'it is not a certificate in PEM'));
  if (controller !== undefined) {
    const id = spiffeIdOf(controller);
    if (!isSignedBy(controller, issuing)) throw damaged('controller.crt', 'it is not signed by issuing.crt');
    if (!fits(controllerKey, controller)) throw damaged('controller.key', 'it is not the key of controller.crt');
    if (id?.kind !== 'controller' || id.fleetId !== fleetId)
      throw damaged('controller.crt', `it is not for fleet ${fleetId}`);
  }
  return {
    fleetId,
    root,
    rootKey,
    issuing,
    issuingKey,
    generationKey,
    controllerKey,
    controller,
    keepIssuing: (next) => keep('issuing.crt', next.toString()),
    keepController: (next) => keep('controller.crt', next.toString()),
  };
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (thrown) {
    throw notWritable(folder, thrown);
  }
}

async function readAll(folder: string): Promise<Map<FileName, Buffer>> {
  const found = new Map<FileName, Buffer>();
  for (const name of ORDER) {
    try {
      const content = await readIfThere(join(folder, name));
      if (content !== undefined) found.set(name, content);
    } catch (thrown) {
      throw damage(
        join(folder, name),
        `it cannot be read (${thrown instanceof Error ? thrown.message : String(thrown)})`,
      );
    }
  }
  return found;
}

function refuseHoles(folder: string, found: ReadonlyMap<FileName, Buffer>): void {
  const last = ORDER.findLastIndex((name) => found.has(name));
  const hole = ORDER.slice(0, last + 1).find(
    (name) => !found.has(name) && !(name === 'root.key' && found.has('root.crt')),
  );
  if (hole !== undefined) throw damage(join(folder, hole), 'it is missing, while files made after it are there');
}

function readKey(pem: Buffer, problem: () => KkError): KeyObject {
  try {
    return keyFromPem(pem);
  } catch {
    // What OpenSSL says about a broken key helps nobody, and might quote it.
    throw problem();
  }
}

function readCertificate(pem: Buffer, problem: () => KkError): X509Certificate {
  try {
    return new NodeCertificate(pem);
  } catch {
    throw problem();
  }
}

function fits(key: KeyObject, certificate: X509Certificate): boolean {
  return publicKeyDer(key).equals(publicKeyDer(certificate.publicKey));
}

/** refuseHoles guarantees it: without root.crt the root key was read or has just been made. */
function needed<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the root key is missing while the root is being made');
  return value;
}

function damage(path: string, why: string): KkError {
  return new KkError({
    code: 'CA_DAMAGED',
    message: `The certificate authority's file ${path} cannot be used: ${why}.`,
    remedy:
      'Restore the whole folder from a backup. Only if no node was ever joined, remove the folder; a new fleet is then founded.',
  });
}

function fleetMismatch(folder: string, wanted: string, present: string): KkError {
  return new KkError({
    code: 'FLEET_ID_MISMATCH',
    message: `The fleet id ${wanted} was asked for, but ${folder} needs ${present}.`,
    remedy: 'Leave the fleet id out, or name the right state folder.',
  });
}

function notWritable(folder: string, cause: unknown): KkError {
  const full = isSystemError(cause, 'ENOSPC') || isSystemError(cause, 'EDQUOT');
  return new KkError({
    code: full ? 'DISK_FULL' : 'STATE_NOT_WRITABLE',
    message: `The folder ${folder} cannot be written (${cause instanceof Error ? cause.message : String(cause)}).`,
    remedy: full
      ? 'Free some space on that file system, then start again; nothing is lost.'
      : 'Start the controller as the owner of its state folder, or name another state folder.',
    cause,
  });
}
