/**
 * Connections as TCP has them: in order within one, lost from some point on when it is cut, and each end learns of the cut
 * in its own time, or from a reset at once. What was under way may still arrive after a newer connection has begun.
 */
import { EventEmitter } from 'node:events';
import type { WebSocket } from 'ws';
import type { Connection, ConnectionEvents } from '../../agent/link/transport.ts';

/** The controller's end, as far as the gateway uses a WebSocket. */
class ControllerSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  readonly #wire: Wire;

  constructor(wire: Wire) {
    super();
    this.#wire = wire;
  }

  send(frame: Uint8Array): void {
    if (this.readyState === this.OPEN) this.#wire.toAgent.push(frame);
  }

  /** Closing handshake: the other end is told behind what was sent. */
  close(): void {
    if (this.readyState !== this.OPEN) return;
    this.readyState = 2;
    this.#wire.toAgent.push('end');
  }

  terminate(): void {
    this.#wire.resetController();
  }
}

type Frame = Uint8Array | 'end';

export class Wire {
  readonly node: string;
  readonly toController: Frame[] = [];
  readonly toAgent: Frame[] = [];
  /** Frames cross no more in this direction; what was under way may be read still. */
  cut = false;
  /** The controller has read from it. */
  hasBegun = false;
  agentOpen = true;
  controllerOpen = true;
  readonly socket = new ControllerSocket(this);
  #events: ConnectionEvents | undefined;

  constructor(node: string) {
    this.node = node;
  }

  get gateway(): WebSocket {
    return this.socket as unknown as WebSocket;
  }

  /** The agent's end. */
  opened(events: ConnectionEvents): Connection {
    this.#events = events;
    return {
      send: (frame) => {
        if (this.agentOpen && !this.cut) this.toController.push(frame);
      },
      close: () => this.resetAgent(),
    };
  }

  get canReachController(): boolean {
    return this.controllerOpen && this.toController.length > 0;
  }

  get canReachAgent(): boolean {
    return this.agentOpen && this.toAgent.length > 0;
  }

  /** One frame arrives. */
  reachController(): void {
    const frame = this.toController.shift();
    if (frame === undefined || !this.controllerOpen) return;
    this.hasBegun = true;
    if (frame === 'end') this.resetController();
    else this.socket.emit('message', Buffer.from(frame), true);
  }

  reachAgent(): Frame | undefined {
    const frame = this.toAgent.shift();
    if (frame === undefined || !this.agentOpen) return undefined;
    if (frame === 'end') this.resetAgent();
    else this.#events?.onFrame(frame);
    return frame;
  }

  /** The agent's end is gone: its process is told, and the other end behind what was sent. */
  resetAgent(): void {
    if (!this.agentOpen) return;
    const events = this.#events;
    this.abandonAgent();
    events?.onClose('simulated');
  }

  /** The agent's process has died: its kernel ends the connection, if it can. */
  abandonAgent(): void {
    if (!this.agentOpen) return;
    this.agentOpen = false;
    this.#events = undefined;
    this.toAgent.length = 0;
    if (!this.cut) this.toController.push('end');
  }

  /** The controller's process has died, and its kernel ends the connection. */
  abandonController(): void {
    if (!this.controllerOpen) return;
    this.controllerOpen = false;
    this.toController.length = 0;
    this.socket.removeAllListeners();
    if (!this.cut) this.toAgent.push('end');
  }

  resetController(): void {
    if (!this.controllerOpen) return;
    this.controllerOpen = false;
    this.toController.length = 0;
    if (!this.cut && this.socket.readyState !== 2) this.toAgent.push('end');
    this.socket.readyState = 3;
    this.socket.emit('close');
  }

  /** Nothing more is sent either way; what is under way towards the controller is kept or lost. */
  sever(keepUnderWay: boolean): void {
    this.cut = true;
    this.toAgent.length = 0;
    if (!keepUnderWay) this.toController.length = 0;
  }
}
