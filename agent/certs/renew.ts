import { readableTime } from '../../shared/certificates.ts';
import { KkError, reportOf } from '../../shared/errors.ts';
import { type NodeCertificate, Renewal } from '../../shared/node-certificates.ts';
import type { Host } from '../host/host.ts';
import { type CertificatePlaces, findCertificates } from './find.ts';
import { earliest, isKubeadms, judge, wantRun } from './judge.ts';
import { refreshCopies } from './kubeconfig-copy.ts';
import { kubectlOf } from './kubectl.ts';
import { RenewalLease, type Taken } from './lease.ts';
import { ownApiserver, restartStaticPod, staticPodsOf, type Waiting } from './static-pods.ts';

export interface RenewOptions {
  node: string;
  places: CertificatePlaces;
  /** The folder of kubeadm and kubectl. */
  bin: string;
  renewBeforeMs: number;
  /** Whatever is left. */
  now: boolean;
  /** Where the result is kept. */
  status: string;
}

export interface RenewPorts {
  host: Host;
  waiting: Waiting;
  /** Is a run at work on this node? */
  runAtWork(): Promise<boolean>;
}

/** kubeadm asks the API for its configuration before it does without. */
const KUBEADM_MS = 5 * 60_000;
const READY_MS = 5 * 60_000;
const LOOK_MS = 1000;

/**
 * Renews the certificates of kubeadm on this control plane when the first of them is about to end: never two control planes at
 * once (a Lease), never beside a run, one program after the other, the next control plane only when this one's apiserver is
 * ready. A renewal that was cut short is finished by the next one. Does not throw: what became of it is the answer, and is
 * kept in `status`.
 */
export async function renewCertificates(options: RenewOptions, ports: RenewPorts): Promise<Renewal> {
  const { host } = ports;
  const tell = async (state: Renewal['state'], message: string, more: { waits?: true } = {}): Promise<Renewal> => {
    const renewal: Renewal = { at_ms: host.nowMs(), state, message: message.slice(0, 4096), ...more };
    await host.files.writeAtomic(options.status, Buffer.from(JSON.stringify(renewal)), { mode: 0o600 });
    return renewal;
  };
  const last = await readRenewal(host, options.status);
  // A try that has to wait must not make the next one forget that there is something to finish.
  const wait = (why: string): Promise<Renewal> =>
    tell(last?.state === 'renewing' ? 'renewing' : 'postponed', why, { waits: true });
  try {
    const certificates = await findCertificates(host.files, options.places);
    const verdict = judge({
      certificates,
      renewBeforeMs: options.renewBeforeMs,
      now: options.now,
      unfinished: last?.state === 'renewing',
      runAtWork: await ports.runAtWork(),
      nowMs: host.nowMs(),
    });
    const warning = wantRun(certificates, options.renewBeforeMs, host.nowMs());
    const also =
      warning.length === 0
        ? ''
        : `; only \`kk-controller certs renew\` renews these (with etcd.mode endpoints: new files beside the plan, then an apply): ${warning.join(', ')}`;
    if (verdict.do === 'nothing') return await tell('good', verdict.why + also);
    if (verdict.do === 'wait') return await wait(verdict.why + also);
    const lease = new RenewalLease(kubectlOf(host, paths(options)), options.node, () => host.nowMs());
    const taken = await lease.take();
    if (!taken.taken && !verdict.alone) return await wait(`${whyNot(taken)}; ${verdict.why}${also}`);
    await tell('renewing', verdict.why);
    const done = await renewHere(options, ports, earliest(certificates.filter(isKubeadms))).catch(async (thrown) => {
      // No program was ended, in this try: if the one before left the node well, nobody has to wait for it.
      if (isNotRenewed(thrown) && (await isReady(options, host))) await lease.free();
      throw thrown;
    });
    await lease.free();
    return await tell('renewed', done + also);
  } catch (thrown) {
    const { code, message, remedy, evidence } = reportOf(thrown);
    // `renewing` stays: the programs may still run with what is about to end.
    const state = (await readRenewal(host, options.status))?.state === 'renewing' ? 'renewing' : 'failed';
    return tell(state, [`${code}: ${message}`, remedy, evidence ?? ''].join('\n'));
  }
}

/** `before`: the certificate of kubeadm that ended first. */
async function renewHere(
  options: RenewOptions,
  { host, waiting }: RenewPorts,
  before: NodeCertificate | undefined,
): Promise<string> {
  const { kubernetes, kubeconfigs } = options.places;
  const kubeadm = await host.run([`${options.bin}/kubeadm`, 'certs', 'renew', 'all'], { timeoutMs: KUBEADM_MS });
  if (kubeadm.code !== 0) {
    throw new KkError({
      code: 'CERTS_NOT_RENEWED',
      message: `kubeadm certs renew all exited with ${kubeadm.code}.`,
      remedy: 'Mend what it names; it is tried again within the hour (journalctl -u kk-certs-renew).',
      evidence: (kubeadm.stderr || kubeadm.stdout).trim().slice(-2000),
    });
  }
  // Without the key of its CA kubeadm leaves one as it is, and exits with 0: ended programs would be no better off.
  const first = earliest((await findCertificates(host.files, options.places)).filter(isKubeadms));
  if (first !== undefined && before !== undefined && first.not_after_ms <= before.not_after_ms) {
    throw new KkError({
      code: 'CERTS_NOT_RENEWED',
      message: `kubeadm certs renew all left ${first.path} as it was: it ends on ${readableTime(first.not_after_ms)}.`,
      remedy: 'Renew it where it was signed, or give kubeadm the key of its CA; no program was restarted.',
      evidence: (kubeadm.stderr || kubeadm.stdout).trim().slice(-2000),
    });
  }
  const copies = await refreshCopies(host.files, `${kubernetes}/admin.conf`, kubeconfigs);
  for (const pod of await staticPodsOf(host, kubernetes)) {
    await restartStaticPod(host, kubernetes, pod, waiting);
    if (pod === 'kube-apiserver') await ownReadyz(options, { host, waiting });
  }
  return ['the certificates of kubeadm are new, and its programs have read them', ...copies].join('; also in ');
}

function isNotRenewed(thrown: unknown): boolean {
  return thrown instanceof KkError && thrown.code === 'CERTS_NOT_RENEWED';
}

/** Does this node's own apiserver say that it is, now? */
async function isReady(options: RenewOptions, host: Host): Promise<boolean> {
  try {
    const server = await ownApiserver(host, options.places.kubernetes);
    const { code, stdout } = await kubectlOf(host, paths(options), server)(['get', '--raw', '/readyz']);
    return code === 0 && stdout.trim() === 'ok';
  } catch {
    return false;
  }
}

/** Asked with the new certificate, at this node's own apiserver. Throws CERTS_NOT_READY. */
async function ownReadyz(options: RenewOptions, { host, waiting }: Omit<RenewPorts, 'runAtWork'>): Promise<void> {
  const server = await ownApiserver(host, options.places.kubernetes);
  const kubectl = kubectlOf(host, paths(options), server);
  const end = waiting.bootTimeMs() + READY_MS;
  for (;;) {
    const { code, stdout, stderr } = await kubectl(['get', '--raw', '/readyz']);
    if (code === 0 && stdout.trim() === 'ok') return;
    if (waiting.bootTimeMs() >= end) {
      throw new KkError({
        code: 'CERTS_NOT_READY',
        message: `${server} has not been ready for ${READY_MS / 60_000} minutes after its certificates were renewed.`,
        remedy: 'See why: crictl logs of kube-apiserver. The other control planes wait meanwhile.',
        evidence: (stderr || stdout).trim().slice(-1000),
      });
    }
    await waiting.sleep(LOOK_MS);
  }
}

function paths({ bin, places }: RenewOptions): { bin: string; kubernetes: string } {
  return { bin, kubernetes: places.kubernetes };
}

function whyNot(taken: Taken & { taken: false }): string {
  return 'heldBy' in taken
    ? `${taken.heldBy} is renewing its certificates`
    : `the API does not answer (${taken.trouble})`;
}

/** What became of the last one; undefined: there was none. */
export async function readRenewal(host: Host, path: string): Promise<Renewal | undefined> {
  const text = (await host.files.read(path))?.toString('utf8');
  try {
    return text === undefined ? undefined : Renewal.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
