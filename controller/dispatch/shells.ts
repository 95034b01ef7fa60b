import { reportIn } from '../../shared/error-report.ts';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
import type { ForAgent, FromAgent, ShellOpen } from '../../shared/protocol/messages.ts';

/** About shells, from an agent. */
export type ShellAnswer = Extract<
  FromAgent,
  { kind: 'shell_opened' | 'shell_output' | 'shell_credit' | 'shell_ended' }
>;

export function isShellAnswer(message: FromAgent): message is ShellAnswer {
  return message.kind.startsWith('shell_');
}

/** How a shell ended: an exit status, or the number of a signal (0: none), or why there is none of both. */
export type ShellEnd = { code: number; signal: number } | { report: ErrorReport };

/** Whoever opened a shell hears of it here. */
export interface ShellEars {
  /** The program runs; so many bytes may be typed. */
  opened(credit: number): void;
  output(data: Uint8Array): void;
  /** So many bytes more may be typed. */
  taken(bytes: number): void;
  /** Once, the last of all. */
  ended(end: ShellEnd): void;
}

/** An open shell as its opener has it; after its end nothing here does anything. */
export interface OpenShell {
  type(data: Uint8Array): void;
  resize(columns: number, rows: number): void;
  /** So many bytes of output more may come. */
  granted(bytes: number): void;
  /** The person is gone; `ended` is not called any more. */
  close(): void;
}

/** Characters of it that are shown. */
const EVIDENCE = 4096;

interface Known {
  ears: ShellEars;
  /** Bytes of output that may still come. */
  room: number;
}

/** The shells over one connection of an agent: they end with it. */
export class SessionShells {
  private readonly open = new Map<number, Known>();
  private last = 0;
  private readonly node: string;
  private readonly send: (message: ForAgent) => void;

  constructor(node: string, send: (message: ForAgent) => void) {
    this.node = node;
    this.send = send;
  }

  begin(wish: Omit<ShellOpen, 'shell'>, ears: ShellEars): OpenShell {
    this.last += 1;
    const shell = this.last;
    const known: Known = { ears, room: wish.credit };
    const isOpen = (): boolean => this.open.get(shell) === known;
    this.open.set(shell, known);
    this.send({ kind: 'shell_open', value: { ...wish, shell } });
    return {
      type: (data) => isOpen() && this.send({ kind: 'shell_input', value: { shell, data } }),
      resize: (columns, rows) => isOpen() && this.send({ kind: 'shell_resize', value: { shell, columns, rows } }),
      granted: (bytes) => {
        if (!isOpen()) return;
        known.room += bytes;
        this.send({ kind: 'shell_credit', value: { shell, bytes } });
      },
      close: () => {
        if (!this.open.delete(shell)) return;
        this.send({ kind: 'shell_close', value: { shell } });
      },
    };
  }

  /** What the agent says; of a shell that is closed here nothing is heard any more. */
  take(message: ShellAnswer): void {
    const { shell } = message.value;
    const known = this.open.get(shell);
    if (known === undefined) return;
    switch (message.kind) {
      case 'shell_opened':
        known.ears.opened(message.value.credit);
        return;
      case 'shell_output':
        this.output(shell, known, message.value.data);
        return;
      case 'shell_credit':
        known.ears.taken(message.value.bytes);
        return;
      case 'shell_ended': {
        const { code, signal, error } = message.value;
        this.end(shell, error.length > 0 ? { report: shortReport(error, this.node) } : { code, signal });
        return;
      }
    }
  }

  /** The connection has ended. */
  cut(): void {
    for (const shell of [...this.open.keys()]) this.end(shell, { report: nodeGone(this.node).report });
  }

  private output(shell: number, known: Known, data: Uint8Array): void {
    known.room -= data.length;
    if (known.room >= 0) {
      known.ears.output(data);
      return;
    }
    this.send({ kind: 'shell_close', value: { shell } });
    this.end(shell, { report: overrun(this.node).report });
  }

  private end(shell: number, end: ShellEnd): void {
    const known = this.open.get(shell);
    this.open.delete(shell);
    known?.ears.ended(end);
  }
}

function shortReport(bytes: Uint8Array, node: string): ErrorReport {
  const { evidence, ...report } = reportIn(bytes, `The agent of ${node}`);
  return evidence === undefined ? report : { ...report, evidence: evidence.slice(0, EVIDENCE) };
}

function nodeGone(node: string): KkError {
  return new KkError({
    code: 'SHELL_CUT',
    message: `The connection to ${node} has ended, and with it the shell there.`,
    remedy: 'See `kk-controller nodes` for when it is back; on the node `journalctl -u kk-agent` says why it went.',
    node,
  });
}

function overrun(node: string): KkError {
  return new KkError({
    code: 'SHELL_OVERRUN',
    message: `The agent of ${node} sent more output than was asked for.`,
    remedy: 'Use the same version for the controller and the agent.',
    node,
  });
}
