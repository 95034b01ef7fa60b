import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import type { ActionExecutor } from './executor.ts';
import { observing } from './observing.ts';

/** Afresh, and not the run's frozen facts. */
export function factsExecutor(gather: (host: Host) => Promise<Facts>): ActionExecutor<'facts'> {
  return observing<'facts'>(async (_, { host }) => ({ facts: await gather(host) }));
}
