import { observing } from './observing.ts';
import { lookAtPort } from './probes.ts';

/** Connections under way at once: a network that drops what it does not know is looked through in half a minute. */
const AT_ONCE = 128;

export const scanPortsExecutor = observing<'scan_ports'>(async (input, { host, signal }) => {
  const begun = host.bootTimeMs();
  const wanted = input.addresses.flatMap((address) => input.ports.map((port) => ({ address, port })));
  const isOpen = wanted.map(() => false);
  const rest = wanted.entries();
  const walk = async (): Promise<void> => {
    for (const [at, { address, port }] of rest) {
      signal.throwIfAborted();
      isOpen[at] = (await lookAtPort(address, port, input.timeout_seconds * 1000)).there;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, walk));
  return { open: wanted.filter((_, at) => isOpen[at]), took_ms: host.bootTimeMs() - begun };
});
