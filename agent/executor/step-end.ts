/** How a step ends: its result, what it binds, its record. */
import { type ErrorReport, reportOf } from '../../shared/errors.ts';
import type { Facts } from '../../shared/facts.ts';
import type { WireOutcome } from '../../shared/protocol/messages.ts';
import type { Json, StepResult } from '../../shared/share.ts';
import { stepDigest } from './digest.ts';
import { namesBound } from './dry-run.ts';
import { exportedRegister } from './exported.ts';
import { loopRegister, registerOf, resultOf, typedRegister } from './outcome.ts';
import type { ItemEnd } from './records.ts';
import type { ItemStopped, StepContext } from './step-context.ts';

/** All items have ended. */
export function finish(step: StepContext, items: Json[] | undefined, ends: ItemEnd[]): void {
  const { spec } = step;
  const result = resultOf(spec, items, ends);
  const fields = items === undefined ? ((ends[0]?.register ?? {}) as Record<string, Json>) : loopRegister(ends);
  let failed = ends.some((end) => end.outcome === 'failed');
  const skipped = ends.every((end) => end.outcome === 'skipped');
  const isUnbound = ends.some((end) => end.undone === true || end.unknown !== undefined);
  const bindings = isUnbound ? {} : bound(step, fields);
  if (!isUnbound && spec.register !== undefined && !failed && !skipped) {
    try {
      const value = typedRegister(spec, fields);
      bindings[spec.register.name] = value;
      Object.assign(result, exportedRegister(spec, value));
    } catch (thrown) {
      failed = true;
      result.error = step.reported(reportOf(thrown));
    }
  }
  for (const { outcome, output, undone } of ends) {
    if (outcome !== 'ok' || undone === true) continue;
    if (spec.action === 'set_fact') Object.assign(bindings, output);
    if (spec.action === 'facts') newFacts(step, (output as unknown as { facts: Facts }).facts);
  }
  const outcome = failed ? 'OUTCOME_FAILED' : skipped ? 'OUTCOME_SKIPPED' : 'OUTCOME_OK';
  end(step, outcome, result, bindings, isUnbound, outcome === 'OUTCOME_OK' ? digestOfAll(step, items) : undefined);
}

/** An item has stopped, and the step with it. */
export function stop(step: StepContext, done: ItemStopped, items: Json[] | undefined, ends: ItemEnd[]): void {
  const result = resultOf(step.spec, items, ends);
  result.attempts = Math.max(result.attempts ?? 0, done.attempts);
  if (done.error !== undefined) result.error = step.reported(done.error);
  else result.reason = step.run.cancel === undefined ? 'a later revision of the run has come' : 'the run was cancelled';
  end(step, done.stopped === 'cancelled' ? 'OUTCOME_CANCELLED' : 'OUTCOME_INTERRUPTED', result, {});
}

/** Its `when` does not hold, or its loop has no items. */
export function skip(step: StepContext, reason: string): void {
  const register = registerOf(step.spec.action, undefined, { changed: false, failed: false, skipped: true });
  end(step, 'OUTCOME_SKIPPED', { changed: false, reason }, bound(step, register));
}

export function fail(step: StepContext, found: ErrorReport): void {
  const error = step.reported(found);
  const register = registerOf(step.spec.action, undefined, { changed: false, failed: true, skipped: false }, error);
  end(step, 'OUTCOME_FAILED', { changed: false, error }, bound(step, register));
}

/** `isUnbound`: of a dry run, nobody knows what it would bind. `inputs`: the digest of a step that ended ok. */
export function end(
  step: StepContext,
  outcome: WireOutcome,
  result: StepResult,
  bindings: Record<string, Json>,
  isUnbound = false,
  inputs?: string,
): void {
  const { ports, spec, task, lost } = step;
  const { run, revision } = step.run;
  const atMs = ports.clock.nowMs();
  const durationMs = Math.max(0, Math.round(ports.clock.bootTimeMs() - step.startedAt));
  // Values of a sensitive step are kept in memory and not on disk (ENGINE 2.7).
  const written = spec.sensitive ? {} : bindings;
  ports.record({
    type: 'ended',
    run,
    revision,
    task,
    outcome,
    result: lost.length === 0 ? result : { ...result, lost },
    atMs,
    durationMs,
    bindings: written,
    key: spec.key,
    ...(inputs === undefined ? {} : { inputs }),
    ...(isUnbound ? { unbound: namesBound(spec) } : {}),
  });
  if (!spec.sensitive) return;
  for (const [name, value] of Object.entries(bindings)) step.run.bindings.set(name, value);
  const ending = step.known?.ending;
  if (ending !== undefined) ending.bindings = bindings;
}

function digestOfAll({ known, ports }: StepContext, items: Json[] | undefined): string {
  const digests = (items ?? [null]).map((_, item) => known?.byItem.get(item)?.inputs);
  return stepDigest(ports.digest, digests, items !== undefined);
}

function newFacts({ ports, run }: StepContext, facts: Facts): void {
  ports.record({ type: 'facts', run: run.run, version: (run.facts?.version ?? 0) + 1, facts });
}

function bound({ spec: { register } }: StepContext, value: Json): Record<string, Json> {
  return register === undefined ? {} : { [register.name]: value };
}
