/** A shell's WebSocket over the operator API's unix socket (controller/server/shell-route.ts). */
import { connect } from 'node:net';
import { WebSocket } from 'ws';
import { KkError } from '../../shared/errors.ts';
import { SHELL_INPUT } from '../../shared/protocol/level.ts';
import type { ShellBody, ShellResizeBody } from '../views/requests.ts';
import { ShellLine } from '../views/types.ts';
import { lost, unreachable } from './http.ts';

export interface ShellEars {
  /** The program runs on the node. */
  opened(): void;
  /** What it printed; false: nothing more until {@link ShellSocket.resume}. */
  shown(data: Buffer): boolean;
  /** All that was typed has been taken, after there was more of it than that. */
  drained(): void;
}

export interface ShellSocket {
  /** False: more waits than the program takes; go on when `drained` is called. */
  type(data: Buffer): boolean;
  resize(size: ShellResizeBody): void;
  resume(): void;
  /** Leaves: the shell is ended. */
  close(): void;
  /** Exit status and signal (0: none); undefined after {@link close}. Rejects with the KkError that ended it. */
  ended: Promise<{ code: number; signal: number } | undefined>;
}

/** Bytes that may wait here before the keyboard does: as long as it is read, the escape works. */
const WAITING = 1024 * 1024;

/** Opens a shell. `ended` rejects with CONTROLLER_UNREACHABLE, CONTROLLER_LOST, or what the controller answers. */
export function openShell(socket: string, wish: ShellBody, ears: ShellEars): ShellSocket {
  const web = new WebSocket('ws://controller/v1/shell', {
    createConnection: () => connect(socket),
    perMessageDeflate: false,
  });
  web.binaryType = 'nodebuffer';
  const { promise: ended, resolve, reject } = Promise.withResolvers<{ code: number; signal: number } | undefined>();
  let opened = false;
  let trouble: unknown;
  let credit = 0;
  let waiting: Buffer[] = [];
  let waits = 0;

  const pump = (): void => {
    for (let [first] = waiting; first !== undefined && credit > 0; [first] = waiting) {
      const part = first.subarray(0, Math.min(credit, SHELL_INPUT));
      if (part.length === first.length) waiting.shift();
      else waiting[0] = first.subarray(part.length);
      credit -= part.length;
      waits -= part.length;
      web.send(part, { binary: true });
    }
  };
  const granted = (bytes: number): void => {
    const held = waits > WAITING;
    credit += bytes;
    pump();
    if (held && waits <= WAITING) ears.drained();
  };
  const hear = (line: ShellLine): void => {
    switch (line.type) {
      case 'opened':
        ears.opened();
        granted(line.credit);
        return;
      case 'taken':
        granted(line.bytes);
        return;
      case 'ended':
        resolve(line);
        return;
      case 'error':
        reject(new KkError(line.error as KkError['report']));
        return;
    }
  };
  web.on('open', () => {
    opened = true;
    web.send(JSON.stringify(wish));
  });
  web.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) {
      if (!ears.shown(data)) web.pause();
      return;
    }
    const line = ShellLine.safeParse(jsonOf(data.toString('utf8')));
    if (line.success) hear(line.data);
    else reject(notUnderstood());
  });
  web.on('error', (error) => {
    trouble = error;
  });
  web.on('unexpected-response', () => {
    reject(notUnderstood());
    web.terminate();
  });
  web.on('close', () => reject(opened ? lost(socket, trouble ?? 'closed') : unreachable(socket, trouble)));
  return {
    ended,
    type(data) {
      waiting.push(data);
      waits += data.length;
      pump();
      return waits <= WAITING;
    },
    resize(size) {
      if (opened) web.send(JSON.stringify(size));
    },
    resume: () => web.resume(),
    close() {
      resolve(undefined);
      waiting = [];
      web.terminate();
    },
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function notUnderstood(): KkError {
  return new KkError({
    code: 'CONTROLLER_ANSWER',
    message: 'The controller gave an answer that is not understood.',
    remedy: 'Use the same version for both: compare with `kk-controller version`.',
  });
}
