import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { parseBundle, spiffeIdOf } from '../../shared/certificates.ts';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { makePrivateFolder, move, remove, replace } from '../durable/files.ts';
import { notWritable, readIfThere } from './files.ts';

const identitySchema = z.object({
  /** The node's name in its certificate. */
  name: z.string(),
  fleetId: z.string(),
  /** PKCS #8 PEM. */
  keyPem: z.string(),
  /** PEM: leaf, then the issuing CA. */
  certificatePem: z.string(),
  /** PEM: the CAs to trust. */
  bundlePem: z.string(),
  bundleVersion: z.number().int(),
  /** `https://host:port`, best first. */
  endpoints: z.array(z.string()),
});

/** All that makes this machine a node of its fleet. One value in one file: key and certificate cannot drift apart. */
export type Identity = Readonly<z.infer<typeof identitySchema>>;

const FILES = {
  current: 'identity.json',
  candidate: 'identity.candidate.json',
  joining: 'joining.json',
} as const;

const joiningSchema = z.object({
  token: z.string(),
  name: z.string(),
  keyPem: z.string(),
});

/**
 * The agent's identity on disk, files 0600 in a 0700 folder, each written whole or not at all. A renewal or a new trust
 * bundle is staged as the candidate, tried on a connection, then committed or reverted; until then the old one stays.
 * After a crash the candidate is still there: try it again.
 */
export class IdentityStore {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The identity in use; undefined on a machine that never joined. Throws KkError IDENTITY_DAMAGED. */
  async load(): Promise<Identity | undefined> {
    return this.#read(FILES.current);
  }

  /** The one on trial, if any. Throws KkError IDENTITY_DAMAGED. */
  async candidate(): Promise<Identity | undefined> {
    return this.#read(FILES.candidate);
  }

  /** The first identity, or one that needs no trial (new endpoints that were verified). Ends a join in progress. */
  async save(identity: Identity): Promise<void> {
    await this.#write(FILES.current, checked(identity, this.#path(FILES.current)));
    await this.#remove(FILES.joining);
  }

  /** Puts an identity on trial; the current one stays as it is. */
  async stage(identity: Identity): Promise<void> {
    await this.#write(FILES.candidate, checked(identity, this.#path(FILES.candidate)));
  }

  /** The candidate has worked: it becomes the identity, in one atomic step. */
  async commit(): Promise<Identity> {
    const next = await this.candidate();
    if (next === undefined) throw new Error('there is no candidate identity to commit');
    await this.#guard(() => move(this.#path(FILES.candidate), this.#path(FILES.current), 'agent.identity.commit'));
    return next;
  }

  /** The candidate did not work: forget it. */
  async revert(): Promise<void> {
    await this.#remove(FILES.candidate);
  }

  /**
   * The key for joining with this token under this name: the one of an earlier try whose answer was lost, or a new one
   * from `make`, kept before it is used. Only a hash of the token is written.
   */
  async joiningKey(token: string, name: string, make: () => Promise<string> = noKey): Promise<string> {
    const tokenHash = createHash('sha256').update(token).digest('hex');
    const text = await this.#guard(() => readIfThere(this.#path(FILES.joining)));
    const kept = joiningSchema.safeParse(parseJson(text ?? ''));
    if (kept.success && kept.data.token === tokenHash && kept.data.name === name) return kept.data.keyPem;
    const keyPem = await make();
    await this.#write(FILES.joining, { token: tokenHash, name, keyPem });
    return keyPem;
  }

  #path(file: string): string {
    return join(this.folder, file);
  }

  async #read(file: string): Promise<Identity | undefined> {
    const text = await this.#guard(() => readIfThere(this.#path(file)));
    if (text === undefined) return undefined;
    const parsed = identitySchema.safeParse(parseJson(text));
    if (!parsed.success) throw damaged(this.#path(file), 'it is not a whole identity');
    return checked(parsed.data, this.#path(file));
  }

  async #write(file: string, content: object): Promise<void> {
    await this.#guard(async () => {
      await makePrivateFolder(this.folder);
      await replace(this.#path(file), `${JSON.stringify(content, null, 2)}\n`, 'agent.identity');
    });
  }

  async #remove(file: string): Promise<void> {
    await this.#guard(() => remove(this.#path(file), 'agent.identity.remove'));
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      const codes = ['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'ENOTDIR', 'EEXIST'];
      if (codes.some((code) => isSystemError(thrown, code))) throw notWritable(this.folder, thrown);
      throw thrown;
    }
  }
}

/** Of a join that has been begun. */
async function noKey(): Promise<string> {
  throw new Error('no join has been begun');
}

/** The leaf of an identity. */
export function certificateOf(identity: Identity): X509Certificate {
  return new X509Certificate(identity.certificatePem);
}

/** The identity itself when its parts fit each other; throws KkError IDENTITY_DAMAGED otherwise. */
function checked(identity: Identity, path: string): Identity {
  try {
    const leaf = certificateOf(identity);
    const id = spiffeIdOf(leaf);
    if (id?.kind !== 'node' || id.name !== identity.name || id.fleetId !== identity.fleetId) {
      throw damaged(path, `its certificate is not the one of node ${identity.name} of fleet ${identity.fleetId}`);
    }
    const ours = createPublicKey(createPrivateKey(identity.keyPem)).export({
      type: 'spki',
      format: 'der',
    });
    if (!ours.equals(leaf.publicKey.export({ type: 'spki', format: 'der' }))) {
      throw damaged(path, 'its key is not the key of its certificate');
    }
    if (parseBundle(identity.bundlePem).length === 0) throw damaged(path, 'it has no CA to trust');
    return identity;
  } catch (thrown) {
    if (thrown instanceof KkError) throw thrown;
    throw damaged(path, 'its key or a certificate cannot be read');
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema then says what is wrong; the parser's message would quote the key.
    return undefined;
  }
}

function damaged(path: string, why: string): KkError {
  return new KkError({
    code: 'IDENTITY_DAMAGED',
    message: `The identity of this node in ${path} cannot be used: ${why}.`,
    remedy: 'Remove the file, then run here the line of `kk-controller join-command --replace NAME`.',
  });
}
