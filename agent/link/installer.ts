/** What the link needs of the agent's installation, and nothing more. */
import type { ForAgent, Installation } from '../../shared/protocol/messages.ts';

/** Messages about the agent itself. */
export type InstallMessage = Extract<ForAgent, { kind: 'upgrade' | 'uninstall' }>;

export interface Installer {
  /** What the controller is told after each Welcome, and when it changed. */
  state(): Installation;
  /** Never throws: what cannot be done becomes a state with an error. */
  handle(message: InstallMessage): void;
  /** Called when `state` has changed. */
  onChange(listener: () => void): void;
}
