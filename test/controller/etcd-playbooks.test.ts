/** The playbooks of kk's own that a command puts in the place of a plan's: etcd's snapshots, certificates; etcd of each mode. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { knownFailure } from '../../agent/actions/known-failure.ts';
import { compile, DEFAULT_COMPILE_OPTIONS } from '../../controller/compile/compile.ts';
import { phaseTag } from '../../controller/compile/select.ts';
import { loadSources, parsePlan } from '../../controller/plan/index.ts';
import type { KnownFailure } from '../../shared/actions/known-failure.ts';
import { KkErrors } from '../../shared/errors.ts';

const plan = (etcd: string, members = 'cp1, cp2, cp3'): string => `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: lab}
spec:
  inventory:
    hosts:
      cp1: {address: 10.0.0.1}
      cp2: {address: "fd00::2"}
      cp3: {address: 10.0.0.3}
      w1: {address: 10.0.0.4}
    groups: {control_plane: [cp1, cp2, cp3], etcd: ${etcd.includes('endpoints') ? '[]' : `[${members}]`}, worker: [w1]}
  hooks:
    - {before: install, scripts: {all: hook.sh}}
  playbooks: [site.yaml]
  config:
    kubernetes: {version: v1.34.2}
    etcd: ${etcd}
`;

const CLIENT = `config: cluster
plays: [{name: client, hosts: control_plane, roles: [etcd/client]}]
`;

/** The graph of a command's playbooks over the plan, or the problems that are told. */
async function graphOf(
  t: Test,
  { etcd, playbooks, tags = [], members }: { etcd: string; playbooks: string[]; tags?: string[]; members?: string },
) {
  const folder = t.testdir({ pki: { 'ca.crt': 'ca', 'client.crt': 'client', 'client.key': 'key' } });
  writeFileSync(join(folder, 'client.yaml'), CLIENT);
  const file = join(folder, 'plan.yaml');
  writeFileSync(file, plan(etcd, members));
  const sources = await loadSources(file, { playbooks });
  const parsed = parsePlan(sources);
  if ('problems' in parsed) return parsed;
  const compiled = compile(parsed.plan, { ...DEFAULT_COMPILE_OPTIONS, tags });
  if ('problems' in compiled) throw new KkErrors(compiled.problems);
  return { ...compiled, parsed: parsed.plan };
}

t.test('they compile for every mode of etcd, over a plan whose own playbooks and hooks are left out', async (t) => {
  for (const etcd of ['{mode: external}', '{mode: internal}']) {
    for (const playbook of ['etcd-backup', 'etcd-restore', 'certs-renew']) {
      const found = await graphOf(t, { etcd, playbooks: [playbook] });
      if ('problems' in found) t.same(found.problems, [], `${playbook} ${etcd}`);
      else t.ok(found.graph.tasks.length > 0, `${playbook} ${etcd}`);
    }
  }
  const unknown = await graphOf(t, { etcd: '{mode: external}', playbooks: ['etcd-restor'] });
  t.match('problems' in unknown && unknown.problems, [{ code: 'PLAN_UNKNOWN_PLAYBOOK', remedy: /etcd-restore/ }]);
});

t.test(
  'certificates are renewed one machine at a time; nothing of a restore begins before a person said yes',
  async (t) => {
    const renew = await graphOf(t, { etcd: '{mode: external}', playbooks: ['certs-renew'] });
    if ('problems' in renew) return t.fail(JSON.stringify(renew.problems));
    t.same(
      renew.parsed.plays.map(({ name, serial, afterAll }) => [name, serial, afterAll]),
      [
        ['certs-etcd', [1], false],
        ['certs-control-plane', [1], true],
      ],
    );
    const restore = await graphOf(t, { etcd: '{mode: external}', playbooks: ['etcd-restore'] });
    if ('problems' in restore) return t.fail(JSON.stringify(restore.problems));
    t.same(
      restore.parsed.plays.map(({ name, afterAll, roles }) => [name, afterAll, roles.map(({ role }) => role)]),
      [
        ['etcd-restore', false, ['etcd/restore']],
        ['verify', true, ['verify']],
      ],
      'a restore is done when the cluster works',
    );
    for (const [playbook, phase] of [
      ['etcd-restore', 'nothing'],
      ['delete-cluster', 'reset'],
    ] as const) {
      const part = await graphOf(t, { etcd: '{mode: external}', playbooks: [playbook], tags: [phaseTag(phase)] });
      if ('problems' in part) return t.fail(JSON.stringify(part.problems));
      const asked = part.graph.tasks.filter(({ action }) => action === 'confirm');
      t.equal(asked.length, 1, `a part of ${playbook} is asked for as the whole`);
    }
    const { tasks } = restore.parsed.roles['etcd/restore'] ?? { tasks: [] };
    const needsOf = (id: string): string[] =>
      (tasks.find((task) => task.id === id)?.needs ?? []).map((need) => JSON.stringify(need));
    for (const id of ['stop', 'stop-control-plane'])
      t.match(needsOf(id).join(), /"sure".*"all"/, `${id} also where no control plane is in between`);
  },
);

t.test('an etcd that is there already: its files are those beside the plan', async (t) => {
  const endpoints =
    '{mode: endpoints, endpoints: ["https://10.1.0.1:2379"], ca_file: ./pki/ca.crt, cert_file: ./pki/client.crt, key_file: ./pki/';
  const found = await graphOf(t, { etcd: `${endpoints}client.key}`, playbooks: ['client.yaml'] });
  if ('problems' in found) return t.same(found.problems, []);
  const copies = (found.parsed.roles['etcd/client']?.tasks ?? []).filter(({ action }) => action === 'copy');
  t.same(
    copies.map(({ blobs }) => Object.keys(blobs ?? {}).map((path) => path.split('/').at(-1))),
    [['ca.crt'], ['client.crt'], ['client.key']],
  );
  const missing = await graphOf(t, { etcd: `${endpoints}nobody.key}`, playbooks: ['client.yaml'] });
  t.match('problems' in missing && missing.problems, [
    { code: 'PLAN_MISSING', message: /There is no file .*pki\/nobody\.key/, position: { line: 17 } },
  ]);
});

t.test('a member without data begins only where nobody was at work', async (t) => {
  const folder = t.testdir({ 'etcdctl.env': '' });
  writeFileSync(
    join(folder, 'etcdctl'),
    `#!/bin/sh
case $* in
  *'member list') cat ${folder}/list ;;
  *'endpoint status') test -e ${folder}/status ;;
esac
`,
    { mode: 0o755 },
  );
  const script = join(folder, 'may-form.sh');
  const text = readFileSync('controller/playbooks/roles/etcd/files/may-form.sh', 'utf8');
  writeFileSync(script, text.replaceAll('/etc/etcd', folder));
  const other = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.teardown(() => other.close());
  const port = (other.address() as AddressInfo).port;
  const peer = `https://10.0.0.1:${port}`;
  const ask = async (): Promise<string> =>
    await new Promise((resolve) => {
      execFile('sh', [script, peer, folder, `https://127.0.0.1:${port} https://127.0.0.1:1`], (error, out, err) =>
        resolve(error ? `error: ${err}` : out.trim()),
      );
    });

  t.equal(await ask(), 'new', 'the others wait for their first quorum');
  writeFileSync(join(folder, 'bootstrap.env'), 'ETCD_INITIAL_CLUSTER_STATE=new\n');
  t.equal(await ask(), 'new', 'begun, and cut off');
  writeFileSync(join(folder, 'status'), '');
  t.match(await ask(), /error: .*have no quorum.*\n.*127\.0\.0\.1/, 'one is at work and cannot give the list');
  writeFileSync(join(folder, 'list'), `1, started, cp2, https://10.0.0.2:2380, https://10.0.0.2:2379, false\n`);
  t.match(await ask(), /error: .*does not list it/);
  writeFileSync(join(folder, 'list'), `2, started, cp1, ${peer}, https://10.0.0.1:2379, false\n`);
  t.match(await ask(), /error: .*its data are gone(.*\n)*.*member remove 2/);
  writeFileSync(join(folder, 'list'), `2, started, cp1, ${peer}, , false\n`);
  t.equal(await ask(), 'new', 'listed from the start, never up');
  writeFileSync(join(folder, 'bootstrap.env'), 'ETCD_INITIAL_CLUSTER_STATE=existing\n');
  t.match(await ask(), /error: .*was at work/, 'what is known of it here counts');
  writeFileSync(join(folder, 'list'), '');
  t.match(await ask(), /error: /);
  writeFileSync(join(folder, 'list'), `2, unstarted, , ${peer}, , false\n`);
  t.equal(await ask(), 'existing', 'somebody has added it anew');
});

t.test('after a restore what watches the API begins anew, and kube-proxy not twice', async (t) => {
  const folder = t.testdir({ asked: '' });
  const kubectl = `#!/bin/sh
echo "$*" >>${folder}/asked
case $* in *' get deployments,daemonsets --selector k8s-app!=kube-proxy '*) printf 'deployment.apps/coredns\ndaemonset.apps/net\n' ;; esac
`;
  writeFileSync(join(folder, 'kubectl'), kubectl, { mode: 0o755 });
  const script = 'controller/playbooks/roles/etcd/restore/files/restart-addons.sh';
  await new Promise<void>((resolve, reject) => {
    execFile('sh', [script, folder], (error) => (error ? reject(error) : resolve()));
  });
  const [, ...restarts] = readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n');
  t.match(restarts, [/kube-system rollout restart deployment.apps\/coredns$/, /rollout restart daemonset.apps\/net$/]);
  t.equal(restarts.length, 2);

  const failing = (which: string, text: string) =>
    new Promise<[Error | null, string, string]>((resolve) => {
      const refused = `case $* in ${which}) echo '${text}' >&2; exit 1 ;; esac\n`;
      writeFileSync(join(folder, 'kubectl'), kubectl.replace('case', `${refused}case`), { mode: 0o755 });
      writeFileSync(join(folder, 'asked'), '');
      execFile('sh', [script, folder], (error, _out, err) =>
        resolve([error, err, readFileSync(join(folder, 'asked'), 'utf8')]),
      );
    });
  const paused = "*'restart deployment.apps/coredns'";
  const [error, said, asked] = await failing(paused, 'cannot restart paused deployment');
  t.equal(error, null, 'one that is paused fails no restore');
  t.match(said, /cannot restart paused[\s\S]*by hand \(.*\): deployment\.apps\/coredns\n$/);
  t.match(asked, /restart daemonset\.apps\/net/, 'and the others go on');
  const [silent] = await failing('*apps/coredns*', 'connection refused');
  t.ok(silent, 'an API that does not answer is asked again by the task');
});

t.test('a member that is no control plane looks after its certificates, and gives the timer back', async (t) => {
  const found = await graphOf(t, { etcd: '{mode: external}', playbooks: ['create-cluster'], members: 'w1' });
  if ('problems' in found) return t.same(found.problems, []);
  const { tasks, sets, nodes } = found.graph;
  const timer = tasks.find(({ key }) => key === 'certs/certs/timer');
  t.same(
    sets[timer?.set ?? -1]?.members.map((index) => nodes[index]),
    ['cp1', 'cp2', 'cp3', 'w1'],
  );
  const gone = await graphOf(t, { etcd: '{mode: external}', playbooks: ['delete-cluster'] });
  if ('problems' in gone) return t.same(gone.problems, []);
  const restore = gone.parsed.roles['delete/etcd']?.tasks.find(({ action }) => action === 'restore');
  t.match(JSON.stringify(restore?.inputs), /"certs"/);
});

t.test('the data of etcd go only when it has ended', async (t) => {
  const found = await graphOf(t, { etcd: '{mode: external}', playbooks: ['delete-cluster'] });
  if ('problems' in found) return t.same(found.problems, []);
  const stop = found.parsed.roles['delete/etcd']?.tasks.find(({ id }) => id === 'stop');
  const { unless } = (stop?.inputs ?? {}) as { unless: string };
  const folder = t.testdir({ state: 'activating\n' });
  const files = {
    systemctl: `#!/bin/sh
case "$*" in
  stop*) [ -e ${folder}/hangs ] || echo inactive >${folder}/state ;;
  show*) cat ${folder}/state ;;
esac
`,
    timeout: '#!/bin/sh\nshift\nexec "$@"\n',
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o755 });
  const env = { PATH: `${folder}:${process.env['PATH']}` };
  const code = async (...args: string[]): Promise<unknown> =>
    await new Promise((resolve) => {
      execFile('sh', args, { env }, (error) => resolve(error?.code ?? 0));
    });
  const script = 'controller/playbooks/roles/delete/etcd/files/stop-etcd.sh';
  t.not(await code('-c', unless), 0, 'one that is started again and again is stopped, too');
  writeFileSync(join(folder, 'hangs'), '');
  t.equal(await code(script), 1, 'one that cannot be ended keeps its data');
  rmSync(join(folder, 'hangs'));
  t.equal(await code(script), 0);
  t.equal(await code('-c', unless), 0);
});

t.test('why a member does not start is told, with what to do', async (t) => {
  const folder = t.testdir({
    'etcdctl.env': '',
    'etcd.env': 'ETCD_LISTEN_CLIENT_URLS=https://10.0.0.1:2379\n',
  });
  const program = (name: string, text: string) =>
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const warning = '{"level":"warn","ts":"2026-11-22T00:47:58.131Z","msg":"retrying of unary invoker failed"}';
  program(
    'etcdctl',
    `echo '${warning}'; echo "https://127.0.0.1:2379 is unhealthy: context deadline exceeded"; exit 1`,
  );
  program('systemctl', `echo . >>${folder}/restarts; wc -l <${folder}/restarts`);
  program('ss', `echo 'LISTEN 0 4096 0.0.0.0:2379 0.0.0.0:* users:(("squatter",pid=7,fd=3))'`);
  program('sleep', ':');
  const script = join(folder, 'wait.sh');
  const text = readFileSync('controller/playbooks/roles/etcd/files/wait-until-healthy.sh', 'utf8');
  writeFileSync(script, text.replaceAll('/etc/etcd', folder));
  const known: KnownFailure[] = parse(readFileSync('controller/playbooks/roles/etcd/remedies.yaml', 'utf8'));
  const say = async (...journal: string[]) => {
    program('journalctl', journal.map((line) => `echo '${line}'`).join('\n'));
    rmSync(join(folder, 'restarts'), { force: true });
    const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
    const err = await new Promise<string>((resolve) => {
      execFile('sh', [script, '60', 'self', folder], { env }, (_error, _out, err) => resolve(err));
    });
    return { err, ...knownFailure(known, err) };
  };

  const ended = 'etcd.service: Failed with result exit-code.';
  const port = await say('listen tcp 10.0.0.1:2379: bind: address already in use', ended);
  t.match(port, { err: /squatter/, cause: /^port 2379 /, remedy: /etcd\.port.*apply --resume/ });
  t.notMatch(port.err, /exit-code|retrying/, 'what tells nothing is left out');
  const flag = `error verifying flags, invalid value "many" for ETCD_MAX_SNAPSHOTS: parse error. See '"'"'etcd --help'"'"'.`;
  t.match(await say(flag), {
    cause: /invalid value "many" for ETCD_MAX_SNAPSHOTS: parse error\)/,
    remedy: /extra_env/,
  });
  t.match(await say('listen tcp 10.0.0.9:2380: bind: cannot assign requested address'), { cause: /10\.0\.0\.9:2380/ });
  t.match(await say('rejected connection, remote error: tls: bad certificate'), { cause: /of different CAs/ });
  t.match(await say('dial tcp 10.0.0.2:2380: connect: permission denied'), { cause: /does not start/ }, 'of no file');
  t.match(await say('panic: something new'), { err: /something new/, cause: /does not start/, remedy: /journalctl/ });
});
