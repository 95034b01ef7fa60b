/** Sockets to the controller: TLS 1.3 with the node's certificate, the controller recognised, then a WebSocket. */
import type { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { FRAME_LIMIT, SUBPROTOCOL } from '../../shared/protocol/level.ts';
import type { Identity } from '../identity/identity-store.ts';
import { openToController } from '../identity/open-to-controller.ts';
import { openTls, unreachable } from '../identity/tls.ts';

/** For TCP and TLS together, and again for the upgrade. */
const CONNECT_TIMEOUT_MS = 15_000;
/** RFC 6455, 7.4.1: policy violation. */
const POLICY = 1008;

/** An open socket to our controller. */
export interface Connection {
  /** One frame; dropped when the connection has ended. */
  send(frame: Uint8Array): void;
  /** Ends it; `onClose` follows. Without `violation` it is an ordinary end. */
  close(violation?: string): void;
}

export interface ConnectionEvents {
  /** A binary frame. */
  onFrame(frame: Uint8Array): void;
  /** Once, at the end; `why` in words. */
  onClose(why: string): void;
}

/** Opens a connection; implemented here for real, by tests for themselves. */
export type Dial = (endpoint: string, identity: Identity, events: ConnectionEvents) => Promise<Connection>;

/**
 * Connects to `https://host:port`, as {@link openToController} says. `now` is epoch milliseconds; `open` makes the
 * connection. Rejects with KkError CONTROLLER_UNREACHABLE, CONTROLLER_FOREIGN, CONTROLLER_WRONG_NAME, CLOCK_SKEW.
 */
export function dialWith(now: () => number, open: typeof openTls = openTls): Dial {
  return async (endpoint, identity, events) => {
    const socket = await openToController(endpoint, identity, { now, open, timeoutMs: CONNECT_TIMEOUT_MS });
    return upgrade(new URL(endpoint), socket, events);
  };
}

function upgrade(url: URL, socket: TLSSocket, events: ConnectionEvents): Promise<Connection> {
  const target = new URL('/agent/link', url);
  target.protocol = 'wss:';
  const web = new WebSocket(target, [SUBPROTOCOL], {
    perMessageDeflate: false,
    maxPayload: FRAME_LIMIT,
    handshakeTimeout: CONNECT_TIMEOUT_MS,
    createConnection: () => socket,
  });
  web.binaryType = 'nodebuffer';
  return new Promise((resolve, reject) => {
    let opened = false;
    let why = '';
    web.on('error', (cause) => {
      why = cause.message;
      if (!opened) {
        socket.destroy();
        reject(unreachable(url, cause));
      }
    });
    web.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) events.onFrame(data);
      else web.close(POLICY, 'text is not spoken here');
    });
    web.on('close', (code, reason) => {
      if (opened) events.onClose(why || reason.toString('utf8') || `closed with code ${code}`);
    });
    web.on('open', () => {
      opened = true;
      resolve({
        send: (frame) => {
          if (web.readyState === WebSocket.OPEN) web.send(frame);
        },
        close: (violation) => {
          if (violation === undefined) web.close(1000);
          else web.close(POLICY, violation.slice(0, 120));
          // A peer that is gone never answers the close; the socket must not linger for it.
          setTimeout(() => web.terminate(), 2_000).unref();
        },
      });
    });
  });
}
