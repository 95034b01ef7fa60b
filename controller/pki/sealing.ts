import { createCipheriv, createDecipheriv } from 'node:crypto';
import { join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { replace } from '../durable/files.ts';
import type { Random } from './certs.ts';
import { readIfThere } from './files.ts';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';

/** Keeps secrets unreadable where they are stored: the key lies beside the CA, apart from the database (ENGINE 2.7). */
export interface Sealing {
  /** `about`: what the text is; opened as anything else it is refused. */
  seal(text: string, about: string): Buffer;
  /** Throws KkError SECRET_UNREADABLE. */
  open(sealed: Uint8Array, about: string): string;
}

/** Reads the key from the CA's folder, or makes it at first use. Throws KkError SECRETS_KEY_DAMAGED and what the system throws. */
export async function openSealing(folder: string, random: Random): Promise<Sealing> {
  const path = join(folder, 'secrets.key');
  const found = await readIfThere(path);
  const key = found ?? Buffer.from(random(KEY_BYTES));
  if (key.length !== KEY_BYTES) throw damaged(path);
  if (found === undefined) await replace(path, key, 0o600, 'controller.secrets-key');
  return {
    seal(text, about) {
      const nonce = Buffer.from(random(NONCE_BYTES));
      const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(about));
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), body]);
    },
    open(sealed, about) {
      try {
        const bytes = Buffer.from(sealed);
        const [nonce, tag] = [bytes.subarray(0, NONCE_BYTES), bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)];
        const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
          .setAAD(Buffer.from(about))
          .setAuthTag(tag);
        return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
      } catch {
        throw unreadable(path);
      }
    },
  };
}

function damaged(path: string): KkError {
  return new KkError({
    code: 'SECRETS_KEY_DAMAGED',
    message: `${path} is not ${KEY_BYTES} bytes long, so it is not the key of the stored secrets.`,
    remedy: 'Restore it from a backup of the controller.',
  });
}

function unreadable(path: string): KkError {
  return new KkError({
    code: 'SECRET_UNREADABLE',
    message: `A stored secret cannot be opened with ${path}: one of the two is not what it was.`,
    remedy: 'Restore the state folder, pki and all, from a backup of the controller.',
  });
}
