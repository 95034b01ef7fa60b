import type { z } from 'zod';
import type { Json } from '../share.ts';
import type { Outcome } from './outcome.ts';

/**
 * What the agent gathers for a rule. `facts`: the parts of Facts that the rule's facts schema names. `disk_space`: the
 * file systems below the rule's paths. `etcd_disk`: the fio probe in etcd's data directory.
 */
export type RuleNeeds = 'facts' | 'disk_space' | 'etcd_disk';

/** A verdict before it carries the rule's name. */
export interface Judgement {
  outcome: Outcome;
  /** One sentence: found against wanted, with the numbers. */
  message: string;
  /** An instruction; empty for pass. */
  remedy: string;
  /** What it was judged by, small. */
  evidence: Json;
}

/** One precheck: pure, the same answer for the same facts and parameters. */
export interface Rule {
  /** The word in a task: `check: {rule: memory}`. */
  name: string;
  /** One line for documentation. */
  summary: string;
  needs: RuleNeeds;
  /** The shape that `judge` reads; for `facts` its keys say which parts of Facts travel to the controller. */
  facts: z.ZodObject;
  /** Thresholds and names. Nothing has a default here: the role's defaults.yaml states every number. */
  params: z.ZodObject;
  judge(facts: unknown, params: unknown): Judgement;
}

interface TypedRule<F extends z.ZodObject, P extends z.ZodObject> extends Omit<Rule, 'facts' | 'params' | 'judge'> {
  facts: F;
  params: P;
  judge(facts: z.output<F>, params: z.output<P>): Judgement;
}

/** Types `judge` by the rule's two schemas; `judge` of index.ts checks values against them before calling it. */
export function defineRule<F extends z.ZodObject, P extends z.ZodObject>(rule: TypedRule<F, P>): Readonly<Rule> {
  return Object.freeze<Rule>(rule);
}

export function pass(message: string, evidence: Json): Judgement {
  return { outcome: 'pass', message, remedy: '', evidence };
}

export function warn(message: string, remedy: string, evidence: Json): Judgement {
  return { outcome: 'warn', message, remedy, evidence };
}

export function fail(message: string, remedy: string, evidence: Json): Judgement {
  return { outcome: 'fail', message, remedy, evidence };
}

/** It could not be found out, which holds the run up as a failure does (ENGINE 1.5). */
export function unknown(message: string, remedy: string, evidence: Json = null): Judgement {
  return { outcome: 'error', message, remedy, evidence };
}
