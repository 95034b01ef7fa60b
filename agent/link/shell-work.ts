/** What the link needs of whoever opens terminals, and nothing more. */
import type { ForAgent, FromAgent } from '../../shared/protocol/messages.ts';

/** About shells, from the controller. */
export type ShellMessage = Extract<
  ForAgent,
  { kind: 'shell_open' | 'shell_input' | 'shell_resize' | 'shell_credit' | 'shell_close' }
>;

/** About shells, to the controller; sent at most once. */
export type ShellAnswer = Extract<
  FromAgent,
  { kind: 'shell_opened' | 'shell_output' | 'shell_credit' | 'shell_ended' }
>;

export interface ShellWork {
  /** A connection is there: what is asked over it is answered over it. */
  connected(send: (answer: ShellAnswer) => void): void;
  /** It is gone, and with it the person before the terminal: every shell ends. */
  disconnected(): void;
  /** Never throws: what it cannot do becomes an answer. */
  handle(message: ShellMessage): void;
}
