import { z } from 'zod';
import type { Kubectl } from './kubectl.ts';

/** One control plane at a time: whose name is in this Lease. */
const NAME = 'kk-certs-renew';
const NAMESPACE = 'kube-system';
/** More than the hour between two tries: a node that did not come back ready keeps the others from the same fate. */
const HOLDS_SECONDS = 2 * 3600;

const Lease = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  spec: z
    .looseObject({
      holderIdentity: z.string().optional(),
      leaseDurationSeconds: z.number().optional(),
      renewTime: z.string().optional(),
    })
    .optional(),
});
type Lease = z.infer<typeof Lease>;

export type Taken = { taken: true } | { taken: false; heldBy: string } | { taken: false; trouble: string };

/**
 * A coordination.k8s.io Lease in kube-system. The API compares resourceVersions, so of two that try at once one gets it. Times
 * are those of the nodes' clocks; hours do not mind their seconds.
 */
export class RenewalLease {
  readonly #kubectl: Kubectl;
  readonly #holder: string;
  readonly #nowMs: () => number;

  constructor(kubectl: Kubectl, holder: string, nowMs: () => number) {
    this.#kubectl = kubectl;
    this.#holder = holder;
    this.#nowMs = nowMs;
  }

  /** Takes it, or keeps it if it is ours. `trouble`: the API does not answer, or refuses us. */
  async take(): Promise<Taken> {
    const found = await this.#read();
    if ('trouble' in found) return { taken: false, trouble: found.trouble };
    const { lease } = found;
    const holder = lease?.spec?.holderIdentity;
    if (lease !== undefined && holder && holder !== this.#holder && this.#holds(lease)) {
      return { taken: false, heldBy: holder };
    }
    const now = microTime(this.#nowMs());
    const spec = {
      holderIdentity: this.#holder,
      leaseDurationSeconds: HOLDS_SECONDS,
      acquireTime: now,
      renewTime: now,
    };
    const { code, stderr } = await this.#write(lease, spec);
    if (code === 0) return { taken: true };
    // Somebody was faster between the look and the write.
    if (/\((Conflict|AlreadyExists)\)|object has been modified/.test(stderr)) {
      return { taken: false, heldBy: 'another control plane' };
    }
    return { taken: false, trouble: lastLine(stderr) };
  }

  /** Gives it back if it is ours. What goes wrong here is mended by time. */
  async free(): Promise<void> {
    const found = await this.#read();
    if ('trouble' in found || found.lease?.spec?.holderIdentity !== this.#holder) return;
    await this.#write(found.lease, {});
  }

  #holds({ spec }: Lease): boolean {
    const renewed = Date.parse(spec?.renewTime ?? '');
    return Number.isNaN(renewed) || renewed + (spec?.leaseDurationSeconds ?? HOLDS_SECONDS) * 1000 > this.#nowMs();
  }

  /** No `lease`: nobody has made one yet. */
  async #read(): Promise<{ lease?: Lease } | { trouble: string }> {
    const { code, stdout, stderr } = await this.#kubectl(['-n', NAMESPACE, 'get', 'lease', NAME, '-o', 'json']);
    if (code !== 0) return stderr.includes('(NotFound)') ? {} : { trouble: lastLine(stderr) };
    const read = Lease.safeParse(parsed(stdout));
    return read.success
      ? { lease: read.data }
      : { trouble: `kubectl told a Lease that cannot be read: ${read.error.message}` };
  }

  #write(before: Lease | undefined, spec: object): ReturnType<Kubectl> {
    const { resourceVersion } = before?.metadata ?? {};
    const lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: NAME, namespace: NAMESPACE, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
      spec,
    };
    return this.#kubectl([before === undefined ? 'create' : 'replace', '-f', '-'], JSON.stringify(lease));
  }
}

/** Kubernetes' MicroTime wants six digits. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace(/Z$/, '000Z');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 500) ?? '';
}
