import { pointsOf, type WriteKind, type WriteOf } from '../../shared/crash.ts';

/** Every durable write of the agent and of a command's wrapper: its name, and how it is done. */
export const WRITES = {
  'agent.lock': 'claim',
  'agent.lock.stale': 'rename',
  'agent.journal': 'log',
  'agent.journal.rewrite': 'replace',
  'agent.blob': 'replace',
  'agent.identity': 'replace',
  'agent.identity.commit': 'rename',
  'agent.identity.remove': 'remove',
  /** The native part of node-pty, out of the executable. */
  'agent.pty': 'replace',
  'agent.status': 'replace',
  'agent.install.unfinished': 'replace',
  'agent.install.executable': 'sync',
  'agent.install.release': 'rename',
  'agent.install.link': 'rename',
  'agent.upgrade.pending': 'replace',
  'agent.upgrade.outcome': 'replace',
  'agent.upgrade.settled': 'remove',
  /** What an action writes for the plan. */
  'agent.file': 'replace',
  'agent.file.moved': 'rename',
  /** What a rollback restores: bytes, and the changes of one resource. */
  'agent.undo.content': 'replace',
  'agent.undo.resource': 'replace',
  'agent.undo.forget': 'remove',
  'agent.command.spec': 'claim',
  'agent.command.started': 'claim',
  'agent.command.child': 'claim',
  'agent.command.cancel': 'claim',
  'agent.command.output': 'sync',
  'agent.command.status': 'replace',
} as const satisfies Record<string, WriteKind>;

/** The name of a write of that kind. */
export type Write<Kind extends WriteKind> = WriteOf<typeof WRITES, Kind>;

/** Between a durable write and the effect that follows from it, where a crash is told apart. */
export const PASSED = [
  /** A begun step is on disk, its action has not been started. */
  'agent.step.begun',
  /** An action has done its work, its end is not journaled. */
  'agent.step.done',
  /** A synced record is about to be sent. */
  'agent.outbox.send',
  /** An acknowledgement has come, and is not journaled. */
  'agent.outbox.acked',
  /** The command's folder is ready, no wrapper has been started. */
  'agent.command.launch',
  /** A wrapper has been started and may not have claimed its command. */
  'agent.command.launched',
  /** The wrapper owns the command and has not started it. */
  'agent.wrapper.claimed',
  /** The command runs, and nobody has noted its process. */
  'agent.wrapper.running',
  /** The command has ended, its status is not written. */
  'agent.wrapper.ended',
] as const;

/** All points of the agent at which a test may crash it. */
export const AGENT_POINTS: readonly string[] = pointsOf(WRITES, PASSED);
