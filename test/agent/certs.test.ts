import t from 'tap';
import { findCertificates, USUAL_PLACES } from '../../agent/certs/find.ts';
import type { HostFiles } from '../../agent/host/host.ts';
import { Api, ControlPlane, certificateUntil, kubeconfig, START_MS } from '../support/control-plane.ts';

const DAY_MS = 86_400_000;

t.test('certificates that are good for longer than stated are left alone', async (t) => {
  const node = await new ControlPlane('cp1').install(31);
  t.match(await node.renew(), { state: 'good', message: /apiserver|admin\.conf/ });
  t.same(node.did, []);
  t.equal(node.api.lease, undefined, 'and nobody is asked for leave');
  t.match(await node.renew({ renewBeforeDays: 40 }), { state: 'renewed' }, 'the threshold is the plan’s');
});

t.test(
  'near their end all are renewed, its programs and no others restarted one by one, and copies of admin.conf follow',
  async (t) => {
    const node = await new ControlPlane('cp1').install(29);
    node.write('/etc/etcd/pki/server.crt', await certificateUntil(START_MS + 10 * DAY_MS, 'member'));
    node.runInPod(900, ['kube-apiserver', '--advertise-address=10.9.9.9', '--secure-port=6443']);
    const own = kubeconfig('mine', 'https://elsewhere:6443');
    const renewal = await node.renew();
    t.match(renewal, { state: 'renewed', message: /\/root\/\.kube\/config.*kk-controller certs renew.*etcd\/server/ });
    t.same(node.did, [
      'kubeadm',
      'restart kube-apiserver',
      'restart kube-controller-manager',
      'restart kube-scheduler',
    ]);
    t.equal(node.read('/root/.kube/config'), node.read('/etc/kubernetes/admin.conf'));
    t.equal(node.api.lease?.spec.holderIdentity, undefined, 'the next control plane may begin');
    t.match(JSON.parse(node.read('/var/lib/kk-agent/certs.json') ?? ''), renewal, 'the result is kept');

    node.write('/root/.kube/config', own);
    await node.renew({ now: true });
    t.equal(node.read('/root/.kube/config'), own, 'a kubeconfig of somebody’s own stays');
  },
);

t.test('what kubeadm does not renew ends no program', async (t) => {
  const node = await new ControlPlane('cp1').install(31);
  const ended = await certificateUntil(START_MS - DAY_MS, 'stranger');
  for (const path of ['/root/.kube/config', '/etc/kubernetes/bob.conf']) node.write(path, kubeconfig(ended));
  for (const path of ['pki/bob.crt', 'pki/etcd/server.crt']) node.write(`/etc/kubernetes/${path}`, ended);
  t.match(await node.renew(), { state: 'good' }, 'certificates of others');
  t.same(node.did, []);

  node.signsNothing = true;
  const renewal = await node.renew({ now: true });
  t.match(renewal, { state: 'renewing', message: /CERTS_NOT_RENEWED.*(apiserver\.crt|admin\.conf) as it was/ });
  t.same(node.did, ['kubeadm'], 'nor does one of its own that it could not sign');
  t.equal(node.api.lease?.spec.holderIdentity, undefined, 'and no other control plane has to wait for it');
  node.api.ready = false;
  await node.renew({ now: true });
  t.equal(node.api.lease?.spec.holderIdentity, 'cp1', 'unless it is not well itself');
});

t.test('an etcd in a static pod is restarted where it has certificates of kubeadm', async (t) => {
  const renewed = async (...args: string[]): Promise<string[]> => {
    const node = await new ControlPlane('cp1').install(20);
    node.addStaticPod('etcd', args);
    t.match(await node.renew(), { state: 'renewed' });
    return node.did.filter((did) => did.includes('etcd'));
  };
  t.same(await renewed('--cert-file=/etc/kubernetes/pki/etcd/server.crt'), ['restart etcd']);
  t.same(await renewed('--cert-file=/srv/etcd/server.crt'), [], 'one of somebody else');
});

t.test('never two control planes at once', async (t) => {
  const api = new Api();
  const [one, two] = await Promise.all(['cp1', 'cp2'].map((name) => new ControlPlane(name, api).install(20)));
  if (!one || !two) return;
  one.refuses = 'kube-apiserver';
  t.match(await one.renew(), { state: 'renewing', message: /CERTS_POD_NOT_BACK[\s\S]*journalctl/ });
  t.match(
    await two.renew(),
    { state: 'postponed', waits: true, message: /^cp1 is renewing/ },
    'one that is not ready keeps the others',
  );
  t.same(two.did, []);

  one.refuses = undefined;
  t.match(await one.renew(), { state: 'renewed' });
  two.nowMs = one.nowMs;
  t.match(await two.renew(), { state: 'renewed' });

  const three = await new ControlPlane('cp3', api).install(20);
  api.onLook = () => {
    api.onLook = () => {};
    api.lease = { metadata: { resourceVersion: 'another' }, spec: { holderIdentity: 'cp1' } };
  };
  t.match(await three.renew(), { state: 'postponed' }, 'of two that look at once one gets it');

  api.lease = {
    metadata: { resourceVersion: '9' },
    spec: { holderIdentity: 'gone', renewTime: '2025-12-31T00:00:00Z' },
  };
  t.match(await three.renew(), { state: 'renewed' }, 'one that has died does not keep it for ever');
});

t.test('held up or with the API down it waits, but not until it is too late', async (t) => {
  const api = new Api();
  const node = await new ControlPlane('cp1', api).install(20);
  api.up = false;
  t.match(await node.renew(), { state: 'postponed', message: /API does not answer.*Unable to connect/ });
  api.up = true;
  node.runAtWork = true;
  t.match(await node.renew(), { state: 'postponed', message: /a run is at work/ });
  t.same(node.did, []);

  const late = await new ControlPlane('cp2', api).install(2);
  late.runAtWork = true;
  api.lease = {
    metadata: { resourceVersion: '9' },
    spec: { holderIdentity: 'cp1', renewTime: new Date(START_MS).toISOString() },
  };
  t.match(await late.renew(), { state: 'renewed' }, 'under three days it goes alone');
  t.equal(api.lease?.spec.holderIdentity, 'cp1', 'and leaves the Lease to its holder');
});

t.test('what was cut short is finished, although the certificates look new', async (t) => {
  const node = await new ControlPlane('cp1').install(20);
  node.diesAt = 'kube-controller-manager';
  t.match(await node.renew(), { state: 'renewing', waits: undefined });
  node.diesAt = undefined;
  node.api.up = false;
  t.match(await node.renew(), { state: 'renewing', waits: true }, 'it is not forgotten while the API is down');
  node.api.up = true;
  node.did.length = 0;
  t.match(await node.renew(), { state: 'renewed' });
  t.ok(node.did.includes('restart kube-controller-manager'));
  t.match(await node.renew(), { state: 'good' });
});

t.test('every certificate of a node is found, with who renews it', async (t) => {
  const pem = await certificateUntil(START_MS, 'somebody');
  const texts: Record<string, string> = {
    '/etc/kubernetes/pki/apiserver.crt': pem,
    '/etc/kubernetes/pki/apiserver-etcd-client.crt': pem,
    '/etc/kubernetes/pki/bob.crt': pem,
    '/etc/kubernetes/pki/broken.crt': 'not a certificate',
    '/etc/kubernetes/scheduler.conf': kubeconfig(pem),
    '/etc/kubernetes/kubelet.conf': 'users: [{name: node, user: {client-certificate: /var/lib/kubelet/x.pem}}]',
    '/etc/etcd/pki/peer.crt': pem,
    '/var/lib/kubelet/pki/kubelet-client-current.pem': pem,
  };
  const files = {
    read: async (path: string) => (texts[path] === undefined ? undefined : Buffer.from(texts[path])),
    stat: async () => undefined,
    list: async (folder: string) => {
      const below = Object.keys(texts).filter((path) => path.startsWith(`${folder}/`));
      return below.map((path) => path.slice(folder.length + 1)).filter((name) => !name.includes('/'));
    },
  } as unknown as HostFiles;
  const found = await findCertificates(files, USUAL_PLACES);
  t.same(
    found.map(({ name, keeper, subject, not_after_ms }) => [name, keeper, subject, not_after_ms]),
    [
      ['apiserver', 'timer', 'somebody', START_MS],
      ['apiserver-etcd-client', 'run', 'somebody', START_MS],
      ['bob', 'nobody', 'somebody', START_MS],
      ['scheduler.conf', 'timer', 'somebody', START_MS],
      ['etcd/peer', 'run', 'somebody', START_MS],
      ['kubelet-client-current', 'kubelet', 'somebody', START_MS],
    ],
  );
});
