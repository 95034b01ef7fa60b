/** What came of it, against what the plans say. */
import { readFile } from 'node:fs/promises';
import type { Client } from '../../controller/cli/client.ts';
import type { Counts, Places, TorturePlan } from './plans.ts';

export interface Findings {
  /** Effects that should be there and are not. */
  lost: number;
  /** Effects that are there more often than they should. */
  twice: number;
  /** Everything that is not as it must be, in words; these two and runs that ended otherwise. */
  wrong: string[];
  runs: number;
}

export async function audit(client: Client, plans: readonly TorturePlan[], { ledger }: Places): Promise<Findings> {
  const findings: Findings = { lost: 0, twice: 0, wrong: [], runs: 0 };
  const { wrong } = findings;
  const effects = new Map<string, number>();
  for (const key of (await readFile(ledger, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')) {
    effects.set(key, (effects.get(key) ?? 0) + 1);
  }
  const runs = await client.runs(plans.length * 2 + 10);
  findings.runs = runs.length;
  for (const { name, expected } of plans) {
    for (const [key, times] of expected.effects) {
      const found = effects.get(key) ?? 0;
      effects.delete(key);
      if (found === times) continue;
      if (found < times) findings.lost += times - found;
      else findings.twice += found - times;
      wrong.push(`${key}: ${found} times instead of ${times}`);
    }
    for (const [path, content] of expected.files) {
      const found = await readFile(path, 'utf8').catch(() => undefined);
      if (found === content) continue;
      findings.lost += 1;
      wrong.push(`${path}: ${JSON.stringify(found)} instead of ${JSON.stringify(content)}`);
    }
    const ours = runs.filter((run) => run.name === name);
    if (ours.length !== 1) wrong.push(`${name}: ${ours.length} runs instead of one`);
    for (const { id } of ours) {
      const view = await client.run(id);
      if (view.status !== expected.status)
        wrong.push(`${name} (${id}) is ${view.status} instead of ${expected.status}`);
      for (const [node, counts] of expected.steps) {
        const found = view.nodes.find((one) => one.node === node);
        const told = found && countsOf(found);
        if (JSON.stringify(told) !== JSON.stringify(counts))
          wrong.push(`${name} (${id}) on ${node}: ${JSON.stringify(told)} instead of ${JSON.stringify(counts)}`);
      }
    }
  }
  for (const [key, times] of effects) {
    findings.twice += times;
    wrong.push(`${key}: ${times} times, and nothing should have done it`);
  }
  return findings;
}

function countsOf({ ok, skipped, failed, ignored, blocked }: Counts): Counts {
  return { ok, skipped, failed, ignored, blocked };
}
