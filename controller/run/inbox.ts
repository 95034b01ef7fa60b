import { judge } from '../../shared/checks/index.ts';
import type { Verdict } from '../../shared/checks/outcome.ts';
import { KkError } from '../../shared/errors.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import { Facts } from '../../shared/facts.ts';
import type { StepOutcome } from '../../shared/lifecycle.ts';
import { bytesJson } from '../../shared/protocol/codec.ts';
import type { DurableMessage, Ended } from '../../shared/protocol/messages.ts';
import { Sealed } from '../../shared/seal.ts';
import { type Json, StepResult, type TaskSpec } from '../../shared/share.ts';
import type { TaskGraph } from '../compile/graph.ts';
import type { RunEvent } from './events.ts';
import { registerError } from './register-error.ts';

const OUTCOMES: Readonly<Record<Ended['outcome'], StepOutcome | undefined>> = {
  OUTCOME_UNSPECIFIED: undefined,
  OUTCOME_OK: 'ok',
  OUTCOME_SKIPPED: 'skipped',
  OUTCOME_FAILED: 'failed',
  OUTCOME_INTERRUPTED: 'interrupted',
  OUTCOME_CANCELLED: 'cancelled',
};

/**
 * A durable message of an agent as an event of its run; `node`: the agent's index in the graph, undefined when it has none. Everything in it is checked: task and node must be of the graph,
 * documents of their shape. Throws KkError FRAME_MALFORMED otherwise, which closes that agent's connection.
 */
export function toRunEvent(
  graph: TaskGraph,
  node: number | undefined,
  message: DurableMessage,
  nowMs: number,
): RunEvent {
  if (node === undefined) throw malformed('it is of a run that its node has no part in');
  const step = (task: number): number => {
    const set = graph.sets[graph.tasks[task]?.set ?? -1];
    const isOwn = graph.common.tasks[task]?.place !== undefined;
    if (isOwn || (set?.position[node] ?? -1) < 0)
      throw malformed(`task ${task} is not in the share of ${graph.nodes[node]}`);
    return task;
  };
  switch (message.kind) {
    case 'accepted':
      return { kind: 'accepted', at: nowMs, node, revision: message.value.revision };
    case 'refused':
      return { kind: 'refused', at: nowMs, node, error: reportFrom(message.value.error) };
    case 'begun': {
      const { task, attempt, items, at_ms } = message.value;
      return { kind: 'begun', at: at_ms, node, task: step(task), attempt, items };
    }
    case 'ended':
      return endedEvent(graph, node, step(message.value.task), message.value);
    case 'blocked': {
      const { tasks, cause, cancelled, at_ms } = message.value;
      return { kind: 'blocked', at: at_ms, node, tasks: tasks.map(step), cause, cancelled };
    }
    case 'facts':
      return {
        kind: 'facts',
        at: nowMs,
        node,
        version: message.value.version,
        facts: shaped(Facts, message.value.facts),
      };
  }
}

function endedEvent(graph: TaskGraph, node: number, task: number, message: Ended): RunEvent {
  const outcome = OUTCOMES[message.outcome];
  if (!outcome) throw malformed(`no outcome for task ${task}`);
  const spec = graph.common.tasks[task];
  const { register, ...rest } = shaped(StepResult, message.result);
  const head = { kind: 'ended', at: message.at_ms, node, task, durationMs: message.duration_ms } as const;
  if (register !== undefined && spec?.register?.exported) {
    const error = spec.register.seal === undefined ? registerError(spec.register, register) : undefined;
    if (spec.register.seal !== undefined && !isSealed(register))
      throw malformed(`a register that is not sealed, of task ${task}`);
    if (error) return { ...head, outcome: 'failed', result: { ...rest, error } };
    return { ...head, outcome, result: { ...rest, register } };
  }
  const verdict = spec?.action === 'check' ? verdictOf(spec, outcome, rest) : undefined;
  return { ...head, outcome, result: rest, ...(verdict ? { verdict } : {}) };
}

/** Base64 of a register at its limit, and its key. */
const SEALED_LIMIT = 96 * 1024;

function isSealed(register: Json): boolean {
  return Sealed.safeParse(register).success && JSON.stringify(register).length <= SEALED_LIMIT;
}

/** Agents gather, the controller judges (ENGINE 1.5). A check that did not apply (`when`) has no verdict. */
function verdictOf(spec: TaskSpec, outcome: StepOutcome, result: StepResult): Verdict | undefined {
  if (outcome === 'skipped') return undefined;
  // The plan says which rule it is, not the agent; only a rule that is a template is the agent's to tell.
  const stated = ruleIn(spec.inputs);
  const rule = stated === undefined || isTemplate(stated) ? (ruleIn(result.output) ?? 'check') : stated;
  if (outcome === 'ok') return judge(rule, result.output);
  return {
    check: rule,
    outcome: 'error',
    message: result.error?.message ?? `the check ended ${outcome}`,
    remedy: result.error?.remedy ?? 'Run it again.',
    evidence: result.error?.evidence ?? null,
  };
}

/** The rule's name in a task's inputs, shorthand or not, or in what the agent sent. */
function ruleIn(value: Json | undefined): string | undefined {
  if (typeof value === 'string') return value;
  const rule = value && typeof value === 'object' && !Array.isArray(value) ? value['rule'] : undefined;
  return typeof rule === 'string' ? rule : undefined;
}

function reportFrom(bytes: Uint8Array): { code: string; message: string; remedy: string } {
  const parsed = StepResult.shape.error.unwrap().safeParse(bytesJson(bytes));
  if (!parsed.success) throw malformed('an error report without code, message and remedy');
  return parsed.data;
}

function shaped<T>(
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false; error: Error } },
  bytes: Uint8Array,
): T {
  const parsed = schema.safeParse(bytesJson(bytes));
  if (!parsed.success) throw malformed(parsed.error.message.slice(0, 300));
  return parsed.data;
}

function malformed(detail: string): KkError {
  return new KkError({
    code: 'FRAME_MALFORMED',
    message: `An agent sent a message that makes no sense: ${detail}.`,
    remedy: 'Update the agent; if it is up to date, this is a defect in kk: please report it.',
  });
}
