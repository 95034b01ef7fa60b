import { ruleOf } from '../../shared/checks/index.ts';
import { EtcdDiskParams } from '../../shared/checks/rules/etcd-disk.ts';
import { FreeDiskParams, floorsByPath } from '../../shared/checks/rules/free-disk.ts';
import { trouble } from '../../shared/checks/troubles.ts';
import { reportOf } from '../../shared/errors.ts';
import type { Json } from '../../shared/share.ts';
import type { ActionContext } from '../actions/executor.ts';
import { probeDiskLatency } from './disk-latency.ts';
import { gatherDiskSpace } from './disk-space.ts';
import type { Gathered } from './gathered.ts';

/**
 * Gathers what a rule's `needs` asks for. Never throws: whatever went wrong is `trouble`, and the rule's verdict `error`.
 * `params` are the rule's, as the task states them.
 */
export async function gatherForRule(
  name: string,
  params: unknown,
  context: Pick<ActionContext, 'host' | 'signal' | 'facts'>,
): Promise<Gathered> {
  const rule = ruleOf(name);
  if (rule === undefined) {
    return { facts: null, trouble: trouble('RULE_UNKNOWN', `this agent knows no rule "${name}"`) };
  }
  try {
    switch (rule.needs) {
      case 'facts':
        return await pickFacts(Object.keys(rule.facts.shape), context);
      case 'disk_space': {
        const read = FreeDiskParams.safeParse(params);
        if (!read.success) return wrongParams(name);
        return { facts: await gatherDiskSpace(context.host, [...floorsByPath(read.data).keys()]) };
      }
      case 'etcd_disk': {
        const read = EtcdDiskParams.safeParse(params);
        if (!read.success) return wrongParams(name);
        return await probeDiskLatency(context.host, read.data.data_dir, context.signal);
      }
    }
  } catch (thrown) {
    return {
      facts: null,
      trouble: trouble('FACTS_MISSING', `gathering for ${name} failed: ${reportOf(thrown).message}`),
    };
  }
}

/** Only the parts that the rule reads travel, so that the evidence of a verdict stays small. */
async function pickFacts(keys: readonly string[], context: Pick<ActionContext, 'facts'>): Promise<Gathered> {
  const facts = await context.facts();
  const picked = Object.entries(facts).filter(([key]) => keys.includes(key));
  const absent = keys.filter((key) => facts.missing?.includes(key));
  const found: Gathered = { facts: Object.fromEntries(picked) as Json };
  if (absent.length === 0) return found;
  return { ...found, trouble: trouble('FACTS_MISSING', `the node could not read its ${absent.join(', ')}`) };
}

function wrongParams(name: string): Gathered {
  return {
    facts: null,
    trouble: trouble('PARAMS_INVALID', `the parameters of ${name} are not as its rule wants them`),
  };
}
