import { isOfItem, loopItems, whySkipped } from '../../shared/conditions.ts';
import { KkError } from '../../shared/errors.ts';
import { inputsOf } from '../../shared/inputs.ts';
import type { Json } from '../../shared/share.ts';
import { Unknown } from '../actions/unknown.ts';
import { attempts } from './attempts.ts';
import { itemFailed } from './judge.ts';
import { itemUnknown, look } from './look.ts';
import { registerOf } from './outcome.ts';
import type { ItemEnd } from './records.ts';
import { earlierFor, type ItemLeft, standingOf } from './revision.ts';
import type { AtItem, ItemDone, ItemVars, StepContext } from './step-context.ts';
import { end, fail, finish, skip, stop } from './step-end.ts';
import { interruptedError } from './step-errors.ts';

/** One task on this node, from `when` to `ended`. */
export class Step {
  readonly #context: StepContext;

  constructor(context: StepContext) {
    this.#context = context;
  }

  /** Does the work, or what is left of it after a restart, and records the end. Never rejects. */
  async work(): Promise<void> {
    const step = this.#context;
    try {
      await this.#workOrThrow();
    } catch (thrown) {
      if (thrown instanceof Unknown)
        return end(step, 'OUTCOME_SKIPPED', { changed: false, unknown: thrown.message }, {}, true);
      fail(step, step.errorOf(thrown));
    }
  }

  async #workOrThrow(): Promise<void> {
    const step = this.#context;
    const { spec, run, common, variables, task, ports } = step;
    if (step.known?.state !== 'begun') {
      const first = spec.when.filter((condition) => spec.loop === undefined || !isOfItem(spec, condition));
      const why = whySkipped(spec, first, step.scope());
      if (why !== undefined) return skip(step, why);
      const items = loopItems(spec, step.scope());
      if (items?.length === 0) return skip(step, 'the loop has no items');
      const standing = standingOf({ run, common, variables, task, spec, digest: ports.digest });
      if (standing !== undefined) {
        if ('refused' in standing) throw new KkError(standing.refused);
        const { outcome, result, bindings, inputs: digest } = standing.kept;
        return end(step, outcome, result, bindings, false, digest);
      }
      // Of a sensitive loop only their number is written (ENGINE 2.7).
      const frozen = items === undefined ? {} : { items: spec.sensitive ? items.map(() => null) : items };
      const at = { run: run.run, revision: run.revision, task, atMs: ports.clock.nowMs(), boot: ports.bootId };
      ports.record({ type: 'begun', ...at, ...frozen });
      return this.#items(items);
    }
    if (!(await ports.haveSecrets())) return stop(step, { stopped: 'cancelled', attempts: 0 }, undefined, []);
    const frozen = step.known?.items;
    await this.#items(frozen !== undefined && spec.sensitive ? this.#itemsAgain(frozen.length) : frozen);
  }

  /** The items of a sensitive loop after a restart. Throws EXPR_*, or INTERRUPTED when they are not the same ones. */
  #itemsAgain(count: number): Json[] | undefined {
    const items = loopItems(this.#context.spec, this.#context.scope());
    if (items?.length !== count) throw new KkError(interruptedError());
    return items;
  }

  async #items(items: Json[] | undefined): Promise<void> {
    const step = this.#context;
    const ends: ItemEnd[] = [];
    const count = items?.length ?? 1;
    const left = [...(earlierFor(step.run, step.task, step.common.tasks)?.items ?? [])];
    for (let item = 0; item < count; item += 1) {
      const known = step.known?.byItem.get(item);
      if (known?.ended !== undefined) {
        ends.push(known.ended);
        // Taken before a restart: it counts once.
        const taken = left.findIndex(({ inputs }) => inputs === known.inputs);
        if (taken >= 0) left.splice(taken, 1);
        continue;
      }
      const extra = items === undefined ? {} : { item: items[item] as Json, loop_index: item };
      const before = items === undefined || known !== undefined ? undefined : this.#takeLeft(left, extra);
      if (before !== undefined) {
        ends.push(before.end);
        this.#itemEnded(item, before.end, before.inputs);
        continue;
      }
      // An item that a restart cut short is no new start: its command may be at work and must be followed.
      const hasBegun = (known?.attempt ?? 0) > 0;
      const done: ItemDone =
        ends.length > 0 && !hasBegun && !(await step.ports.turn())
          ? { stopped: 'cancelled', attempts: 0 }
          : await this.#item({ item, extra });
      if ('stopped' in done) return stop(step, done, items, ends);
      ends.push(done.end);
      if (items !== undefined) this.#itemEnded(item, done.end);
    }
    finish(step, items, ends);
  }

  /** Of the items that ended ok before an earlier revision of the loop failed: the one that would do the same. */
  #takeLeft(left: ItemLeft[], extra: ItemVars): ItemLeft | undefined {
    const step = this.#context;
    if (left.length === 0 || (step.spec.sensitive && step.spec.register !== undefined)) return undefined;
    try {
      const scope = step.scope(extra);
      const now = inputsOf(step.spec, step.kind, scope);
      const digest = step.digestOf(now, scope, extra);
      const at = left.findIndex(({ inputs, unwanted }) => inputs === digest && !(unwanted && now.repeatable));
      return at < 0 ? undefined : left.splice(at, 1)[0];
    } catch {
      // The item itself will say what is wrong with it.
      return undefined;
    }
  }

  /** One item (or the step itself): attempts until it is done. Never rejects. */
  async #item(at: AtItem): Promise<ItemDone> {
    const step = this.#context;
    const { spec } = step;
    try {
      const hasBegun = (step.known?.byItem.get(at.item)?.attempt ?? 0) > 0;
      const conditions = spec.loop === undefined || hasBegun ? [] : spec.when.filter((c) => isOfItem(spec, c));
      if (whySkipped(spec, conditions, step.scope(at.extra)) !== undefined) {
        const register = registerOf(spec.action, undefined, { changed: false, failed: false, skipped: true });
        return { end: { outcome: 'skipped', changed: false, attempts: 0, register: { ...register, ...at.extra } } };
      }
      return await (step.run.share.check === true ? look(step, at) : attempts(step, at));
    } catch (thrown) {
      if (thrown instanceof Unknown) return { end: itemUnknown(thrown.message) };
      return { end: itemFailed(step, step.errorOf(thrown), { changed: false }, at.extra, 1) };
    }
  }

  #itemEnded(item: number, end: ItemEnd, inputs?: string): void {
    const { ports, run, task, spec } = this.#context;
    const { register: _register, output: _output, diffs: _diffs, ...bare } = end;
    const written = spec.sensitive ? bare : end;
    const known = inputs === undefined ? {} : { inputs };
    ports.record({ type: 'item', run: run.run, task, item, end: written, ...known });
  }
}
