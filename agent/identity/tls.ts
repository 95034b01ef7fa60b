import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { KkError } from '../../shared/errors.ts';

export interface TlsOptions {
  /** For the connection and the handshake together. */
  timeoutMs: number;
  /** PEM; absent before the node has an identity. */
  credentials?: { key: string; cert: string };
}

/**
 * A TLS 1.3 connection to whoever answers; who that is gets judged afterwards (verifyController), so OpenSSL's opinion is
 * not asked. Every connection is a full handshake. Rejects with KkError CONTROLLER_UNREACHABLE.
 */
export function openTls(url: URL, { timeoutMs, credentials }: TlsOptions): Promise<TLSSocket> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: Number(url.port || 443),
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
      ...credentials,
      ALPNProtocols: ['http/1.1'],
      ...(isIP(host) ? {} : { servername: host }),
    });
    const fail = (cause: Error): void => {
      socket.destroy();
      reject(unreachable(url, cause));
    };
    const closed = (): void => fail(new Error('the connection was closed during the TLS handshake'));
    const late = (): void => fail(new Error(`no answer within ${timeoutMs / 1000} s`));
    socket.setTimeout(timeoutMs, late);
    // The error listener stays: a socket that fails between here and its use must not end the process.
    socket.on('error', fail);
    socket.once('close', closed);
    socket.once('secureConnect', () => {
      socket.setTimeout(0, late);
      socket.off('close', closed);
      resolve(socket);
    });
  });
}

/** Nobody answers there, or not as a controller does. */
export function unreachable(url: URL, cause: Error): KkError {
  return new KkError({
    code: 'CONTROLLER_UNREACHABLE',
    message: `The controller at ${url.origin} cannot be reached (${cause.message || 'refused'}).`,
    remedy:
      'Check the address and that the port is open from this node: firewall, route, `kk-controller serve` running.',
    cause,
  });
}
