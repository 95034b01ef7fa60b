import websocket, { type WebSocket } from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import { reportOf } from '../../shared/errors.ts';
import { SHELL_INPUT } from '../../shared/protocol/level.ts';
import { ShellBody, ShellResizeBody } from '../views/requests.ts';
import type { ShellLine } from '../views/types.ts';
import type { Operations, ShellKeys } from './operations.ts';
import { bodyOf, invalid } from './operator-errors.ts';

/** Bytes of one message of the person's side: what is typed, or a command line to start with. */
const MESSAGE = Math.max(SHELL_INPUT, 256 * 1024);
/** Text that must have come by then says what is wanted. */
const WISH_MS = 10_000;

/**
 * A shell over a WebSocket at GET /v1/shell. Binary messages are what is typed and what is printed; text messages are
 * JSON: the wish first (ShellBody), then changes of the window's size; the other way `ShellLine`.
 */
export async function shellRoute(app: FastifyInstance, { operations }: { operations: Operations }): Promise<void> {
  await app.register(websocket, { options: { maxPayload: MESSAGE, perMessageDeflate: false } });
  app.route({
    method: 'GET',
    url: '/v1/shell',
    handler: (_request, reply) =>
      reply
        .code(426)
        .header('upgrade', 'websocket')
        .send({ error: invalid('A shell is opened as a WebSocket.').report }),
    wsHandler: (socket) => converse(socket, operations),
  });
}

function converse(socket: WebSocket, operations: Operations): void {
  let keys: ShellKeys | undefined;
  const tell = (line: ShellLine): void => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(line));
  };
  const fail = (thrown: unknown): void => {
    keys?.close();
    tell({ type: 'error', error: reportOf(thrown) });
    socket.close();
  };
  const begin = (text: string): ShellKeys => {
    clearTimeout(late);
    const { user, ...wish } = bodyOf(ShellBody, jsonOf(text));
    return operations.shell(
      { ...wish, ...(user === undefined ? {} : { user }) },
      {
        opened: (credit) => tell({ type: 'opened', credit }),
        show: (data) =>
          new Promise((resolve) => {
            if (socket.readyState === socket.OPEN) socket.send(data, { binary: true }, () => resolve());
            else resolve();
          }),
        taken: (bytes) => tell({ type: 'taken', bytes }),
        ended(end) {
          if ('report' in end) tell({ type: 'error', error: end.report });
          else tell({ type: 'ended', ...end });
          socket.close();
        },
      },
    );
  };
  const late = setTimeout(() => fail(invalid('Nothing was asked for.')), WISH_MS);
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    try {
      if (isBinary) keys?.type(data);
      else if (keys === undefined) keys = begin(data.toString('utf8'));
      else {
        const { columns, rows } = bodyOf(ShellResizeBody, jsonOf(data.toString('utf8')));
        keys.resize(columns, rows);
      }
    } catch (thrown) {
      fail(thrown);
    }
  });
  socket.on('close', () => {
    clearTimeout(late);
    keys?.close();
  });
  socket.on('error', () => socket.terminate());
}

/** Throws KkError REQUEST_INVALID. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid('The request is no JSON.');
  }
}
