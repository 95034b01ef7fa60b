import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import { jsonBytes } from '../../shared/protocol/codec.ts';
import type { ShellOpen } from '../../shared/protocol/messages.ts';
import type { Logger } from '../executor/ports.ts';
import type { ShellAnswer, ShellMessage, ShellWork } from '../link/shell-work.ts';
import { Shell } from './shell.ts';

/** Open at once on a node. */
const MOST = 16;

export interface ShellsOptions {
  /** Name of a step that wants the node for itself and is at work. */
  alone(): string | undefined;
  logger: Logger;
}

/** The shells of this node: each is opened, fed and ended by the controller, and ends with the connection. */
export class Shells implements ShellWork {
  readonly #options: ShellsOptions;
  readonly #open = new Map<number, Shell>();
  #send: (answer: ShellAnswer) => void = () => {};

  constructor(options: ShellsOptions) {
    this.#options = options;
  }

  connected(send: (answer: ShellAnswer) => void): void {
    this.#send = send;
  }

  disconnected(): void {
    this.#send = () => {};
    for (const shell of this.#open.values()) shell.close();
    this.#open.clear();
  }

  handle(message: ShellMessage): void {
    if (message.kind === 'shell_open') {
      this.#begin(message.value);
      return;
    }
    const shell = this.#open.get(message.value.shell);
    if (shell === undefined) return;
    switch (message.kind) {
      case 'shell_input':
        shell.type(message.value.data);
        return;
      case 'shell_resize':
        shell.resize(message.value.columns, message.value.rows);
        return;
      case 'shell_credit':
        shell.granted(message.value.bytes);
        return;
      case 'shell_close':
        this.#open.delete(message.value.shell);
        shell.close();
        return;
    }
  }

  #begin(wish: ShellOpen): void {
    const id = wish.shell;
    const send = this.#send;
    const refuse = (report: ErrorReport): void => {
      send({ kind: 'shell_ended', value: { shell: id, code: 0, signal: 0, error: jsonBytes(report) } });
    };
    try {
      if (this.#open.has(id) || this.#open.size >= MOST) throw tooMany();
      const alone = wish.now ? undefined : this.#options.alone();
      if (alone !== undefined) throw nodeAlone(alone);
    } catch (thrown) {
      refuse(reportOf(thrown));
      return;
    }
    const { logger } = this.#options;
    const shell = new Shell(wish, {
      opened: (credit) => send({ kind: 'shell_opened', value: { shell: id, credit } }),
      output: (data) => send({ kind: 'shell_output', value: { shell: id, data } }),
      taken: (bytes) => send({ kind: 'shell_credit', value: { shell: id, bytes } }),
      ended: (end) => {
        if (this.#open.get(id) === shell) this.#open.delete(id);
        if ('report' in end) refuse(end.report);
        else send({ kind: 'shell_ended', value: { shell: id, ...end, error: new Uint8Array() } });
        logger.info({ shell: id }, 'a shell of the controller has ended');
      },
    });
    this.#open.set(id, shell);
    logger.info({ shell: id, user: wish.user }, 'a shell was opened from the controller');
    void shell.start();
  }
}

function tooMany(): KkError {
  return new KkError({
    code: 'SHELL_TOO_MANY',
    message: `There are ${MOST} shells open on this node, as many as may be.`,
    remedy: 'End one of them first.',
  });
}

function nodeAlone(task: string): KkError {
  return new KkError({
    code: 'SHELL_NODE_ALONE',
    message: `The task "${task}" is at work on this node and wants it for itself.`,
    remedy: 'Wait until it has ended, or open the shell all the same with --now.',
  });
}
