import { join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { newSealKey, type Sealed, sealKeyOf, unseal } from '../../shared/seal.ts';
import type { Json } from '../../shared/share.ts';
import { replace } from '../durable/files.ts';
import { readIfThere } from './files.ts';

/** The key for which nodes seal what only the controller may read (ENGINE 2.7). Beside the CA, and in its backups. */
export interface SealKey {
  /** As `shared/seal.ts` wants it. */
  publicKey: string;
  /** Throws when the value was sealed for another key, or was changed. */
  unseal(value: Sealed): Json;
}

/** Made at first use. Throws KkError CA_DAMAGED, and system errors of the folder. */
export async function openSealKey(folder: string): Promise<SealKey> {
  const path = join(folder, 'seal.key');
  const found = (await readIfThere(path))?.toString('utf8');
  const privateKey = found ?? newSealKey().privateKey;
  if (found === undefined) await replace(path, privateKey, 0o600, 'controller.seal');
  try {
    return { publicKey: sealKeyOf(privateKey), unseal: (value) => unseal(privateKey, value) };
  } catch (thrown) {
    throw new KkError({
      code: 'CA_DAMAGED',
      message: `${path} is not an X25519 private key in PEM.`,
      remedy: 'Restore it from a backup; without one remove it: runs that are at work may then have to be retried.',
      cause: thrown,
    });
  }
}
