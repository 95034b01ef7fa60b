import type { z } from 'zod';
import { check } from '../actions/check.ts';
import { type Judgement, type Rule, unknown } from './define-rule.ts';
import type { Verdict } from './outcome.ts';
import { architecture } from './rules/architecture.ts';
import { cpuCount } from './rules/cpu-count.ts';
import { distribution } from './rules/distribution.ts';
import { etcdDisk } from './rules/etcd-disk.ts';
import { freeDisk } from './rules/free-disk.ts';
import { hostname } from './rules/hostname.ts';
import { kernel } from './rules/kernel.ts';
import { memory } from './rules/memory.ts';
import { nic } from './rules/nic.ts';
import { swap } from './rules/swap.ts';
import { remedyOf } from './troubles.ts';

/** Every built-in rule by its name. Adding one: a file in rules/, a line here, thresholds and a task in the role. */
export const RULES: Readonly<Record<string, Rule>> = Object.freeze({
  architecture,
  cpu_count: cpuCount,
  distribution,
  etcd_disk: etcdDisk,
  free_disk: freeDisk,
  hostname,
  kernel,
  memory,
  nic,
  swap,
});

export function ruleOf(name: string): Rule | undefined {
  return Object.hasOwn(RULES, name) ? RULES[name] : undefined;
}

/**
 * The verdict of `name` over the output of a `check` action. Total: whatever an agent sends becomes a verdict, and what
 * cannot be judged is an `error`, never a pass.
 */
export function judge(name: string, output: unknown): Verdict {
  return { check: name, ...judgement(name, output) };
}

function judgement(name: string, output: unknown): Judgement {
  const rule = ruleOf(name);
  if (rule === undefined) {
    return unknown(`there is no precheck rule "${name}"`, `use one of ${Object.keys(RULES).join(', ')}`);
  }
  const sent = check.output.safeParse(output);
  if (!sent.success || sent.data.rule !== name) {
    return unknown(
      `the agent's answer for the rule ${name} cannot be read`,
      'bring the agent to the version of the controller and run the precheck again',
    );
  }
  const params = rule.params.safeParse(sent.data.with);
  if (!params.success) {
    return unknown(
      `the parameters of the rule ${name} are wrong: ${problems(params.error)}`,
      `correct the values under precheck.${name} in the plan`,
      sent.data.with,
    );
  }
  if (sent.data.trouble !== undefined) {
    return unknown(sent.data.trouble, remedyOf(sent.data.trouble), sent.data.facts);
  }
  const facts = rule.facts.safeParse(sent.data.facts);
  if (!facts.success) {
    return unknown(
      `the agent sent no facts that the rule ${name} can judge: ${problems(facts.error)}`,
      'bring the agent to the version of the controller and run the precheck again',
      sent.data.facts,
    );
  }
  return rule.judge(facts.data, params.data);
}

/** A schema's complaints on one line: `minimum_mib.all: Invalid input`. */
function problems(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`).join('; ');
}
