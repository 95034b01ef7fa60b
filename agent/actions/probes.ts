import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect } from 'node:net';

/** What one look found, in words that fit after "last seen:". */
export interface Sight {
  there: boolean;
  seen: string;
}

/** A peer that neither answers nor refuses is looked at again after this. */
const LOOK_MS = 5000;

/** Does a TCP port take connections? */
export function lookAtPort(host: string, port: number, lookMs = LOOK_MS): Promise<Sight> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: lookMs });
    const done = (there: boolean, what: string) => {
      socket.destroy();
      resolve({ there, seen: `${host}:${port} ${what}` });
    };
    socket.once('connect', () => done(true, 'accepts connections'));
    socket.once('timeout', () => done(false, 'did not answer'));
    socket.once('error', (thrown) => done(false, `gave ${reason(thrown)}`));
  });
}

/** Does an address answer 2xx? Redirects are not followed. */
export function lookAtUrl(url: string, tls: { ca?: Buffer; insecure: boolean }): Promise<Sight> {
  return new Promise((resolve) => {
    const options = { timeout: LOOK_MS, agent: false, headers: { connection: 'close' } };
    const request = url.startsWith('https:')
      ? requestHttps(url, {
          ...options,
          rejectUnauthorized: !tls.insecure,
          ...(tls.ca === undefined ? {} : { ca: tls.ca }),
        })
      : requestHttp(url, options);
    const done = (there: boolean, what: string) => {
      request.destroy();
      resolve({ there, seen: `${url} ${what}` });
    };
    request.once('response', ({ statusCode = 0 }) => {
      done(statusCode >= 200 && statusCode < 300, `answered ${statusCode}`);
    });
    request.once('timeout', () => done(false, 'did not answer'));
    request.on('error', (thrown) => done(false, `gave ${reason(thrown)}`));
    request.end();
  });
}

/** A name with several addresses fails with one error for each of them, and no message of its own. */
function reason(thrown: Error): string {
  const code = (thrown as NodeJS.ErrnoException).code;
  return code ?? (thrown instanceof AggregateError ? reason(thrown.errors[0]) : thrown.message);
}
