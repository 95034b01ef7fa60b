import type { WebSocket } from 'ws';
import type { ErrorReport } from '../../shared/errors.ts';
import { encodeToAgent } from '../../shared/protocol/codec.ts';
import type { ForAgent, Hello } from '../../shared/protocol/messages.ts';
import type { Machine } from '../pki/judge-duplicate.ts';
import { SessionShells } from './shells.ts';

/** WebSocket close codes we use (RFC 6455, 7.4). */
const POLICY = 1008;
const TRY_AGAIN_LATER = 1013;

/** One connected agent, after its Hello. Sends frames; knows how far its journal may be acknowledged. */
export class Session {
  readonly node: string;
  readonly journal: string;
  readonly machine: Machine;
  readonly serial: string;
  /** Of the agent's package. */
  readonly version: string;
  /** What its agent can do, by its Hello. */
  readonly capabilities: ReadonlySet<string>;
  readonly shells: SessionShells;
  /** Address the agent comes from. */
  readonly remote: string;
  /** The last durable message that was taken in. */
  received: number;
  /** Stored up to here. */
  acked: number;
  private readonly socket: WebSocket;

  constructor(parts: { node: string; hello: Hello; serial: string; remote: string; acked: number; socket: WebSocket }) {
    this.node = parts.node;
    this.journal = parts.hello.journal_id;
    this.machine = { machineId: parts.hello.machine_id, bootId: parts.hello.boot_id };
    this.serial = parts.serial;
    this.version = parts.hello.version;
    this.capabilities = new Set(parts.hello.capabilities);
    this.shells = new SessionShells(parts.node, (message) => this.send(message));
    this.remote = parts.remote;
    this.received = parts.acked;
    this.acked = parts.acked;
    this.socket = parts.socket;
  }

  send(message: ForAgent): void {
    this.sendFrame(encodeToAgent(message));
  }

  /** An encoded frame, perhaps shared with other sessions. */
  sendFrame(frame: Uint8Array): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(frame);
  }

  /** Sends a large frame; resolves when the system has taken it, or the connection has ended: it must not pile up here. */
  flush(frame: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.readyState !== this.socket.OPEN) return resolve();
      this.socket.send(frame, () => resolve());
    });
  }

  /** Tells the agent that it may forget everything up to `sequence`. */
  ack(sequence: number): void {
    this.acked = Math.max(this.acked, sequence);
    this.sendFrame(encodeToAgent({ kind: 'none' }, sequence));
  }

  /** Says why, then closes. `final`: the agent shall not come back by itself at once. */
  close(why: Pick<ErrorReport, 'code' | 'message' | 'remedy'>, final: boolean): void {
    closeWith(this.socket, why, final);
  }
}

/** Tells the agent the reason in a Closing message, then closes the socket. */
export function closeWith(
  socket: WebSocket,
  why: Pick<ErrorReport, 'code' | 'message' | 'remedy'>,
  final: boolean,
): void {
  if (socket.readyState !== socket.OPEN) return;
  const { code, message, remedy } = why;
  socket.send(encodeToAgent({ kind: 'closing', value: { code, message, remedy, final } }));
  socket.close(final ? POLICY : TRY_AGAIN_LATER, code);
}
