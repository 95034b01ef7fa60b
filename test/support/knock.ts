/** Knocking at the agents' port by hand: any request line, any certificate, any frame. */
import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { decodeToAgent } from '../../shared/protocol/codec.ts';
import { SUBPROTOCOL } from '../../shared/protocol/level.ts';
import type { ToAgent } from '../../shared/protocol/messages.ts';

/** A client certificate, or none. */
export interface Credentials {
  key?: string;
  cert?: string;
}

export interface Answer {
  status: number;
  body: string;
  /** The `code` of a JSON body. */
  code: string | undefined;
}

/** Requests over one kept connection. Paths go out as they are written. */
export function knocker(port: number, who: Credentials) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, ...who });
  return {
    ask(method: string, path: string, body = '', headers: Record<string, string> = {}): Promise<Answer> {
      return new Promise((resolve, reject) => {
        const asked = request({ agent, host: '127.0.0.1', port, method, path, headers }, (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('error', reject);
          response.on('end', () => resolve(answer(response.statusCode ?? 0, Buffer.concat(parts).toString())));
        });
        asked.on('error', reject);
        asked.on('upgrade', (_response, socket) => {
          socket.destroy();
          resolve({ status: 101, body: '', code: undefined });
        });
        asked.end(body);
      });
    },
    close: () => agent.destroy(),
  };
}

/** Bytes as they are; what comes back until the other side closes. */
export async function say(port: number, who: ConnectionOptions, bytes: string): Promise<Answer & { protocol: string }> {
  const socket = await openSocket(port, who);
  const protocol = socket.getProtocol() ?? '';
  socket.write(bytes);
  const text = await drained(socket);
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return { ...answer(Number(head.split(' ')[1] ?? 0), body), protocol };
}

export async function openSocket(port: number, who: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...who });
  await once(socket, 'secureConnect');
  socket.on('error', () => {});
  return socket;
}

/** Everything until the end of a connection, however it ends. */
export async function drained(socket: TLSSocket): Promise<string> {
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(parts).toString();
}

function answer(status: number, body: string): Answer {
  try {
    const { code } = JSON.parse(body) as { code?: string };
    return { status, body, code };
  } catch {
    return { status, body, code: undefined };
  }
}

/** An open link, by hand. */
export interface HandLink {
  web: WebSocket;
  /** Whether the TLS session was resumed. */
  resumed: boolean;
  /** The certificate the other side showed. */
  controller: X509Certificate | undefined;
  frames: ToAgent[];
  /** Code of the Closing message, or of the WebSocket when there was none. */
  closed: Promise<string>;
  /** Resolves with the first frame of that kind. */
  got(kind: ToAgent['kind']): Promise<ToAgent>;
}

/** Opens the link; rejects with the HTTP status when the upgrade is denied. */
export async function openLink(port: number, who: Credentials & { session?: Buffer }): Promise<HandLink> {
  const socket = await openSocket(port, { ...who, ALPNProtocols: ['http/1.1'] });
  const web = new WebSocket(`wss://127.0.0.1:${port}/agent/link`, [SUBPROTOCOL], {
    perMessageDeflate: false,
    createConnection: () => socket,
  });
  const frames: ToAgent[] = [];
  const waiting = new Set<() => void>();
  web.on('message', (data: Buffer) => {
    frames.push(decodeToAgent(data));
    for (const wake of waiting) wake();
  });
  web.on('error', () => {});
  const closed = new Promise<string>((resolve) => {
    web.on('close', (code) => {
      const last = frames.find((frame) => frame.kind === 'closing');
      resolve(last?.kind === 'closing' ? last.value.code : String(code));
    });
  });
  await new Promise<void>((resolve, reject) => {
    web.once('open', resolve);
    web.once('unexpected-response', (_request, response) => {
      socket.destroy();
      reject(new Error(`status ${response.statusCode}`));
    });
    web.once('error', reject);
  });
  return {
    web,
    resumed: socket.isSessionReused(),
    controller: socket.getPeerX509Certificate(),
    frames,
    closed,
    got: (kind) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = frames.find((frame) => frame.kind === kind);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        void closed.then((code) => reject(new Error(`closed with ${code} before ${kind}`)));
        look();
      }),
  };
}
