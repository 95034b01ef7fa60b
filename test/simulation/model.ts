/**
 * What a run may record, said again and simply: from the graph, the events as they were stored, and what the machines really
 * did. Nothing of apply-event, decide or the agent's scheduler is used.
 */
import type { GraphTask, TaskGraph } from '../../controller/compile/graph.ts';
import type { Revision, RunEvent } from '../../controller/run/events.ts';
import type { StepState } from '../../shared/lifecycle.ts';
import type { World } from './world.ts';

type Ended = Exclude<StepState, 'waiting' | 'begun'>;

/** Throws what is wrong with the records of any run. */
export function judge(world: World): void {
  for (const [id, { events, record }] of world.store.runs) {
    const graph = world.graphs.get(id);
    if (graph === undefined) throw new Error(`${id} is of no plan`);
    const problem = new Story(world, id, graph, events).problem(record.status);
    if (problem !== undefined) throw new Error(`${id}: ${problem}`);
  }
}

class Story {
  readonly #world: World;
  readonly #run: string;
  readonly #graph: TaskGraph;
  readonly #events: readonly RunEvent[];
  /** How each step first ended: `task@node`. What others wait for is decided by that. */
  readonly #first = new Map<string, Ended>();
  /** How it stands at the end: a node that was given up may have told more. */
  readonly #last = new Map<string, Ended>();
  readonly #begun = new Set<string>();
  readonly #granted = new Map<string, string>();
  /** Granted in the revision before: who waits for such a one may be let past it. */
  readonly #carried = new Map<string, boolean>();
  readonly #accepted = new Set<number>();
  readonly #givenUp = new Set<number>();
  readonly #causes = new Map<string, string>();
  #revision = 1;
  /** Steps that had a reason to be blocked in an earlier revision. */
  readonly #blockable = new Set<string>();
  #isCancelled = false;
  /** It was cancelled when every step had ended. */
  #isLate = false;

  constructor(world: World, run: string, graph: TaskGraph, events: readonly RunEvent[]) {
    [this.#world, this.#run, this.#graph, this.#events] = [world, run, graph, events];
  }

  problem(status: string): string | undefined {
    for (const event of this.#events) {
      const problem = this.#take(event);
      if (problem !== undefined) return problem;
    }
    for (const task of this.#graph.tasks)
      for (const node of this.#members(task)) {
        const problem = this.#ofStep(task, node);
        if (problem !== undefined) return `task ${task.index} on ${this.#graph.nodes[node]} ${problem}`;
      }
    const expected = this.#status();
    // A cancel that finds every step ended is late: the end may have been decided.
    if (this.#isCancelled && this.#isLate) return undefined;
    return status === expected ? undefined : `it is recorded as ${status}, and should be ${expected}`;
  }

  #members(task: GraphTask): readonly number[] {
    return this.#graph.sets[task.set]?.members ?? [];
  }

  #isAllEnded(): boolean {
    return this.#graph.tasks.every((task) =>
      this.#members(task).every((node) => this.#first.has(`${task.index}@${node}`)),
    );
  }

  #take(event: RunEvent): string | undefined {
    switch (event.kind) {
      case 'permit_granted':
        return this.#grant(event.task, event.node);
      case 'begun':
        return this.#begin(event.task, event.node);
      case 'ended':
        this.#end(event.task, event.node, event.outcome, event.result.error?.code ?? '');
        return undefined;
      case 'blocked':
        for (const task of event.tasks)
          this.#end(task, event.node, event.cancelled ? 'cancelled' : 'blocked', event.cause);
        return undefined;
      case 'given_up':
      case 'refused':
        for (const task of this.#graph.tasks) {
          if (!this.#members(task).includes(event.node) || this.#first.has(`${task.index}@${event.node}`)) continue;
          this.#givenUp.add(event.node);
          this.#end(task.index, event.node, 'unreachable', '');
        }
        return undefined;
      case 'cancel':
        this.#isLate ||= !this.#isCancelled && this.#isAllEnded();
        this.#isCancelled = true;
        if (!this.#world.cancelled.has(this.#run)) return 'it is cancelled, and nobody has asked for it';
        // Whoever was given nothing has nothing to say.
        for (const task of this.#graph.tasks)
          for (const node of this.#members(task))
            if (!this.#accepted.has(node) && !event.asked?.includes(node)) this.#end(task.index, node, 'cancelled', '');
        return undefined;
      case 'accepted':
        this.#accepted.add(event.node);
        for (const [key, hasFailed] of this.#carried)
          if (!hasFailed && key.endsWith(`@${event.node}`)) {
            this.#carried.delete(key);
            this.#granted.delete(key);
          }
        return undefined;
      case 'revised':
        return this.#revise(event);
      default:
        return undefined;
    }
  }

  /** Everything begins anew, but for the permits. */
  #revise({ revision, how, node, permits }: Revision): string | undefined {
    if (revision <= this.#revision) return `revision ${revision} follows ${this.#revision}`;
    this.#revision = revision;
    // What was blocked stays so, unless it was asked for again.
    for (const task of this.#graph.tasks)
      for (const at of this.#members(task))
        if (this.#mayBeBlocked(task, at, undefined)) this.#blockable.add(`${task.index}@${at}`);
    for (const known of [this.#first, this.#last, this.#begun, this.#accepted, this.#givenUp, this.#causes])
      known.clear();
    this.#isCancelled = false;
    this.#granted.clear();
    this.#carried.clear();
    for (const { task, node: holder, failed } of permits) {
      const name = this.#graph.tasks[task]?.permit?.name;
      if (name === undefined) return `task ${task} holds a permit that it did not ask for`;
      this.#granted.set(`${task}@${holder}`, name);
      this.#carried.set(`${task}@${holder}`, failed ?? false);
    }
    const name = this.#graph.nodes[node ?? -1] ?? '';
    if (how === 'voided' && (this.#world.places.get(name)?.machine.incarnation ?? 1) === 1)
      return `${name} is said to have lost its journal, and its disk was never another`;
    return undefined;
  }

  #end(task: number, node: number, outcome: Ended, cause: string): void {
    const key = `${task}@${node}`;
    this.#carried.delete(key);
    if (!this.#first.has(key)) this.#first.set(key, outcome);
    else if (this.#last.get(key) !== 'unreachable') return;
    this.#last.set(key, outcome);
    this.#causes.set(key, cause);
    // Given back when it ended well, or never began; else its name stays taken.
    if (outcome === 'ok' || outcome === 'skipped' || (!this.#begun.has(key) && outcome !== 'unreachable'))
      if (this.#first.get(key) === outcome) this.#granted.delete(key);
  }

  #grant(task: number, node: number): string | undefined {
    const permit = this.#graph.tasks[task]?.permit;
    const key = `${task}@${node}`;
    if (permit === undefined) return `task ${task} is granted a permit it did not ask for`;
    // Its node was given up while the grant was on its way.
    if (this.#first.has(key)) return undefined;
    this.#granted.set(key, permit.name);
    this.#carried.delete(key);
    const held = [...this.#granted].filter(([at, name]) => name === permit.name && !this.#carried.has(at)).length;
    return held > permit.count
      ? `${held} hold the permit ${permit.name}, of which there are ${permit.count}`
      : undefined;
  }

  /** Nothing begins before its needs. */
  #begin(index: number, node: number): string | undefined {
    const key = `${index}@${node}`;
    if (this.#first.has(key) || this.#begun.has(key)) return undefined;
    this.#begun.add(key);
    this.#carried.delete(key);
    const task = this.#graph.tasks[index];
    if (task === undefined) return `task ${index} is not in the graph`;
    if (task.permit !== undefined && !this.#granted.has(key)) return `task ${index} begins without its permit`;
    const unmet = this.#unmet(task, node, (one) => this.#first.get(one));
    return unmet === undefined ? undefined : `task ${index} on ${node} begins before its need: ${unmet}`;
  }

  #isGood(index: number, state: Ended | undefined): boolean {
    const isIgnored = this.#graph.tasks[index]?.ignoreErrors === true;
    return state === 'ok' || state === 'skipped' || (state === 'failed' && isIgnored);
  }

  /** A need that the states do not satisfy, in words. */
  #unmet(task: GraphTask, node: number, stateOf: (key: string) => Ended | undefined): string | undefined {
    const { tasks, plays, gates } = this.#graph;
    for (const { task: index, of } of task.edges) {
      const target = tasks[index];
      if (target === undefined || of === 'value') continue;
      const members = this.#members(target);
      const good = (one: number): boolean => this.#isGood(index, stateOf(`${index}@${one}`));
      if (of === 'same' && members.includes(node) && !good(node)) return `same ${index}`;
      if (of === 'first' && members[0] !== undefined && !good(members[0])) return `first ${index}`;
      if (of === 'any' && members.length > 0 && !members.some(good)) return `any ${index}`;
      if (of === 'all' && !this.#isWithin(target.play, [target], members, stateOf)) return `all ${index}`;
    }
    for (const { gate } of this.#graph.common.tasks[task.index]?.reads ?? []) {
      const found = gates.find(({ id }) => id === gate);
      if (found?.kind === 'value' && !this.#isGood(found.task, stateOf(`${found.task}@${found.node}`))) return gate;
    }
    const play = plays[task.play];
    const batch = play?.batchOf?.[node] ?? -1;
    if (play === undefined || batch <= 0) return undefined;
    const before = (this.#graph.sets[play.set]?.members ?? []).filter((one) => play.batchOf?.[one] === batch - 1);
    const ofPlay = tasks.filter((one) => one.play === task.play);
    return this.#isWithin(task.play, ofPlay, before, stateOf) ? undefined : `batch ${batch - 1}`;
  }

  /** Have all of these steps ended, with failures on no more nodes than the play allows, in all and in each batch? */
  #isWithin(
    playIndex: number,
    tasks: readonly GraphTask[],
    among: readonly number[],
    stateOf: (key: string) => Ended | undefined,
  ): boolean {
    const play = this.#graph.plays[playIndex];
    const nodes = among.filter((node) => tasks.some((task) => this.#members(task).includes(node)));
    const bad = new Set<number>();
    for (const task of tasks)
      for (const node of nodes) {
        if (!this.#members(task).includes(node)) continue;
        const state = stateOf(`${task.index}@${node}`);
        if (state === undefined) return false;
        if (!this.#isGood(task.index, state)) bad.add(node);
      }
    const allowed = (of: readonly number[]): boolean =>
      of.filter((node) => bad.has(node)).length * 100 <= (play?.budget ?? 0) * Math.max(1, of.length);
    const batches = Map.groupBy(nodes, (node) => play?.batchOf?.[node] ?? -1);
    return allowed(nodes) && (play?.batchOf === undefined || [...batches.values()].every(allowed));
  }

  /** Is how the step ended what really happened? */
  #ofStep(task: GraphTask, node: number): string | undefined {
    const key = `${task.index}@${node}`;
    const [first, last] = [this.#first.get(key), this.#last.get(key)];
    const name = this.#graph.nodes[node] ?? '';
    const place = this.#world.places.get(name);
    const effects = this.#world.effects.filter(
      (one) => one.run === this.#run && one.task === task.index && one.node === name,
    );
    // What was done on a disk that is gone may never have been told.
    const isNow = effects.some((one) => one.revision === this.#revision && this.#world.isThere(one));
    switch (last) {
      case undefined:
        return 'has no end';
      case 'ok':
        return this.#whyNotOk(task, name);
      case 'skipped':
        return isNow ? 'is recorded as skipped, and was done' : undefined;
      case 'failed': {
        const cause = this.#causes.get(key) ?? '';
        if (cause === 'WAIT_TIMEOUT' || effects.some(({ code }) => code !== 0)) return undefined;
        return `is recorded as failed (${cause}), and nothing has failed there`;
      }
      case 'interrupted':
        return place?.wasHurt ? undefined : 'is recorded as interrupted, and its machine was never off';
      case 'cancelled':
        return this.#isCancelled || this.#world.graphs.size > 1 ? undefined : 'is cancelled, and the run is not';
      case 'unreachable':
        return this.#givenUp.has(node) ? undefined : 'is unreachable, and its node is not given up';
      case 'blocked':
        if (isNow) return 'is recorded as blocked, and was begun';
        return this.#mayBeBlocked(task, node, first) ? undefined : `is blocked for no reason: ${this.#causes.get(key)}`;
    }
  }

  /** Every item has had its effect, and well. */
  #whyNotOk(task: GraphTask, node: string): string | undefined {
    const spec = this.#graph.common.tasks[task.index];
    const { argv, path, creates } = (spec?.inputs ?? {}) as { argv?: string[]; path?: string; creates?: string };
    const files = this.#world.places.get(node)?.machine.files;
    if (spec?.action === 'file')
      return files?.has(path ?? '') || this.#world.written.has(`${node} ${path}`)
        ? undefined
        : 'is ok, and its file is not there';
    if (spec?.action !== 'command' || argv === undefined) return undefined;
    if (creates !== undefined && files?.has(creates)) return undefined;
    for (let item = 0; item < (Array.isArray(spec.loop) ? spec.loop.length : 1); item += 1) {
      const isDone = this.#world.effects.some(
        (one) =>
          one.run === this.#run &&
          one.node === node &&
          one.task === task.index &&
          one.item === item &&
          one.code === 0 &&
          !this.#world.isVoid(one),
      );
      if (!isDone) return `is recorded as ok, and item ${item} was never done`;
    }
    return undefined;
  }

  /** Something that it waits for, or that stops its node, its play or its permit, has really gone wrong. */
  #mayBeBlocked(task: GraphTask, node: number, first: Ended | undefined): boolean {
    if (first === 'unreachable' || this.#isCancelled || this.#blockable.has(`${task.index}@${node}`)) return true;
    const bad = (state: Ended | undefined): boolean =>
      state === 'failed' || state === 'interrupted' || state === 'unreachable' || state === 'cancelled';
    for (const other of this.#graph.tasks)
      for (const at of this.#members(other)) {
        const state = this.#first.get(`${other.index}@${at}`);
        if (!bad(state)) continue;
        // Kept by whoever has failed, ignored or not (ENGINE 2.5).
        if (task.permit !== undefined && other.permit?.name === task.permit.name) return true;
        if (this.#isGood(other.index, state)) continue;
        if (at === node && (state === 'failed' || state === 'interrupted')) return true;
      }
    const play = this.#graph.plays[task.play];
    const ofPlay = this.#graph.tasks.filter((one) => one.play === task.play);
    const members = this.#graph.sets[play?.set ?? -1]?.members ?? [];
    if (play?.budget !== undefined) {
      const failing = new Set<number>();
      for (const one of ofPlay)
        for (const at of this.#members(one)) {
          const state = this.#first.get(`${one.index}@${at}`);
          if (bad(state) && !this.#isGood(one.index, state)) failing.add(at);
        }
      const isSpent = (of: readonly number[]): boolean =>
        of.filter((at) => failing.has(at)).length * 100 > (play.budget ?? 0) * Math.max(1, of.length);
      const batches = Map.groupBy(members, (at) => play.batchOf?.[at] ?? -1);
      if (failing.size * 100 > play.budget * Math.max(1, members.length)) return true;
      if ([...batches.values()].some(isSpent)) return true;
    }
    // Only what has ended badly counts, not what is still to come.
    return this.#unmet(task, node, (key) => this.#first.get(key) ?? 'ok') !== undefined;
  }

  #status(): string {
    if (this.#isCancelled) return 'cancelled';
    if (this.#givenUp.size > 0) return 'failed';
    for (const task of this.#graph.tasks)
      for (const node of this.#members(task))
        if (!this.#isGood(task.index, this.#last.get(`${task.index}@${node}`))) return 'failed';
    return 'done';
  }
}
