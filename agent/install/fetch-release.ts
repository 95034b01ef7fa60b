/** The packaged agent from the controller, for an upgrade: over the node's own trust, believed by its digests. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { dirname } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import { createGunzip } from 'node:zlib';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { sync } from '../durable/files.ts';
import type { Identity } from '../identity/identity-store.ts';
import { peerChain } from '../identity/peer-chain.ts';
import { openTls } from '../identity/tls.ts';
import { verifyController } from '../identity/verify-controller.ts';

/** A package as the controller names it; sizes in bytes, digests hex sha256. */
export interface Package {
  gz_sha256: string;
  gz_size: number;
  binary_sha256: string;
  binary_size: number;
}

/** No agent is larger: whoever asks for more is wrong, and must not fill the disk. */
export const MOST_BYTES = 1024 ** 3;
const CONNECT_MS = 15_000;
/** Without a byte for so long the way is dead. */
const SILENCE_MS = 30_000;

/**
 * Puts the executable at `target` (its folder is made), tried at each endpoint in order. Throws KkError
 * CONTROLLER_UNREACHABLE and what `verifyController` finds, AGENT_FETCH_FAILED, DISK_FULL.
 */
export async function fetchRelease(
  identity: Identity,
  wanted: Package,
  target: string,
  now: () => number,
  silenceMs = SILENCE_MS,
): Promise<void> {
  let failure: unknown;
  for (const endpoint of identity.endpoints) {
    try {
      const url = new URL(endpoint);
      const socket = await openTls(url, {
        timeoutMs: CONNECT_MS,
        credentials: { key: identity.keyPem, cert: identity.certificatePem },
      });
      try {
        const verdict = verifyController(peerChain(socket), identity, now());
        if (!verdict.ok) {
          const { code, detail, remedy } = verdict;
          throw new KkError({ code, message: `${endpoint}: ${detail}.`, remedy });
        }
        // By the socket itself: node arms no timeout of a request on a connection that was there before it.
        socket.setTimeout(silenceMs, () => socket.destroy(new Error(`nothing came for ${silenceMs / 1000} s`)));
        await fetchOver(socket, url, wanted, target);
        return;
      } finally {
        socket.destroy();
      }
    } catch (thrown) {
      // What came and was wrong will not be better elsewhere: every endpoint is the same controller.
      if (!(thrown instanceof KkError) || thrown.code !== 'CONTROLLER_UNREACHABLE') throw thrown;
      failure ??= thrown;
    }
  }
  throw failure ?? failed('this node knows no endpoint of its controller');
}

async function fetchOver(socket: TLSSocket, url: URL, wanted: Package, target: string): Promise<void> {
  if (wanted.gz_size > MOST_BYTES || wanted.binary_size > MOST_BYTES) throw failed('the package is larger than 1 GiB');
  try {
    await mkdir(dirname(target), { recursive: true });
    const response = await answerOf(socket, url, wanted.gz_sha256);
    if (response.statusCode !== 200) throw failed(`the controller answered with status ${response.statusCode}`);
    const packed = meter('the package', wanted.gz_size);
    const unpacked = meter('the executable', wanted.binary_size);
    await pipeline(response, packed.stream, createGunzip(), unpacked.stream, createWriteStream(target));
    if (packed.digest() !== wanted.gz_sha256) throw failed('the package arrived damaged');
    if (unpacked.digest() !== wanted.binary_sha256) throw failed('the executable in the package is another one');
    await chmod(target, 0o755);
    await sync(target, 'agent.install.executable');
  } catch (thrown) {
    await rm(target, { force: true });
    if (thrown instanceof KkError) throw thrown;
    if (isSystemError(thrown, 'ENOSPC') || isSystemError(thrown, 'EDQUOT')) {
      throw new KkError({
        code: 'DISK_FULL',
        message: `The new agent does not fit into ${dirname(target)}.`,
        remedy: 'Make 300 MB of room in that file system and upgrade again.',
        cause: thrown,
      });
    }
    // Why the line went says more than that the answer was cut off by it.
    const cause = socket.errored ?? thrown;
    throw failed(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function answerOf(socket: TLSSocket, url: URL, sha256: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        path: `/agent/${sha256}`,
        headers: { host: url.host, connection: 'close' },
        createConnection: () => socket,
      },
      resolve,
    );
    asked.on('error', reject);
    asked.end();
  });
}

/** Counts and digests what goes through; more than `size` bytes are refused at once. */
function meter(what: string, size: number): { stream: Transform; digest(): string } {
  const hash = createHash('sha256');
  let seen = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length;
      hash.update(chunk);
      if (seen > size) done(failed(`${what} is larger than the ${size} bytes that were announced`));
      else done(null, chunk);
    },
  });
  return { stream, digest: () => hash.digest('hex') };
}

function failed(why: string, cause?: unknown): KkError {
  return new KkError({
    code: 'AGENT_FETCH_FAILED',
    message: `The new agent could not be fetched: ${why}.`,
    remedy: 'Upgrade again; if it happens again, look at the log of kk-controller and at the line between both.',
    cause,
  });
}
