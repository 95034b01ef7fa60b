import { fileURLToPath } from 'node:url';
import t from 'tap';
import { loadSources, type Plan, parsePlan, type TaskDocument } from '../../controller/plan/index.ts';
import { ACTIONS } from '../../shared/actions/index.ts';
import { judge, ruleOf } from '../../shared/checks/index.ts';
import {
  compileValue,
  evaluate,
  evaluateValue,
  parseExpression,
  type Scope,
  scopeOf,
  truthy,
  type Value,
} from '../../shared/expr/index.ts';
import type { Json, Vars } from '../../shared/share.ts';
import { mergeVars } from '../../shared/vars.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));
const at = { file: 'tasks.yaml', line: 1, column: 1 };

async function examplePlan(inventory?: string, config: Json = {}): Promise<Plan> {
  const sources = await loadSources(`${EXAMPLES}/precheck.yaml`);
  const texts = { ...sources.texts };
  if (inventory !== undefined) texts[`${EXAMPLES}/inventory.yaml`] = inventory;
  const read = parsePlan({ ...sources, texts });
  if ('problems' in read) throw new Error(JSON.stringify(read.problems, null, 2));
  return { ...read.plan, config: mergeVars(read.plan.config, config as Vars) };
}

/** What a task of the role sees on a node. */
function scopeOn(plan: Plan, name: string, packageManager = 'apt'): Scope {
  const node = plan.inventory.nodes.find((one) => one.name === name);
  const groups = Object.fromEntries(Object.values(plan.inventory.groups).map((group) => [group.name, group.nodes]));
  const given = { node_name: name, node_address: node?.address ?? '', group_names: node?.groups ?? [], groups };
  const facts = { package_manager: packageManager };
  return scopeOf(mergeVars(plan.roles['precheck']?.defaults ?? {}, plan.config, { ...given, facts }));
}

const tasksOf = (plan: Plan): TaskDocument[] => plan.roles['precheck']?.tasks ?? [];
const inputsOf = (task: TaskDocument, scope: Scope): Value =>
  evaluateValue(
    compileValue(task.inputs, () => at),
    scope,
  );
const runs = (task: TaskDocument, scope: Scope): boolean =>
  task.when.every(({ text }) => truthy(evaluate(parseExpression(text, at), scope)));

/** The ids of the tasks that run on a node. */
function running(plan: Plan, name: string, packageManager?: string): string[] {
  const scope = scopeOn(plan, name, packageManager);
  return tasksOf(plan)
    .filter((task) => runs(task, scope))
    .map(({ id }) => id);
}

t.test('the example checks three nodes, and every threshold of the role is one that its rule takes', async (t) => {
  const plan = await examplePlan();
  t.same(
    plan.plays.map(({ precheck, nodes }) => [precheck, nodes]),
    [[true, ['node1', 'node2', 'node3']]],
  );
  const scope = scopeOn(plan, 'node1');
  const checked: string[] = [];
  for (const task of tasksOf(plan).filter(({ action }) => action === 'check')) {
    const inputs = ACTIONS.check.input.parse(inputsOf(task, scope));
    checked.push(inputs.rule);
    const rule = ruleOf(inputs.rule);
    const read = rule?.params.safeParse(inputs.with);
    t.ok(read?.success, `${inputs.rule}: ${read?.error?.message}`);
  }
  t.same(checked.sort(), [
    'architecture',
    'cpu_count',
    'distribution',
    'etcd_disk',
    'free_disk',
    'hostname',
    'kernel',
    'memory',
    'nic',
    'swap',
  ]);
});

t.test('a plan changes one number and keeps the others', async (t) => {
  const plan = await examplePlan(undefined, {
    precheck: { memory: { minimum_mib: { control_plane: { fail_below: 8000 } } } },
  });
  const task = tasksOf(plan).find(({ id }) => id === 'memory');
  const verdictOn = (name: string) => {
    const inputs = task && ACTIONS.check.input.parse(inputsOf(task, scopeOn(plan, name)));
    const total = 4000 * 1024 ** 2;
    return judge('memory', { ...inputs, facts: { memory: { total, available: total } } });
  };
  t.match(verdictOn('node1'), { outcome: 'fail', message: /8,000 MiB \(control_plane\)/ });
  t.match(verdictOn('node2'), { outcome: 'pass', message: /1,700 MiB/ });
});

t.test('etcd’s disk is measured where etcd will be, and fio installed only there', async (t) => {
  const disk = (ids: string[]): string[] => ids.filter((id) => id === 'install-fio' || id === 'etcd-disk');
  const plan = await examplePlan();
  t.same(disk(running(plan, 'node1')), ['install-fio', 'etcd-disk']);
  t.same(disk(running(plan, 'node2')), []);
  t.same(disk(running(plan, 'node1', 'none')), ['etcd-disk'], 'no package manager that we know');

  const hosts = 'hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2}}';
  const internal = await examplePlan(`${hosts}\ngroups: {control_plane: [a], worker: [b]}`);
  t.same(
    disk(running(internal, 'a')),
    ['install-fio', 'etcd-disk'],
    'without an etcd group etcd is on the control plane',
  );
  t.same(disk(running(internal, 'b')), []);
  const external = await examplePlan(`${hosts}\ngroups: {control_plane: [a], etcd: [b]}`);
  t.same(disk(running(external, 'a')), []);
  const forbidden = await examplePlan(undefined, { precheck: { install_fio: false } });
  t.same(disk(running(forbidden, 'node1')), ['etcd-disk'], 'the check then says what to do');

  const check = tasksOf(plan).find(({ id }) => id === 'etcd-disk');
  t.match(check, { alone: true, needs: [{ target: 'task', name: 'install-fio', of: 'same' }] });
});

t.test('every package manager’s way to fio is a command that runs nothing when fio is there', async (t) => {
  const plan = await examplePlan();
  const task = tasksOf(plan).find(({ id }) => id === 'install-fio');
  t.match(task, { lock: 'packages', ignoreErrors: true });
  for (const manager of ['apt', 'dnf', 'yum', 'zypper']) {
    const inputs = task && ACTIONS.command.input.safeParse(inputsOf(task, scopeOn(plan, 'node1', manager)));
    t.ok(inputs?.success, `${manager}: ${inputs?.error?.message}`);
    t.match(inputs?.data?.argv?.join(' '), /install.* fio/);
    t.equal(inputs?.data?.unless, 'command -v fio');
  }
});
