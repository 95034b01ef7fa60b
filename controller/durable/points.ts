import { pointsOf, type WriteKind, type WriteOf } from '../../shared/crash.ts';

/** Every durable write of the controller: its name, and how it is done. */
export const WRITES = {
  'controller.lock': 'claim',
  'controller.lock.stale': 'rename',
  'controller.ca': 'replace',
  'controller.seal': 'replace',
  'controller.kubeconfig': 'replace',
  'controller.cluster-ca': 'replace',
  'controller.secrets-key': 'replace',
  'controller.blob': 'replace',
  'controller.components.lock': 'replace',
  'controller.fetched': 'replace',
  'controller.backup': 'replace',
  'controller.restore': 'replace',
  'controller.store': 'transaction',
} as const satisfies Record<string, WriteKind>;

/** The name of a write of that kind. */
export type Write<Kind extends WriteKind> = WriteOf<typeof WRITES, Kind>;

/** Between a durable write and the effect that follows from it, where a crash is told apart. */
export const PASSED = [
  /** Events are stored, nothing was done about them. */
  'controller.events.stored',
  /** What follows from stored events was sent, they are not acknowledged. */
  'controller.events.applied',
  /** An agent's Hello was noted, Welcome was not sent. */
  'controller.hello.noted',
] as const;

/** All points of the controller at which a test may crash it. Those of the store are passed in its worker thread. */
export const CONTROLLER_POINTS: readonly string[] = pointsOf(WRITES, PASSED);
