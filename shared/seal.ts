import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { z } from 'zod';
import type { Json } from './share.ts';

/**
 * A value that only the controller can read (ENGINE 2.7): on its way, in the journal of its node, and in the store of the
 * controller. X25519 with a key of its own for each value, HKDF-SHA256, AES-256-GCM. All in base64.
 */
export const Sealed = z.strictObject({
  /** Public key made for this value, DER. */
  sealed_by: z.string().max(200),
  /** Ciphertext and its tag of 16 bytes. */
  sealed: z.string(),
});
export type Sealed = z.infer<typeof Sealed>;

const INFO = 'kk sealed register 1';
const TAG = 16;
/** Every value has a key of its own, so one nonce does. */
const NONCE = Buffer.alloc(12);

/** `publicKey`: the controller's, X25519 as SPKI DER in base64. */
export function seal(publicKey: string, value: Json): Sealed {
  const own = generateKeyPairSync('x25519');
  const theirs = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  const sealedBy = own.publicKey.export({ format: 'der', type: 'spki' });
  const cipher = createCipheriv('aes-256-gcm', keyFor(own.privateKey, theirs, sealedBy), NONCE);
  const bytes = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return { sealed_by: sealedBy.toString('base64'), sealed: bytes.toString('base64') };
}

/** `privateKey`: PKCS #8 PEM. Throws what node:crypto throws when the value was sealed for another key, or was changed. */
export function unseal(privateKey: string, { sealed_by, sealed }: Sealed): Json {
  const sealedBy = Buffer.from(sealed_by, 'base64');
  const bytes = Buffer.from(sealed, 'base64');
  const theirs = createPublicKey({ key: sealedBy, format: 'der', type: 'spki' });
  const cipher = createDecipheriv('aes-256-gcm', keyFor(createPrivateKey(privateKey), theirs, sealedBy), NONCE);
  cipher.setAuthTag(bytes.subarray(-TAG));
  return JSON.parse(Buffer.concat([cipher.update(bytes.subarray(0, -TAG)), cipher.final()]).toString('utf8')) as Json;
}

/** A new key of a controller. */
export function newSealKey(): { privateKey: string; publicKey: string } {
  const { privateKey } = generateKeyPairSync('x25519');
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  return { privateKey: pem, publicKey: sealKeyOf(pem) };
}

/** The public key that belongs to a private one, as {@link seal} wants it. */
export function sealKeyOf(privateKey: string): string {
  return createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).toString('base64');
}

function keyFor(own: KeyObject, theirs: KeyObject, salt: Uint8Array): Buffer {
  const shared = diffieHellman({ privateKey: own, publicKey: theirs });
  return Buffer.from(hkdfSync('sha256', shared, salt, INFO, 32));
}
