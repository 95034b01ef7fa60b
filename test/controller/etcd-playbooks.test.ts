/** The playbooks of kk's own that a command puts in the place of a plan's: etcd's snapshots, certificates; etcd of each mode. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { compile, DEFAULT_COMPILE_OPTIONS } from '../../controller/compile/compile.ts';
import { loadSources, parsePlan } from '../../controller/plan/index.ts';
import { KkErrors } from '../../shared/errors.ts';

const plan = (etcd: string): string => `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: lab}
spec:
  inventory:
    hosts:
      cp1: {address: 10.0.0.1}
      cp2: {address: "fd00::2"}
      cp3: {address: 10.0.0.3}
      w1: {address: 10.0.0.4}
    groups: {control_plane: [cp1, cp2, cp3], etcd: ${etcd.includes('endpoints') ? '[]' : '[cp1, cp2, cp3]'}, worker: [w1]}
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
async function graphOf(t: Test, { etcd, playbooks }: { etcd: string; playbooks: string[] }) {
  const folder = t.testdir({ pki: { 'ca.crt': 'ca', 'client.crt': 'client', 'client.key': 'key' } });
  writeFileSync(join(folder, 'client.yaml'), CLIENT);
  const file = join(folder, 'plan.yaml');
  writeFileSync(file, plan(etcd));
  const sources = await loadSources(file, { playbooks });
  const parsed = parsePlan(sources);
  if ('problems' in parsed) return parsed;
  const compiled = compile(parsed.plan, DEFAULT_COMPILE_OPTIONS);
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
