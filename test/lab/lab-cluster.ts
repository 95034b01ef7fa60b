import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parse, stringify } from 'yaml';
import { type Outcome, run } from '../../scripts/lab/commands.ts';
import { type ClusterRef, checkCluster, kubectlOf } from '../../scripts/lab/kubernetes/checks.ts';
import { KUBECTL } from '../../scripts/lab/kubernetes/parts.ts';
import { planFor } from '../../scripts/lab/kubernetes/plan.ts';
import type { Fleet } from './fleet.ts';

/** The name of the cluster in examples/lab-ha.yaml. */
const CLUSTER = 'lab-ha';

/** Plans in the folder of the fleet. */
export const PLANS = {
  /** Three control planes with etcd beside them, two workers. */
  ha: 'lab-ha.yaml',
  /** The same machines but the workers, with etcd in the control planes. */
  stacked: 'stacked.yaml',
} as const;

export const NODES = ['node1', 'node2', 'node3', 'node4', 'node5'];
export const CONTROL_PLANES = ['node1', 'node2', 'node3'];

/** A cluster in the lab, with kubectl past the product. */
export class LabCluster {
  readonly fleet: Fleet;
  readonly #root: string;

  private constructor(fleet: Fleet, root: string) {
    this.fleet = fleet;
    this.#root = root;
  }

  /** Writes the plans; `root` is the mirror's. */
  static async of(fleet: Fleet, lab: { root: string; gateway: string }): Promise<LabCluster> {
    const net = lab.gateway.replace(/\.\d+$/, '');
    const plan = parse(await readFile(await planFor({ name: fleet.name, net }, fleet.path(PLANS.ha)), 'utf8'));
    const { inventory, config } = plan.spec;
    // Troubles come of the machines, not of what else this one has to do.
    inventory.vars = { precheck: { etcd_disk: { warn_from_ms: 10_000, fail_from_ms: 10_000 } } };
    await fleet.file(PLANS.ha, stringify(plan));
    inventory.hosts = { 'node[1:3]': { address: `${net}.[11:13]` } };
    inventory.groups = { control_plane: inventory.groups.control_plane };
    config.etcd = { mode: 'internal' };
    await fleet.file(PLANS.stacked, stringify(plan));
    return new LabCluster(fleet, lab.root);
  }

  /** Looks from outside whether it works; each finding passes. */
  async check(t: Test, nodes: readonly string[]): Promise<void> {
    for (const line of await checkCluster({ ...(await this.#ref()), nodes })) t.pass(line);
  }

  async kubectl(...argv: string[]): Promise<Outcome> {
    return run(kubectlOf(await this.#ref(), argv));
  }

  async #ref(): Promise<ClusterRef> {
    const { fleet } = this;
    const { code, stdout, stderr } = await fleet.kk('kubeconfig', '--cluster', CLUSTER);
    if (code !== 0) throw new Error(`kubeconfig ended with ${code}: ${stderr}`);
    const kubeconfig = await fleet.file('kubeconfig', stdout);
    const server = `https://${fleet.addressOf('node1')}:6443`;
    return { lab: fleet.name, nodes: NODES, kubectl: join(this.#root, KUBECTL), kubeconfig, server };
  }
}
