/** Another program that uses the package manager: waited for, and named when it does not end. */
import { KkError } from '../../../shared/errors.ts';
import type { Host, RunOutput } from '../../host/host.ts';
import { lockedBy } from './failures.ts';

const LOOK_AGAIN_MS = 2000;

export interface Waiting {
  host: Pick<Host, 'files' | 'bootTimeMs'>;
  signal: AbortSignal;
  /** 0: not at all. */
  lockWaitMs: number;
}

/** Runs a program again until no other one is at it; how it ended then. Throws PACKAGE_LOCK_HELD with who holds it. */
export async function untilFree<T extends RunOutput>(program: () => Promise<T>, waiting: Waiting): Promise<T> {
  const { host, signal, lockWaitMs } = waiting;
  const deadline = host.bootTimeMs() + lockWaitMs;
  for (;;) {
    const output = await program();
    const locked = lockedBy(output);
    if (locked === undefined) return output;
    const left = deadline - host.bootTimeMs();
    if (left <= 0) throw await lockHeld(locked.pid, waiting, output);
    await host.files.changed('/var/lib/dpkg', { timeoutMs: Math.min(LOOK_AGAIN_MS, left), signal });
  }
}

async function lockHeld(pid: number | undefined, { host, lockWaitMs }: Waiting, output: RunOutput): Promise<KkError> {
  const line = pid === undefined ? undefined : await host.files.read(`/proc/${pid}/cmdline`).catch(() => undefined);
  const command = line?.toString('utf8').replaceAll('\0', ' ').trim().slice(0, 300) || 'a program that is gone by now';
  const who = pid === undefined ? 'another program' : `process ${pid} (${command})`;
  return new KkError({
    code: 'PACKAGE_LOCK_HELD',
    message: `The package manager is in use by ${who}, still after ${lockWaitMs / 1000} s.`,
    remedy:
      'Wait until it has ended (unattended upgrades take a while), or end it on the node if it hangs; lock_wait_seconds waits longer.',
    evidence: `${output.stderr}\n${output.stdout}`.trim().slice(-2000),
  });
}
