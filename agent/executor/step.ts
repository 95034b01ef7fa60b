import { join } from 'node:path';
import { ACTIONS, type ActionKind, isActionKind, runsProgram } from '../../shared/actions/index.ts';
import { blocksAround } from '../../shared/blocks.ts';
import { isOfItem, loopItems, whySkipped } from '../../shared/conditions.ts';
import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import { holds, renderFile } from '../../shared/evaluate.ts';
import type { Scope } from '../../shared/expr/index.ts';
import type { Facts } from '../../shared/facts.ts';
import { type Inputs, inputsOf } from '../../shared/inputs.ts';
import type { WireOutcome } from '../../shared/protocol/messages.ts';
import type { Common, Json, SourceText, StepResult, TaskSpec } from '../../shared/share.ts';
import type { NodeVariables } from '../../shared/variables.ts';
import { type ActionExecutor, Postponed } from '../actions/executor.ts';
import { Unknown } from '../actions/unknown.ts';
import { type Attempted, attempt } from './attempt.ts';
import { type Digest, inputsDigest, stepDigest } from './digest.ts';
import { namesBound, wouldHaveChanged } from './dry-run.ts';
import { exportedRegister } from './exported.ts';
import { MaskedStream, maskJson } from './mask.ts';
import { loopRegister, registerOf, resultOf, typedRegister } from './outcome.ts';
import { pause } from './pause.ts';
import type { ExecutorPorts } from './ports.ts';
import type { ItemEnd, NewRecord } from './records.ts';
import { asTask, NOTHING_TO_DO, restore } from './recover.ts';
import { type Earlier, earlierFor, standingOf } from './revision.ts';
import type { RunRecord } from './state.ts';
import { failedWhen, interruptedError, untilNotMet, wasKilled } from './step-errors.ts';

/** What a step's work needs of the executor around it. */
export interface StepPorts extends ExecutorPorts {
  /** Writes to the journal and applies it to the state, at once; `synced` waits for the disk. */
  record(record: NewRecord): void;
  synced(): Promise<void>;
  /** Waits for a slot before the next item or attempt; false: cancelled meanwhile. `owed`: a cancel does not end the wait. */
  turn(owed?: boolean): Promise<boolean>;
  /** May something start now? Asked again right before it does. */
  mayStart(): boolean;
  /** Gives slot and lock back until the next {@link turn}. */
  rest(): void;
  /** The run's facts, gathered once. */
  facts(): Promise<Facts>;
  cancelled: AbortSignal;
  digest: Digest;
  /** Values that must be shown nowhere. */
  secrets(): readonly string[];
  /** Waits for the secrets of a step that a restart cut short; false: its run is over. */
  haveSecrets(): Promise<boolean>;
}

/** How one item ended; `stopped` ones leave no record and end the step with that outcome. */
type ItemDone = { end: ItemEnd } | { stopped: 'cancelled' | 'interrupted'; error?: ErrorReport; attempts: number };

/** A step that takes its node down each time must not do so for ever. */
const MAX_RECOVERIES = 2;

/** Deterministic mistakes of the plan: another attempt would give the same. */
const NO_RETRY = /^(EXPR_|ACTION_INPUT$|REGISTER_|NODE_READ_)/;

/**
 * Where a step keeps the outputs of its attempts, below the run's folder. Tasks may have other numbers in another revision,
 * and attempts count from 1 in each.
 */
export function folderOf({ revision }: RunRecord, task: number): string {
  return revision === 1 ? String(task) : `${revision}.${task}`;
}

/** One task on this node, from `when` to `ended`. */
export class Step {
  readonly #ports: StepPorts;
  readonly #run: RunRecord;
  readonly #common: Common;
  readonly #variables: NodeVariables;
  readonly #task: number;
  readonly #spec: TaskSpec;
  readonly #startedAt: number;
  /** Something of it has been started in this life of the agent. */
  #hasStarted = false;
  /** Changes of this step that a rollback cannot bring back, with why. */
  readonly #lost: string[] = [];

  constructor(
    ports: StepPorts,
    run: RunRecord,
    common: Common,
    variables: NodeVariables,
    task: number,
    spec: TaskSpec,
  ) {
    this.#ports = ports;
    this.#run = run;
    this.#common = common;
    this.#variables = variables;
    this.#task = task;
    this.#spec = spec;
    this.#startedAt = ports.clock.bootTimeMs();
  }

  /** Does the work, or what is left of it after a restart, and records the end. Never rejects. */
  async work(): Promise<void> {
    try {
      await this.#workOrThrow();
    } catch (thrown) {
      if (thrown instanceof Unknown)
        return this.#end('OUTCOME_SKIPPED', { changed: false, unknown: thrown.message }, {}, true);
      if (!(thrown instanceof KkError))
        this.#ports.logger.error({ err: thrown, task: this.#spec.key }, 'a step failed unexpectedly');
      const error = this.#reported(reportOf(thrown));
      this.#end('OUTCOME_FAILED', { changed: false, error }, this.#failedBinding(error));
    }
  }

  async #workOrThrow(): Promise<void> {
    const spec = this.#spec;
    const resumed = this.#run.steps.get(this.#task)?.state === 'begun';
    if (!resumed) {
      const first = spec.when.filter((condition) => spec.loop === undefined || !isOfItem(spec, condition));
      const why = whySkipped(spec, first, this.#variables.scopeOf(spec));
      if (why !== undefined)
        return this.#end('OUTCOME_SKIPPED', { changed: false, reason: why }, this.#skippedBinding());
      const items = loopItems(spec, this.#variables.scopeOf(spec));
      if (items?.length === 0) {
        return this.#end(
          'OUTCOME_SKIPPED',
          { changed: false, reason: 'the loop has no items' },
          this.#skippedBinding(),
        );
      }
      const standing = standingOf({
        run: this.#run,
        common: this.#common,
        variables: this.#variables,
        task: this.#task,
        spec,
        digest: this.#ports.digest,
      });
      if (standing !== undefined) {
        if ('refused' in standing) throw new KkError(standing.refused);
        const { outcome, result, bindings, inputs: digest } = standing.kept;
        return this.#end(outcome, result, bindings, false, digest);
      }
      const { run, revision } = this.#run;
      const { bootId: boot, clock } = this.#ports;
      // Of a sensitive loop only their number is written (ENGINE 2.7).
      const frozen = items === undefined ? {} : { items: spec.sensitive ? items.map(() => null) : items };
      this.#ports.record({ type: 'begun', run, revision, task: this.#task, atMs: clock.nowMs(), boot, ...frozen });
      return this.#items(items);
    }
    if (!(await this.#ports.haveSecrets())) return this.#stop({ stopped: 'cancelled', attempts: 0 }, undefined, []);
    const frozen = this.#run.steps.get(this.#task)?.items;
    await this.#items(frozen !== undefined && spec.sensitive ? this.#itemsAgain(frozen.length) : frozen);
  }

  /** The items of a sensitive loop after a restart. Throws EXPR_*, or INTERRUPTED when they are not the same ones. */
  #itemsAgain(count: number): Json[] | undefined {
    const items = loopItems(this.#spec, this.#variables.scopeOf(this.#spec));
    if (items?.length !== count) throw new KkError(interruptedError());
    return items;
  }

  async #items(items: Json[] | undefined): Promise<void> {
    const ends: ItemEnd[] = [];
    const count = items?.length ?? 1;
    const kept = [...(earlierFor(this.#run, this.#task, this.#common.tasks)?.items ?? [])];
    for (let item = 0; item < count; item += 1) {
      const known = this.#run.steps.get(this.#task)?.byItem.get(item);
      if (known?.ended !== undefined) {
        ends.push(known.ended);
        // Taken before a restart: it counts once.
        const taken = kept.findIndex(({ inputs }) => inputs === known.inputs);
        if (taken >= 0) kept.splice(taken, 1);
        continue;
      }
      const extra = items === undefined ? {} : { item: items[item] as Json, loop_index: item };
      const before = items === undefined || known !== undefined ? undefined : this.#takeKept(kept, extra);
      if (before !== undefined) {
        ends.push(before.end);
        this.#itemEnded(item, before.end, before.inputs);
        continue;
      }
      // An item that a restart cut short is no new start: its command may be at work and must be followed.
      const hasBegun = (known?.attempt ?? 0) > 0;
      const done: ItemDone =
        ends.length > 0 && !hasBegun && !(await this.#ports.turn())
          ? { stopped: 'cancelled', attempts: 0 }
          : await this.#item(item, extra);
      if ('stopped' in done) return this.#stop(done, items, ends);
      ends.push(done.end);
      if (items !== undefined) this.#itemEnded(item, done.end);
    }
    this.#finish(items, ends);
  }

  /** Of the items that ended ok before an earlier revision of the loop failed: the one that would do the same. */
  #takeKept(kept: Earlier['items'][number][], extra: Record<string, Json>): Earlier['items'][number] | undefined {
    if (kept.length === 0 || (this.#spec.sensitive && this.#spec.register !== undefined)) return undefined;
    try {
      const scope = this.#variables.scopeOf(this.#spec, extra);
      const now = inputsOf(this.#spec, this.#kind(), scope);
      const digest = this.#digestOf(now, scope, extra);
      const at = kept.findIndex(({ inputs, unwanted }) => inputs === digest && !(unwanted && now.repeatable));
      return at < 0 ? undefined : kept.splice(at, 1)[0];
    } catch {
      // The item itself will say what is wrong with it.
      return undefined;
    }
  }

  #digestOf(inputs: Inputs, scope: Scope, extra: Record<string, Json>): string {
    return inputsDigest(this.#ports.digest, this.#common, this.#spec, inputs, scope, extra['item']);
  }

  /** One item (or the step itself): attempts until it is done. Never rejects. */
  async #item(item: number, extra: Record<string, Json>): Promise<ItemDone> {
    const spec = this.#spec;
    try {
      const hasBegun = (this.#run.steps.get(this.#task)?.byItem.get(item)?.attempt ?? 0) > 0;
      const conditions = spec.loop === undefined || hasBegun ? [] : spec.when.filter((c) => isOfItem(spec, c));
      if (whySkipped(spec, conditions, this.#variables.scopeOf(spec, extra)) !== undefined) {
        const register = registerOf(spec.action, undefined, { changed: false, failed: false, skipped: true });
        return { end: { outcome: 'skipped', changed: false, attempts: 0, register: { ...register, ...extra } } };
      }
      return await (this.#run.share.check === true ? this.#look(item, extra) : this.#attempts(item, extra));
    } catch (thrown) {
      if (thrown instanceof Unknown) return { end: this.#itemUnknown(thrown.message) };
      if (!(thrown instanceof KkError))
        this.#ports.logger.error({ err: thrown, task: spec.key }, 'a step failed unexpectedly');
      return { end: this.#itemFailed(reportOf(thrown), { changed: false }, extra, 1) };
    }
  }

  /** Of a dry run: one look. */
  async #look(item: number, extra: Record<string, Json>): Promise<ItemDone> {
    const spec = this.#spec;
    const number = (this.#run.steps.get(this.#task)?.byItem.get(item)?.attempt ?? 0) + 1;
    const scope = this.#variables.scopeOf(spec, extra);
    const tried = await this.#attempt(item, number, inputsOf(spec, this.#kind(), scope), scope, extra, {
      isRecovery: false,
    });
    if (tried.error !== undefined) {
      if (this.#ports.cancelled.aborted) return { stopped: 'cancelled', attempts: number };
      if (NO_RETRY.test(tried.error.code) || !wouldHaveChanged(this.#run)) {
        return { end: this.#itemFailed(tried.error, tried, extra, number) };
      }
      // What it misses may be what an earlier step would have made.
      const unknown = `it cannot be looked at before the earlier tasks have run: ${tried.error.message}`;
      return { end: { outcome: 'ok', changed: true, attempts: number, undone: true, unknown } };
    }
    if (tried.undone === undefined && tried.unknown !== undefined) return { end: this.#itemUnknown(tried.unknown) };
    if (tried.undone === undefined) return { end: this.#judge(tried, extra, number).end };
    const { unknown, changed } = tried;
    const end: ItemEnd = { outcome: 'ok', attempts: number, ...this.#kept(this.#shown(tried)), undone: true };
    return {
      end: { ...end, changed: changed && this.#mayChange(scope), ...(unknown === undefined ? {} : { unknown }) },
    };
  }

  #itemUnknown(unknown: string): ItemEnd {
    return { outcome: 'skipped', changed: false, attempts: 0, unknown };
  }

  /** changed_when, as far as it does not ask for the output. */
  #mayChange(scope: Scope): boolean {
    const { changedWhen, file } = this.#spec;
    try {
      return changedWhen.every((condition) => holds(condition, file, scope));
    } catch {
      return true;
    }
  }

  async #attempts(item: number, extra: Record<string, Json>): Promise<ItemDone> {
    const spec = this.#spec;
    const { clock, cancelled } = this.#ports;
    const was = this.#run.steps.get(this.#task)?.byItem.get(item);
    // An attempt that a restart cut short is taken up under its own number.
    let isRecovery = false;
    let recovering = was !== undefined && was.attempt > 0 ? { bootId: was.boot } : undefined;
    let first = Math.max(1, was?.attempt ?? 1);
    if (was?.recovering !== undefined) {
      // What was cut short is the recovery of that attempt.
      const stopped = await this.#beginAgain(item, first, extra, interruptedError());
      if (stopped !== undefined) return stopped;
      recovering = undefined;
      first += 1;
    }
    for (let number = first; ; number += 1) {
      const scope = this.#variables.scopeOf(spec, extra);
      const inputs = inputsOf(spec, this.#kind(), scope);
      if (recovering !== undefined && !this.#canRecover(inputs)) {
        const stopped = await this.#beginAgain(item, number, extra, interruptedError());
        if (stopped !== undefined) return stopped;
        recovering = undefined;
        isRecovery = spec.recover === undefined;
        continue;
      }
      if (recovering !== undefined && inputs.repeatable && !this.#mayLive(recovering.bootId)) {
        if (!(await this.#ports.turn())) return { stopped: 'cancelled', attempts: number };
      }
      const tried = await this.#attempt(item, number, inputs, scope, extra, recovering ?? { isRecovery });
      isRecovery = false;
      if (tried.postponed === true) {
        if (this.#isForgone() || !(await this.#ports.turn())) return { stopped: 'cancelled', attempts: number };
        recovering = undefined;
        // It was not an attempt.
        number -= 1;
        continue;
      }
      if (tried.error?.code === 'INTERRUPTED') {
        if (recovering === undefined) return { stopped: 'interrupted', error: tried.error, attempts: number };
        const stopped = await this.#beginAgain(item, number, extra, tried.error);
        if (stopped !== undefined) return stopped;
        recovering = undefined;
        isRecovery = spec.recover === undefined;
        continue;
      }
      recovering = undefined;
      const judged = this.#judge(tried, extra, number);
      if (cancelled.aborted && (judged.end.outcome === 'failed' || wasKilled(tried)))
        return this.#killed(item, number, extra);
      if (judged.final || number > spec.retries) return { end: judged.end };
      this.#ports.rest();
      await pause(clock, spec.delay * 1000, cancelled);
      if (!(await this.#ports.turn())) return { stopped: 'cancelled', attempts: number };
    }
  }

  /** A cancel lets a permit step finish (ENGINE 2.6); one that has done nothing yet has nothing to finish, unless it is owed. */
  #isForgone(): boolean {
    if (this.#run.cancel === undefined || this.#hasStarted) return false;
    if (blocksAround(this.#common.tasks, this.#task).some(({ part }) => part === 'always')) return false;
    const items = this.#run.steps.get(this.#task)?.byItem.values() ?? [];
    return ![...items].some(({ ended }) => ended !== undefined);
  }

  /** Cut off in the middle by a cancel: a forced one leaves the node in a known state (ENGINE 2.6). */
  async #killed(item: number, number: number, extra: Record<string, Json>): Promise<ItemDone> {
    const hasRoom = (this.#run.steps.get(this.#task)?.recoveries ?? 0) < MAX_RECOVERIES;
    if (this.#isForced() && hasRoom) await this.#restore(item, number, extra);
    return { stopped: 'cancelled', attempts: number };
  }

  #isForced(): boolean {
    return this.#run.cancel?.force === true && this.#ports.cancelled.aborted;
  }

  /** Is it said how it may run again, and has it not been tried too often (ENGINE 3.3)? */
  #mayRerun(): boolean {
    const { recoveries = 0 } = this.#run.steps.get(this.#task) ?? {};
    const { onInterrupt, recover } = this.#spec;
    return (onInterrupt === 'rerun' || recover !== undefined) && recoveries < MAX_RECOVERIES;
  }

  /** Makes an interrupted attempt ready to be followed by another one; how the item stops when that cannot be. */
  async #beginAgain(
    item: number,
    number: number,
    extra: Record<string, Json>,
    error: ErrorReport,
  ): Promise<ItemDone | undefined> {
    await this.#followRecovery(item, number, extra);
    if (!this.#mayRerun()) return { stopped: 'interrupted', error, attempts: number };
    if (!(await this.#ports.turn())) return this.#killed(item, number, extra);
    if (this.#spec.recover === undefined) return undefined;
    const failed = await this.#restore(item, number, extra, this.#ports.cancelled);
    if (failed === undefined) return undefined;
    if (failed === 'cancelled') return this.#killed(item, number, extra);
    return { stopped: 'interrupted', error: failed.error, attempts: number };
  }

  /** The recover tasks in order. Without `signal` nothing stops them. */
  async #restore(
    item: number,
    number: number,
    extra: Record<string, Json>,
    signal = new AbortController().signal,
  ): Promise<'cancelled' | { error: ErrorReport } | undefined> {
    if (this.#spec.recover === undefined) return undefined;
    const round = (this.#run.steps.get(this.#task)?.recoveries ?? 0) + 1;
    this.#hasStarted = true;
    const { bootId: boot } = this.#ports;
    const failed = await restore(this.#spec, {
      begin: (index) => {
        this.#ports.record({ type: 'recover', run: this.#run.run, task: this.#task, item, round, index, boot });
      },
      scopeOf: (spec, registers) => this.#variables.scopeOf(spec, { ...extra, ...registers }),
      attempt: (spec, index, inputs, scope) =>
        this.#tryOne(spec, { item, number, part: partOf(round, index) }, inputs, scope, { signal }),
      commandFailure: (output) => this.#ports.commandFailure(output),
      turn: () => this.#ports.turn(signal !== this.#ports.cancelled),
    });
    return signal.aborted ? 'cancelled' : failed;
  }

  /** A command of a recovery that was cut short may be at work: nothing begins beside it. */
  async #followRecovery(item: number, number: number, extra: Record<string, Json>): Promise<void> {
    const was = this.#run.steps.get(this.#task)?.byItem.get(item)?.recovering;
    const task = was && this.#spec.recover?.[was.index];
    if (task === undefined || !runsProgram(task.action) || was?.boot !== this.#ports.bootId) return;
    // A script's process is a command's, and is found as one.
    const spec = { ...asTask(this.#spec, task), action: 'command' };
    const scope = this.#variables.scopeOf(spec, extra);
    await this.#tryOne(spec, { item, number, part: partOf(was.round, was.index) }, NOTHING_TO_DO, scope, {
      recovering: { bootId: was.boot },
      // That of a forced cancel is not stopped by it.
      ...(this.#isForced() ? { signal: new AbortController().signal } : {}),
    });
  }

  /** A command's process is found again by its folder; anything else must be repeatable. */
  #canRecover(inputs: Inputs): boolean {
    return inputs.repeatable || runsProgram(this.#spec.action);
  }

  /** Its process may be there still; doing it again would be a start, which needs lease, slot and lock (ENGINE 2.6). */
  #mayLive(boot: string): boolean {
    return runsProgram(this.#spec.action) && boot === this.#ports.bootId;
  }

  async #attempt(
    item: number,
    number: number,
    inputs: Inputs,
    scope: Scope,
    extra: Record<string, Json>,
    begins: { bootId: string } | { isRecovery: boolean },
  ): Promise<Attempted> {
    const { run } = this.#run;
    const { bootId: boot } = this.#ports;
    if ('isRecovery' in begins) {
      const digest = this.#digestOf(inputs, scope, extra);
      const recovery = begins.isRecovery ? { recovery: true as const } : {};
      const at = { run, task: this.#task, item, attempt: number, boot, inputs: digest };
      this.#ports.record({ type: 'attempt', ...at, ...recovery });
    }
    const recovering = 'bootId' in begins ? { recovering: begins } : {};
    return this.#tryOne(this.#spec, { item, number }, inputs, scope, recovering);
  }

  /** `part`: of a recovery, whose output is on the node alone. */
  async #tryOne(
    spec: TaskSpec,
    { item, number, part }: { item: number; number: number; part?: string },
    inputs: Inputs,
    scope: Scope,
    more: { signal?: AbortSignal; recovering?: { bootId: string } },
  ): Promise<Attempted> {
    const { run, share } = this.#run;
    const { clock, host } = this.#ports;
    const { signal: cancelled = this.#ports.cancelled, ...recovering } = more;
    const node = this.#common.nodes[share.node];
    const folder = `${item}.${number}${part === undefined ? '' : `.${part}`}`;
    const shown = new Map<string, MaskedStream>();
    const show = (stream: 'stdout' | 'stderr'): MaskedStream => {
      const name = stream === 'stdout' ? 'STREAM_STDOUT' : 'STREAM_STDERR';
      const send = (offset: number, data: Uint8Array): void => {
        const at = { run, task: this.#task, item, attempt: number, at_ms: clock.nowMs() };
        this.#ports.onLog({ ...at, stream: name, offset, data });
      };
      const known = shown.get(stream) ?? new MaskedStream(() => this.#ports.secrets(), send);
      shown.set(stream, known);
      return known;
    };
    const tried = await attempt(spec, {
      executor: this.#ports.actions[spec.action as ActionKind] as ActionExecutor<ActionKind>,
      inputs,
      clock,
      cancelled,
      begunIsSynced: () => this.#ports.synced(),
      dryRun: share.check === true,
      context: {
        host,
        step: { run, task: this.#task },
        folder: join(this.#ports.runsFolder, run, folderOf(this.#run, this.#task), folder),
        log: (stream, offset, data) => {
          if (!spec.sensitive && part === undefined) show(stream).push(offset, data);
        },
        starting: () => {
          if (!this.#ports.mayStart() || this.#isForgone()) throw new Postponed();
          this.#hasStarted = true;
        },
        facts: () => this.#ports.facts(),
        node: { name: share.node, address: node?.address ?? '', groups: node?.groups ?? [] },
        blobs: spec.blobs ?? {},
        roleFile: (path) => this.#roleFile(`${spec.role}/${path}`),
        render: (text, file) => renderFile(text, `${spec.role}/${file}`, scope),
        remember: async (resource, after) => {
          const why = await this.#ports.remember({ run, task: spec.key, item }, resource, after);
          if (why !== undefined)
            this.#cannotBeUndone(`${resource.kind} ${resource.id}: ${why}`, { item, attempt: number });
        },
        ...(spec.sensitive ? { sensitive: true as const } : {}),
        ...recovering,
      },
    });
    for (const stream of shown.values()) stream.flush();
    return tried;
  }

  /** Told before the change is made, and in the result. */
  #cannotBeUndone(what: string, at: { item: number; attempt: number }): void {
    this.#lost.push(what);
    const data = Buffer.from(`This change cannot be undone: ${what}.\n`);
    const where = { run: this.#run.run, task: this.#task, ...at, at_ms: this.#ports.clock.nowMs() };
    this.#ports.onLog({ ...where, stream: 'STREAM_STDERR', offset: 0, data });
  }

  #roleFile(path: string): string | undefined {
    const { files } = this.#common;
    return Object.hasOwn(files, path) ? files[path] : undefined;
  }

  /** failed_when, changed_when, until; `final`: no other attempt would help. */
  #judge(tried: Attempted, extra: Record<string, Json>, attempts: number): { end: ItemEnd; final: boolean } {
    const spec = this.#spec;
    const { output } = tried;
    const isCommand = runsProgram(spec.action) && output !== undefined;
    let error = tried.error;
    if (error === undefined && isCommand && spec.failedWhen.length === 0) error = this.#ports.commandFailure(output);
    let { changed } = tried;
    const see = (): Record<string, Json> => {
      const register = registerOf(spec.action, output, { changed, failed: error !== undefined, skipped: false }, error);
      return { ...extra, result: register, ...(spec.register === undefined ? {} : { [spec.register.name]: register }) };
    };
    const all = (conditions: readonly SourceText[]): boolean => {
      const scope = this.#variables.scopeOf(spec, see());
      return conditions.length > 0 && conditions.every((condition) => holds(condition, spec.file, scope));
    };
    if (tried.error === undefined && spec.changedWhen.length > 0) changed = all(spec.changedWhen);
    if (tried.error === undefined && spec.failedWhen.length > 0 && all(spec.failedWhen)) error = failedWhen(spec);
    const ok = { ...tried, changed };
    const failed = (why: ErrorReport): ItemEnd => this.#itemFailed(why, ok, extra, attempts);
    if (spec.until !== undefined && this.#run.share.check !== true) {
      // An attempt that threw has no output to ask about.
      const met = tried.error === undefined && all([spec.until]);
      if (!met)
        return {
          end: failed(error ?? untilNotMet(spec, attempts)),
          final: error !== undefined && NO_RETRY.test(error.code),
        };
    }
    if (error !== undefined)
      return { end: failed(error), final: spec.until !== undefined || NO_RETRY.test(error.code) };
    return { end: this.#itemOk(ok, extra, attempts), final: true };
  }

  #itemOk(tried: Attempted, extra: Record<string, Json>, attempts: number): ItemEnd {
    const shown = this.#shown(tried);
    const fields = registerOf(this.#spec.action, shown.output, {
      changed: tried.changed,
      failed: false,
      skipped: false,
    });
    return { outcome: 'ok', attempts, ...this.#kept(shown), register: { ...fields, ...extra } };
  }

  #itemFailed(found: ErrorReport, tried: Attempted, extra: Record<string, Json>, attempts: number): ItemEnd {
    const shown = this.#shown(tried);
    const error = this.#reported(found);
    const fields = registerOf(
      this.#spec.action,
      shown.output,
      { changed: tried.changed, failed: true, skipped: false },
      error,
    );
    const end: ItemEnd = { outcome: 'failed', attempts, ...this.#kept(shown), register: { ...fields, ...extra } };
    return { ...end, error };
  }

  /** Nothing shows a secret that the node was given, whatever a step has seen of it; what is sensitive is shown nowhere. */
  #shown(tried: Attempted): Attempted {
    const secrets = this.#ports.secrets();
    if (this.#spec.sensitive || secrets.length === 0) return tried;
    const { output, diffs } = tried;
    return {
      ...tried,
      ...(output === undefined ? {} : { output: maskJson(output, secrets) }),
      ...(diffs === undefined ? {} : { diffs: maskJson(diffs, secrets) }),
    };
  }

  #kept({ changed, output, diffs }: Attempted): Pick<ItemEnd, 'changed' | 'output' | 'diffs'> {
    return { changed, ...(output === undefined ? {} : { output }), ...(diffs === undefined ? {} : { diffs }) };
  }

  #itemEnded(item: number, end: ItemEnd, inputs?: string): void {
    const { register: _register, output: _output, diffs: _diffs, ...bare } = end;
    const written = this.#spec.sensitive ? bare : end;
    const known = inputs === undefined ? {} : { inputs };
    this.#ports.record({ type: 'item', run: this.#run.run, task: this.#task, item, end: written, ...known });
  }

  #finish(items: Json[] | undefined, ends: ItemEnd[]): void {
    const spec = this.#spec;
    const result = resultOf(spec, items, ends);
    const fields = items === undefined ? ((ends[0]?.register ?? {}) as Record<string, Json>) : loopRegister(ends);
    let failed = ends.some((end) => end.outcome === 'failed');
    const skipped = ends.every((end) => end.outcome === 'skipped');
    const isUnbound = ends.some((end) => end.undone === true || end.unknown !== undefined);
    const bindings = isUnbound ? {} : this.#bound(fields);
    if (!isUnbound && spec.register !== undefined && !failed && !skipped) {
      try {
        const value = typedRegister(spec, fields);
        bindings[spec.register.name] = value;
        Object.assign(result, exportedRegister(spec, value));
      } catch (thrown) {
        failed = true;
        result.error = this.#reported(reportOf(thrown));
      }
    }
    for (const { outcome, output, undone } of ends) {
      if (outcome !== 'ok' || undone === true) continue;
      if (spec.action === 'set_fact') Object.assign(bindings, output);
      if (spec.action === 'facts') this.#newFacts((output as unknown as { facts: Facts }).facts);
    }
    const outcome = failed ? 'OUTCOME_FAILED' : skipped ? 'OUTCOME_SKIPPED' : 'OUTCOME_OK';
    this.#end(outcome, result, bindings, isUnbound, outcome === 'OUTCOME_OK' ? this.#stepDigest(items) : undefined);
  }

  #stepDigest(items: Json[] | undefined): string {
    const byItem = this.#run.steps.get(this.#task)?.byItem;
    const digests = (items ?? [null]).map((_, item) => byItem?.get(item)?.inputs);
    return stepDigest(this.#ports.digest, digests, items !== undefined);
  }

  #stop(done: Extract<ItemDone, { stopped: string }>, items: Json[] | undefined, ends: ItemEnd[]): void {
    const result = resultOf(this.#spec, items, ends);
    result.attempts = Math.max(result.attempts ?? 0, done.attempts);
    if (done.error !== undefined) result.error = this.#reported(done.error);
    else
      result.reason = this.#run.cancel === undefined ? 'a later revision of the run has come' : 'the run was cancelled';
    this.#end(done.stopped === 'cancelled' ? 'OUTCOME_CANCELLED' : 'OUTCOME_INTERRUPTED', result, {});
  }

  #newFacts(facts: Facts): void {
    this.#ports.record({ type: 'facts', run: this.#run.run, version: (this.#run.facts?.version ?? 0) + 1, facts });
  }

  /** `isUnbound`: of a dry run, nobody knows what it would bind. `inputs`: the digest of a step that ended ok. */
  #end(
    outcome: WireOutcome,
    result: StepResult,
    bindings: Record<string, Json>,
    isUnbound = false,
    inputs?: string,
  ): void {
    const { run, revision } = this.#run;
    const { clock } = this.#ports;
    const atMs = clock.nowMs();
    const durationMs = Math.max(0, Math.round(clock.bootTimeMs() - this.#startedAt));
    // Values of a sensitive step are kept in memory and not on disk (ENGINE 2.7).
    const written = this.#spec.sensitive ? {} : bindings;
    this.#ports.record({
      type: 'ended',
      run,
      revision,
      task: this.#task,
      outcome,
      result: this.#lost.length === 0 ? result : { ...result, lost: this.#lost },
      atMs,
      durationMs,
      bindings: written,
      key: this.#spec.key,
      ...(inputs === undefined ? {} : { inputs }),
      ...(isUnbound ? { unbound: namesBound(this.#spec) } : {}),
    });
    if (!this.#spec.sensitive) return;
    for (const [name, value] of Object.entries(bindings)) this.#run.bindings.set(name, value);
    const ending = this.#run.steps.get(this.#task)?.ending;
    if (ending !== undefined) ending.bindings = bindings;
  }

  #skippedBinding(): Record<string, Json> {
    return this.#bound(registerOf(this.#spec.action, undefined, { changed: false, failed: false, skipped: true }));
  }

  #failedBinding(error: ErrorReport): Record<string, Json> {
    return this.#bound(
      registerOf(this.#spec.action, undefined, { changed: false, failed: true, skipped: false }, error),
    );
  }

  #bound(value: Json): Record<string, Json> {
    return this.#spec.register === undefined ? {} : { [this.#spec.register.name]: value };
  }

  #kind(): ActionKind {
    const { action } = this.#spec;
    if (isActionKind(action) && Object.hasOwn(ACTIONS, action)) return action;
    throw new Error(`the share names action ${action}, which was checked when it came`);
  }

  /** The error with everything that tells a person where it happened; nothing of what a sensitive step saw. */
  #reported(error: ErrorReport): ErrorReport {
    const { file, at } = this.#spec;
    const { evidence, ...rest } = maskJson(error as unknown as Json, this.#ports.secrets()) as unknown as ErrorReport;
    return {
      ...rest,
      ...(evidence === undefined || this.#spec.sensitive ? {} : { evidence }),
      node: this.#run.share.node,
      task: this.#spec.key,
      position: error.position ?? { file, line: at[0], column: at[1] },
    };
  }
}

/** The folder of a recover task, behind that of the attempt that it follows. */
function partOf(round: number, index: number): string {
  return `recover-${round}-${index}`;
}
