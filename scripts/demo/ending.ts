import type { RunView } from '../../controller/views/types.ts';

const EXPLAINED: Readonly<Record<string, string>> = {
  etcd_disk: 'the disk under the node takes too long to sync a write; etcd would lose leaders on it',
  memory: 'a node has the memory of this machine',
  cpu_count: 'a node has the CPUs of this machine',
  free_disk: 'a node has room on the disk of this machine',
  swap: 'a node has the swap of this machine',
  kernel: 'a node has the kernel of this machine',
  hostname: 'the node goes by another name in the inventory',
};

/** What the report means, in a few lines, and whether every node reported: all of its checks came to an outcome. */
export function ending(run: RunView): { lines: string[]; reported: boolean } {
  const silent = run.nodes.filter(({ node, pending }) => pending > 0 || !run.verdicts.some((v) => v.node === node));
  const count = (outcome: string): number => run.verdicts.filter((verdict) => verdict.outcome === outcome).length;
  const troubled = run.verdicts.filter(({ outcome }) => outcome === 'fail' || outcome === 'error');
  const lines = [
    `${run.nodes.length - silent.length} of ${run.nodes.length} nodes reported: ` +
      ['pass', 'warn', 'fail', 'error'].map((outcome) => `${count(outcome)} ${outcome}`).join(', ') +
      '.',
    ...silent.map(({ node, error }) => `${node} did not report: ${error ? `${error.code}: ${error.message}` : '?'}`),
  ];
  if (troubled.length > 0) {
    lines.push('A check that fails is a true report about this machine, not a fault of the demo:');
    for (const { node, check } of troubled)
      lines.push(`  ${node} ${check}: ${EXPLAINED[check] ?? 'see the report above'}`);
  }
  return { lines, reported: silent.length === 0 };
}
