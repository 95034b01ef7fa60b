/** One connection from its Hello to its end. */
import { KkError, reportOf } from '../../shared/errors.ts';
import { decodeToAgent, encodeToController } from '../../shared/protocol/codec.ts';
import { OLDEST_LEVEL, PROTOCOL_LEVEL } from '../../shared/protocol/level.ts';
import type { ForAgent, Hello, ToAgent, Welcome } from '../../shared/protocol/messages.ts';
import type { Clock } from '../executor/ports.ts';
import { Heartbeat } from './heartbeat.ts';
import type { Installer } from './installer.ts';
import type { LiveLog } from './live-log.ts';
import { Outbox } from './outbox.ts';
import type { ShellMessage, ShellWork } from './shell-work.ts';
import type { Connection, ConnectionEvents } from './transport.ts';
import type { Wish, Work, WorkMessage } from './work.ts';

/** Welcome must come within this time after Hello. */
const WELCOME_TIMEOUT_MS = 30_000;

export interface TalkOptions {
  work: Work;
  installer: Installer;
  log: LiveLog;
  shells: ShellWork;
  clock: Clock;
  hello: Hello;
  /** The first message was a Welcome of a level we speak. */
  onWelcome(welcome: Welcome): void;
}

/** Why a connection ended: what the controller said in Closing, or what we saw. */
export interface Ending {
  code: string;
  message: string;
  remedy: string;
  /** The controller asked not to come back sooner than in a minute. */
  final: boolean;
  /** A Welcome had come. */
  welcomed: boolean;
}

const WORK_KINDS: ReadonlySet<ForAgent['kind']> = new Set<WorkMessage['kind']>([
  'push',
  'open_gate',
  'close_gate',
  'permit',
  'hold',
  'resume',
  'cancel',
  'forget',
  'blob_part',
]);

function isWork(message: ForAgent): message is WorkMessage {
  return WORK_KINDS.has(message.kind);
}

const SHELL_KINDS: ReadonlySet<ForAgent['kind']> = new Set<ShellMessage['kind']>([
  'shell_open',
  'shell_input',
  'shell_resize',
  'shell_credit',
  'shell_close',
]);

function isShell(message: ForAgent): message is ShellMessage {
  return SHELL_KINDS.has(message.kind);
}

/** Holds the conversation; `ended` resolves when the connection is gone and never rejects. */
export class Talk implements ConnectionEvents {
  readonly ended: Promise<Ending>;
  readonly #options: TalkOptions;
  #connection: Connection | undefined;
  #outbox: Outbox | undefined;
  #heartbeat: Heartbeat | undefined;
  #closing: Omit<Ending, 'welcomed'> | undefined;
  #stopWaiting: () => void = () => {};
  #resolve: (ending: Ending) => void = () => {};

  constructor(options: TalkOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Says Hello. Frames that came before this are dealt with already: a Closing may be among them. */
  begin(connection: Connection): void {
    this.#connection = connection;
    connection.send(encodeToController({ kind: 'hello', value: this.#options.hello }));
    this.#stopWaiting = this.#options.clock.after(WELCOME_TIMEOUT_MS, () => {
      this.#fail(
        'CONTROLLER_SILENT',
        'The controller did not answer Hello.',
        'See its log; the agent tries again by itself.',
      );
    });
  }

  /** More durable messages are there. */
  pump(): void {
    this.#outbox?.pump();
  }

  wish(wish: Wish): void {
    if (this.#outbox !== undefined) this.#connection?.send(encodeToController(wish));
  }

  /** Says what is installed on this node. */
  tellInstallation(): void {
    if (this.#outbox === undefined) return;
    this.#connection?.send(encodeToController({ kind: 'installation', value: this.#options.installer.state() }));
  }

  close(): void {
    this.#connection?.close();
  }

  onFrame(frame: Uint8Array): void {
    try {
      this.#take(decodeToAgent(frame));
    } catch (thrown) {
      const { code, message, remedy } = reportOf(thrown);
      this.#fail(code, message, remedy);
    }
  }

  onClose(why: string): void {
    this.#stopWaiting();
    this.#heartbeat?.stop();
    this.#outbox?.close();
    this.#options.log.disconnected();
    this.#options.shells.disconnected();
    const welcomed = this.#outbox !== undefined;
    this.#resolve({
      code: 'CONNECTION_LOST',
      message: `The connection to the controller ended (${why}).`,
      remedy: 'The agent connects again by itself.',
      final: false,
      ...this.#closing,
      welcomed,
    });
  }

  #fail(code: string, message: string, remedy: string): void {
    this.#closing ??= { code, message, remedy, final: false };
    this.#connection?.close(code);
  }

  #take(message: ToAgent): void {
    if (message.kind === 'closing') {
      this.#closing ??= message.value;
      return;
    }
    if (message.kind === 'welcome') {
      this.#welcome(message.value, message.ack);
      return;
    }
    if (this.#outbox === undefined) {
      if (message.kind === 'none') return;
      throw new KkError({
        code: 'WELCOME_MISSING',
        message: `The controller sent ${message.kind} before Welcome.`,
        remedy: 'Check that the port belongs to kk-controller.',
      });
    }
    if (message.ack > 0) this.#outbox.acked(message.ack);
    if (message.kind === 'none') return;
    if (isWork(message)) {
      this.#options.work.handle(message);
      return;
    }
    if (isShell(message)) {
      this.#options.shells.handle(message);
      return;
    }
    switch (message.kind) {
      case 'heartbeat_answer':
        this.#heartbeat?.answered(message.value.id);
        return;
      case 'log_credit':
        this.#options.log.granted(message.value.bytes);
        return;
      case 'upgrade':
      case 'uninstall':
        this.#options.installer.handle(message);
        return;
    }
  }

  #welcome(welcome: Welcome, ack: number): void {
    if (this.#outbox !== undefined) return;
    if (welcome.level < OLDEST_LEVEL || welcome.level > PROTOCOL_LEVEL) {
      this.#fail(
        'PROTOCOL_LEVEL',
        `The controller speaks protocol level ${welcome.level}; this agent knows ${OLDEST_LEVEL} to ${PROTOCOL_LEVEL}.`,
        'Upgrade the older of the two.',
      );
      return;
    }
    this.#stopWaiting();
    const { work, log, shells, clock } = this.#options;
    const send = (frame: Uint8Array): void => this.#connection?.send(frame);
    this.#outbox = new Outbox(work, ack, send);
    log.connected(welcome.log_credit, send);
    shells.connected((answer) => send(encodeToController(answer)));
    this.#options.onWelcome(welcome);
    work.welcomed(welcome.generation);
    this.#heartbeat = new Heartbeat({
      clock,
      everyMs: Math.max(1_000, welcome.heartbeat_ms),
      send: (id) => send(encodeToController({ kind: 'heartbeat', value: { id, running: work.running() } })),
      onAnswer: (atMs) => work.contact(atMs, welcome.lease_ms),
      onSilence: () =>
        this.#fail(
          'CONTROLLER_SILENT',
          'The controller does not answer heartbeats.',
          'The agent connects again by itself.',
        ),
    });
    this.#heartbeat.start();
    this.tellInstallation();
    this.#outbox.pump();
  }
}
