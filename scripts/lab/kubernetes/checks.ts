import { join } from 'node:path';
import { KkError } from '../../../shared/errors.ts';
import { type LabRef, labExec } from '../api.ts';
import { must, run, until } from '../commands.ts';

const MANIFEST = join(import.meta.dirname, 'checks.yaml');
const READY_MS = 90_000;

/** A cluster as seen from the machine of the lab, past the product. */
export interface ClusterRef {
  lab: LabRef;
  /** Names of the lab's nodes, which are those of the cluster. */
  nodes: readonly string[];
  kubectl: string;
  kubeconfig: string;
  /** https://address:port of an API server; the cluster's own endpoint is a name that only its nodes know. */
  server: string;
}

/**
 * Looks from outside whether the cluster works: all nodes Ready, a pod on each node, every pod reaches every other one, and
 * a ClusterIP answers to each node and each pod. What it needs for that is removed again. Gives one line per finding.
 * @throws KkError LAB_CLUSTER_BROKEN, LAB_COMMAND
 */
export async function checkCluster(cluster: ClusterRef): Promise<string[]> {
  const kubectl = (...argv: string[]): Promise<string> => must(kubectlOf(cluster, argv));
  await must(kubectlOf(cluster, ['wait', '--for=condition=Ready', 'nodes', '--all', `--timeout=${READY_MS / 1000}s`]));
  const versions = await kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].status.nodeInfo.kubeletVersion}');
  const ready = versions.split(' ').length;
  if (ready !== cluster.nodes.length)
    throw broken(`${ready} nodes are Ready and ${cluster.nodes.length} were asked for`);

  await kubectl('apply', '-f', MANIFEST);
  try {
    await kubectl('rollout', 'status', 'daemonset/lab-checks', `--timeout=${READY_MS / 1000}s`);
    const pods = await podsOf(cluster);
    if (pods.length !== cluster.nodes.length) throw broken(`${pods.length} pods run on ${cluster.nodes.length} nodes`);
    const service = await kubectl('get', 'service', 'lab-checks', '-o', 'jsonpath={.spec.clusterIP}');
    await Promise.all(pods.map((pod) => reaches(cluster, pod, pods, service)));
    await Promise.all(cluster.nodes.map((node) => nodeReaches(cluster.lab, node, service)));
    return [
      `${ready} nodes are Ready at ${[...new Set(versions.split(' '))].join(', ')}`,
      `${pods.length} pods, one a node, ping each other`,
      `ClusterIP ${service} answers to every node and every pod`,
    ];
  } finally {
    await kubectl('delete', '--ignore-not-found', '--wait=true', '-f', MANIFEST);
  }
}

/** The command that runs kubectl on the cluster. */
export function kubectlOf({ kubectl, kubeconfig, server }: ClusterRef, argv: readonly string[]): string[] {
  return [kubectl, '--kubeconfig', kubeconfig, '--server', server, ...argv];
}

interface Pod {
  name: string;
  address: string;
}

async function podsOf(cluster: ClusterRef): Promise<Pod[]> {
  const path = 'jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\\n"}{end}';
  const text = await must(kubectlOf(cluster, ['get', 'pods', '-l', 'app=lab-checks', '-o', path]));
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([name = '', address = '']) => ({ name, address }));
}

/** From one pod: a ping to each pod and a request to the service. */
async function reaches(cluster: ClusterRef, from: Pod, pods: readonly Pod[], service: string): Promise<void> {
  const pings = pods.map(({ address }) => `ping -c 1 -W 3 -q ${address} >/dev/null || echo ping ${address}`);
  const script = [...pings, `curl -fsS -m 5 -o /dev/null http://${service}/ || echo ClusterIP ${service}`].join('; ');
  const failed = (await must(kubectlOf(cluster, ['exec', from.name, '--', '/bin/sh', '-c', script]))).trim();
  if (failed !== '') throw broken(`the pod ${from.name} (${from.address}) gets no answer`, failed);
}

/** From a node itself; kube-proxy on it may be a moment behind the pods. */
async function nodeReaches(lab: LabRef, node: string, service: string): Promise<void> {
  const ask = async () => (await labExec(lab, node, ['curl', '-fsS', '-m', '3', `http://${service}/`])).code === 0;
  if (!(await until(ask, 20_000, 500))) throw broken(`${node} gets no answer from the ClusterIP ${service}`);
}

function broken(what: string, evidence?: string): KkError {
  return new KkError({
    code: 'LAB_CLUSTER_BROKEN',
    message: `The cluster does not work: ${what}.`,
    remedy: 'Look with kubectl get pods -A -o wide, and at the kubelet and kube-proxy of the nodes concerned.',
    ...(evidence === undefined ? {} : { evidence }),
  });
}

/** Whether the API answers at all. */
export async function clusterAnswers(cluster: ClusterRef): Promise<boolean> {
  return (await run(kubectlOf(cluster, ['--request-timeout=5s', 'get', 'nodes']))).code === 0;
}
