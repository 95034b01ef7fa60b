import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { isSystemError, KkError } from '../../shared/errors.ts';

/** Bytes of `sun_path` on Linux, without its closing zero (unix(7)). */
const MAX_SOCKET_PATH = 107;
/** Everything but reading and writing by the owner. */
const OWNER_ONLY = 0o177;

/**
 * Serves the app on a unix socket of mode 0600; a folder that is missing is made 0700. A socket file that nobody
 * answers on is replaced. `app.close()` ends it. Throws KkError SOCKET_PATH_TOO_LONG, CONTROLLER_RUNNING, STATE_NOT_WRITABLE.
 */
export async function listenOnSocket(app: FastifyInstance, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new KkError({
      code: 'SOCKET_PATH_TOO_LONG',
      message: `${path} has ${Buffer.byteLength(path)} bytes; a unix socket's path may have ${MAX_SOCKET_PATH}.`,
      remedy: 'Choose a state folder with a shorter path (--state).',
    });
  }
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if (await isAnswered(path)) throw running(path);
    await rm(path, { force: true });
    app.addHook('onClose', () => closeServer(app));
    await app.ready();
    await listenPrivately(app, path);
  } catch (thrown) {
    if (isSystemError(thrown, 'EADDRINUSE')) throw running(path);
    const refused = ['EACCES', 'EPERM', 'EROFS'].some((code) => isSystemError(thrown, code));
    if (!refused) throw thrown;
    throw new KkError({
      code: 'STATE_NOT_WRITABLE',
      message: `The state folder ${dirname(path)} is not writable.`,
      remedy: 'Run as its owner, or choose another folder with --state.',
      evidence: String(thrown),
      cause: thrown,
    });
  }
}

/** The mask is the process's: it is changed only for the one call, which binds before it returns. */
async function listenPrivately(app: FastifyInstance, path: string): Promise<void> {
  const mask = process.umask(OWNER_ONLY);
  try {
    app.server.listen(path);
  } finally {
    process.umask(mask);
  }
  await once(app.server, 'listening');
}

function closeServer(app: FastifyInstance): Promise<void> {
  return new Promise((resolve) => {
    app.server.close(() => resolve());
    app.server.closeAllConnections();
  });
}

/** Does a process accept connections there? */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      if (['ENOENT', 'ECONNREFUSED', 'ENOTSOCK'].some((code) => isSystemError(error, code))) resolve(false);
      else reject(error);
    });
  });
}

function running(path: string): KkError {
  return new KkError({
    code: 'CONTROLLER_RUNNING',
    message: `A controller runs already on the state folder ${dirname(path)}.`,
    remedy: 'Use it (`kk-controller status`), stop it first, or choose another state folder with --state.',
  });
}
