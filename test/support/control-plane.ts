/** A control plane in memory: kubeadm's files, a kubelet that starts ended programs again, and an API with Leases. */
import { webcrypto } from 'node:crypto';
import { USUAL_PLACES } from '../../agent/certs/find.ts';
import { renewCertificates } from '../../agent/certs/renew.ts';
import type { Host, RunOutput } from '../../agent/host/host.ts';

const DAY_MS = 86_400_000;
export const START_MS = Date.parse('2026-01-01T00:00:00Z');

/** PEM of a self-signed certificate that ends then. */
export async function certificateUntil(endMs: number, name = 'kube-apiserver'): Promise<string> {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${name}`,
    notBefore: new Date(endMs - 365 * DAY_MS),
    notAfter: new Date(endMs),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    keys,
  });
  return made.toString('pem');
}

export function kubeconfig(certificate: string, cluster = 'https://lb:8443'): string {
  const data = Buffer.from(certificate).toString('base64');
  return `apiVersion: v1
clusters: [{name: kubernetes, cluster: {server: "${cluster}"}}]
users:
- name: kubernetes-admin
  user:
    client-certificate-data: ${data}
    client-key-data: ${data.slice(0, 8)}
`;
}

const OK: RunOutput = { code: 0, stdout: '', stderr: '' };

/** What all control planes of a cluster see. */
export class Api {
  up = true;
  ready = true;
  lease: { metadata: { resourceVersion: string }; spec: { holderIdentity?: string; renewTime?: string } } | undefined;
  /** Called between the look at the Lease and the write of it. */
  onLook: () => void = () => {};
  #version = 1;

  answer(args: readonly string[], input = ''): RunOutput {
    const refused = (stderr: string): RunOutput => ({ code: 1, stdout: '', stderr });
    if (!this.up) return refused('Unable to connect to the server: EOF\n');
    const words = args.join(' ');
    if (words.includes('get --raw /readyz')) return this.ready ? { ...OK, stdout: 'ok' } : refused('etcd failed\n');
    if (words.includes('get lease')) {
      const { lease } = this;
      this.onLook();
      return lease
        ? { ...OK, stdout: JSON.stringify(lease) }
        : refused('Error from server (NotFound): leases "x" not found\n');
    }
    const given = JSON.parse(input);
    if (words.includes('create') && this.lease) return refused('Error from server (AlreadyExists): leases "x"\n');
    if (words.includes('replace') && given.metadata.resourceVersion !== this.lease?.metadata.resourceVersion)
      return refused('Error from server (Conflict): the object has been modified\n');
    this.#version += 1;
    this.lease = { metadata: { resourceVersion: String(this.#version) }, spec: given.spec };
    return OK;
  }
}

/** What kubeadm's manifest of a program says. */
function argvOf(pod: string): string[] {
  return [pod, '--advertise-address=10.0.0.11', '--secure-port=6443'];
}

export class ControlPlane {
  readonly files = new Map<string, Buffer>();
  readonly api: Api;
  readonly node: string;
  /** argv[0] -> pid; an ended one gets a new pid at the next look. */
  readonly programs = new Map<string, number>();
  /** What was done, in order. */
  readonly did: string[] = [];
  nowMs = START_MS;
  runAtWork = false;
  /** The machine dies at this point of a renewal. */
  diesAt: string | undefined;
  /** A kubelet that does not start this program again. */
  refuses: string | undefined;
  /** kubeadm leaves certificates as they are: the keys of their CAs are elsewhere. */
  signsNothing = false;
  readonly #args = new Map<string, string[]>();
  #nextPid = 100;

  constructor(node: string, api = new Api()) {
    this.node = node;
    this.api = api;
  }

  /** As kubeadm left it, with certificates that end in so many days. */
  async install(days: number): Promise<this> {
    await this.#issue(START_MS + days * DAY_MS);
    for (const pod of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'])
      this.addStaticPod(pod, argvOf(pod).slice(1));
    this.write('/root/.kube/config', this.read('/etc/kubernetes/admin.conf') ?? '');
    return this;
  }

  addStaticPod(pod: string, args: string[]): void {
    this.#args.set(pod, args);
    const container = { command: [pod], args };
    this.write(`/etc/kubernetes/manifests/${pod}.yaml`, JSON.stringify({ spec: { containers: [container] } }));
    this.#start(pod);
  }

  read(path: string): string | undefined {
    return this.files.get(path)?.toString('utf8');
  }

  write(path: string, text: string): void {
    this.files.set(path, Buffer.from(text));
  }

  renew(options: { now?: boolean; renewBeforeDays?: number } = {}) {
    return renewCertificates(
      {
        node: this.node,
        places: USUAL_PLACES,
        bin: '/usr/local/bin',
        renewBeforeMs: (options.renewBeforeDays ?? 30) * DAY_MS,
        now: options.now ?? false,
        status: '/var/lib/kk-agent/certs.json',
      },
      {
        host: this.#host(),
        waiting: { sleep: (ms) => this.#pass(ms), bootTimeMs: () => this.nowMs - START_MS },
        runAtWork: async () => this.runAtWork,
      },
    );
  }

  async #issue(endMs: number): Promise<void> {
    const pem = await certificateUntil(endMs);
    this.write('/etc/kubernetes/pki/apiserver.crt', pem);
    this.write('/etc/kubernetes/admin.conf', kubeconfig(pem));
  }

  async #pass(ms: number): Promise<void> {
    this.nowMs += ms;
    for (const [pod, pid] of this.programs) if (pid === 0 && pod !== this.refuses) this.#start(pod);
  }

  #start(pod: string): void {
    const pid = this.#nextPid++;
    this.programs.set(pod, pid);
    this.runInPod(pid, [pod, ...(this.#args.get(pod) ?? [])]);
  }

  /** A process in a pod, whoever's. */
  runInPod(pid: number, argv: readonly string[]): void {
    this.write(`/proc/${pid}/cmdline`, `${argv.join('\0')}\0`);
    this.write(`/proc/${pid}/cgroup`, '1:name=systemd:/kubepods.slice/x\n');
  }

  #end(pid: string): void {
    if (![...this.programs.values()].includes(Number(pid))) this.did.push(`end ${this.read(`/proc/${pid}/cmdline`)}`);
    for (const [pod, its] of this.programs) {
      if (String(its) !== pid) continue;
      this.did.push(`restart ${pod}`);
      this.programs.set(pod, 0);
      this.files.delete(`/proc/${pid}/cmdline`);
      this.files.delete(`/proc/${pid}/cgroup`);
      if (this.diesAt === pod) throw new Error('the power fails');
    }
  }

  #host(): Host {
    const run = async (argv: readonly string[], { input }: { input?: string } = {}): Promise<RunOutput> => {
      const [program = ''] = argv;
      if (program.endsWith('/kubectl')) return this.api.answer(argv, input);
      if (program.endsWith('/kubeadm')) {
        this.did.push('kubeadm');
        if (!this.signsNothing) await this.#issue(this.nowMs + 365 * DAY_MS);
      } else this.#end(argv.at(-1) ?? '');
      return OK;
    };
    const under = (folder: string): string[] => {
      const below = [...this.files.keys()].filter((path) => path.startsWith(`${folder}/`));
      return [...new Set(below.map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))].sort();
    };
    const attributes = { kind: 'file', mode: 0o600, uid: 0, gid: 0, size: 0, mtimeMs: 0 };
    const files = {
      read: async (path: string) => this.files.get(path),
      stat: async (path: string) => (this.files.has(path) ? attributes : undefined),
      whole: async (path: string) => {
        const content = this.files.get(path);
        return content && { stat: attributes, content };
      },
      list: async (folder: string) => under(folder),
      writeAtomic: async (path: string, content: Uint8Array) => void this.files.set(path, Buffer.from(content)),
    };
    return { run, files, nowMs: () => this.nowMs, bootTimeMs: () => this.nowMs - START_MS } as unknown as Host;
  }
}
