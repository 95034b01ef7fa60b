/** A fleet, its controller and everything between them, driven by a list of operations. Deterministic: no clock, disk or network of this machine. */
import { scanFrames } from '../../agent/executor/frames.ts';
import type { JournalRecord } from '../../agent/executor/records.ts';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { graphFromJson } from '../../controller/compile/serialise.ts';
import type { ActiveRun } from '../../controller/run/active-run.ts';
import { presentEvents, replay } from '../../controller/run/revise.ts';
import type { RunState } from '../../controller/run/state.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import { decodeToAgent, decodeToController } from '../../shared/protocol/codec.ts';
import type { Hello } from '../../shared/protocol/messages.ts';
import { Agent } from './agent.ts';
import { Controller, LEASE_MS, Store } from './controller.ts';
import { Machine, type MachineWatcher, type SimulatedCommand } from './machine.ts';
import { judge } from './model.ts';
import { graphOf, NODES, type PlanChoice } from './plans.ts';
import { quiet, SimulatedTime } from './time.ts';
import { Wire } from './wire.ts';

/** What can be done to the world, besides letting it work. */
export const OPERATIONS = [
  'move',
  'burst',
  'flow',
  'time',
  'kill-agent',
  'power',
  'kill-controller',
  'cut',
  'partition',
  'heal',
  'cancel',
  'pause',
  'unpause',
  'create',
  'snapshot',
  'set-back',
] as const;

export interface Operation {
  kind: (typeof OPERATIONS)[number];
  a: number;
  b: number;
}

export interface Schedule {
  plans: PlanChoice[];
  /** Decides which commands fail. */
  luck: number;
  /** Of 16 commands so many fail. */
  failing: number;
  operations: Operation[];
}

/** A command that began, where it counts: outside the product. */
export interface Effect {
  node: string;
  incarnation: number;
  run: string;
  /** That the agent had then. */
  revision: number;
  task: number;
  item: number;
  attempt: number;
  state: () => SimulatedCommand['state'];
  command: SimulatedCommand;
  machine: Machine;
  code: number;
}

/** A node as the world sees it. */
interface Place {
  machine: Machine;
  agent: Agent | undefined;
  wires: Wire[];
  /** The link is dialling: what it will say when the connection is there. */
  dialling: Hello | undefined;
  dialAt: number;
  /** When the last heartbeat was sent whose answer has arrived; of this boot. */
  leaseFrom: number;
  snapshot: { disk: Disk; incarnation: number; effects: number } | undefined;
  /** incarnation -> the one whose disk it began with, as it was when there were so many effects. */
  origins: Map<number, { incarnation: number; effects: number }>;
  /** Its power has failed, or its disk was set back. */
  wasHurt: boolean;
}

type Disk = ReturnType<Machine['snapshot']>;

const EMPTY: Disk = { log: Buffer.alloc(0), blobs: new Map(), files: new Map() };

/** So many moves without an end are one too many. */
const TOO_MANY = 20_000;
const ADVANCES = [1_000, 5_000, 25_000, 60_000, 130_000];

export class World implements MachineWatcher {
  readonly time = new SimulatedTime();
  readonly store = new Store((node) => this.places.get(node)?.machine.incarnation ?? 1);
  readonly places = new Map<string, Place>();
  readonly effects: Effect[] = [];
  readonly graphs = new Map<string, TaskGraph>();
  /** `node path` of every file written by a step. */
  readonly written = new Set<string>();
  readonly cancelled = new Set<string>();
  readonly trace: string[] = [];
  readonly #partitioned = new Set<string>();
  readonly #heartbeats = new Map<Wire, Map<number, number>>();
  readonly #schedule: Schedule;
  readonly #known = new Map<string, { changes: number; attempts: Set<string> }>();
  controller: Controller | undefined;
  #journals = 0;
  #trouble: string | undefined;
  #moves = 0;
  #fifo = 0;

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
    const most = Math.max(...schedule.plans.map(({ nodes }) => nodes));
    for (const name of NODES.slice(0, most)) {
      const machine = new Machine(name, this.time, this);
      this.places.set(name, {
        ...{ machine, agent: undefined, wires: [], dialling: undefined, dialAt: 0 },
        ...{ leaseFrom: Number.NEGATIVE_INFINITY, snapshot: undefined, origins: new Map(), wasHurt: false },
      });
    }
  }

  /** From an idle fleet to the end of every run. Throws what is wrong. */
  async run(): Promise<void> {
    try {
      this.#startController();
      for (const place of this.places.values()) this.#startAgent(place);
      await quiet();
      await this.#flow(true);
      this.#create();
      await quiet();
      for (const operation of this.#schedule.operations) {
        this.#say(`${operation.kind} ${operation.a} ${operation.b}`);
        await this.#operate(operation);
        this.#check();
      }
      await this.#settle();
    } finally {
      this.controller?.kill();
      for (const { agent } of this.places.values()) agent?.kill();
    }
  }

  trouble(text: string): void {
    this.#trouble ??= text;
  }

  newId(): string {
    this.#journals += 1;
    return `journal-${this.#journals}`;
  }

  #say(text: string): void {
    this.trace.push(`${this.time.now} ${text}`);
  }

  #check(): void {
    if (this.#trouble !== undefined) throw new Error(this.#trouble);
  }

  // -- what the product can do next

  /** Everything that could happen now, in an order that favours nobody for long. */
  #possible(isPatient: boolean): (() => void)[] {
    const moves: (() => void)[] = [];
    const [append] = this.store.appends;
    if (append !== undefined)
      moves.push(() => {
        this.store.appends.shift();
        append.commit();
      });
    for (const [name, place] of this.places) {
      const { machine, agent } = place;
      if (!machine.up) continue;
      if (machine.syncs.length > 0) moves.push(() => machine.syncs.shift()?.());
      for (const command of machine.commands.values())
        if (command.state === 'spawned') moves.push(() => machine.claim(command));
      if (this.#partitioned.has(name)) continue;
      for (const wire of place.wires) {
        if (wire.canReachController) moves.push(() => this.#reachController(wire));
        if (wire.canReachAgent) moves.push(() => this.#reachAgent(place, wire));
      }
      if (agent === undefined || this.controller?.ready !== true) continue;
      if (place.dialling !== undefined) moves.push(() => this.#connect(place));
      else if (agent.mayDial && (!isPatient || this.time.now >= place.dialAt))
        moves.push(() => {
          place.dialling = agent.hello();
        });
    }
    return moves;
  }

  /** Commands end when the schedule says. */
  #finishes(): (() => void)[] {
    const moves: (() => void)[] = [];
    for (const { machine } of this.places.values())
      if (machine.up)
        for (const command of machine.commands.values())
          if (command.state === 'running') moves.push(() => machine.finish(command));
    return moves;
  }

  #restarts(): (() => void)[] {
    const moves: (() => void)[] = [];
    if (this.controller === undefined) moves.push(() => this.#startController());
    for (const place of this.places.values()) if (place.agent === undefined) moves.push(() => this.#startAgent(place));
    return moves;
  }

  async #move(move: () => void): Promise<void> {
    this.#moves += 1;
    if (this.#moves > TOO_MANY) throw new Error('it goes on for ever');
    move();
    await quiet();
    this.#check();
  }

  /** Lets everything flow that time does not hold up. */
  async #flow(hasFinishes: boolean): Promise<void> {
    for (;;) {
      const moves = this.#possible(true);
      if (hasFinishes) moves.push(...this.#finishes());
      if (moves.length === 0) return;
      this.#fifo += 1;
      await this.#move(moves[this.#fifo % moves.length] as () => void);
    }
  }

  async #advance(ms: number, flows: boolean): Promise<void> {
    // A wrapper that was started gets to its first line within no time.
    for (const { machine } of this.places.values())
      if (machine.up) for (const command of machine.commands.values()) machine.claim(command);
    await quiet();
    const until = this.time.now + ms;
    while (this.time.step(until)) {
      await quiet();
      if (flows) await this.#flow(false);
      this.controller?.tick();
    }
    this.controller?.tick();
    await quiet();
  }

  // -- what is done to it

  async #operate({ kind, a, b }: Operation): Promise<void> {
    const place = [...this.places.values()][a % this.places.size] as Place;
    const { name } = place.machine;
    switch (kind) {
      case 'move':
      case 'burst': {
        for (let count = kind === 'move' ? 1 : 6; count > 0; count -= 1) {
          const moves = [...this.#possible(false), ...this.#finishes(), ...this.#restarts()];
          if (moves.length === 0) return;
          await this.#move(moves[(a * (2 * count - 1) + b) % moves.length] as () => void);
        }
        return;
      }
      case 'flow':
        return this.#flow(b % 2 === 0);
      case 'time':
        return this.#advance(ADVANCES[a % ADVANCES.length] as number, b % 3 !== 0);
      case 'kill-agent':
        this.#killAgent(place);
        break;
      case 'power':
        this.#power(place, b * 7);
        break;
      case 'kill-controller':
        this.#killController(b % 2 === 0);
        break;
      case 'cut':
        this.#cut(place, b);
        break;
      case 'partition':
        this.#partitioned.add(name);
        break;
      case 'heal':
        this.#partitioned.delete(name);
        break;
      case 'cancel': {
        const run = this.controller?.ready ? [...this.controller.runner.active.keys()][a % 2] : undefined;
        if (run === undefined) return;
        this.controller?.runner.cancel(run, 'me');
        this.cancelled.add(run);
        break;
      }
      case 'pause': {
        const runs = this.controller?.ready ? [...this.controller.runner.active.values()] : [];
        const run = runs[b % 2];
        if (run?.state.status === 'running') this.controller?.runner.pause(run.record.id, 'me');
        break;
      }
      case 'unpause':
        this.#unpause();
        break;
      case 'create':
        if (this.controller?.ready) this.#create();
        break;
      case 'snapshot':
        if (place.machine.up) {
          const { incarnation } = place.machine;
          place.snapshot = { disk: place.machine.snapshot(), incarnation, effects: this.effects.length };
        }
        break;
      case 'set-back':
        this.#setBack(place, b % 2 === 0 ? place.snapshot : undefined);
        break;
    }
    await quiet();
  }

  /** The machine gets the disk of a snapshot, or is installed anew. */
  #setBack(place: Place, snapshot: Place['snapshot']): void {
    this.#power(place, 0);
    const { machine } = place;
    machine.setBack(snapshot?.disk ?? EMPTY);
    if (snapshot !== undefined) place.origins.set(machine.incarnation, snapshot);
    this.#known.delete(machine.name);
  }

  /** Was the effect on a disk that its run knows to be gone? */
  isVoid(effect: Effect): boolean {
    const since = this.store.losses.get(`${effect.run} ${effect.node}`);
    return since !== undefined && effect.incarnation < since && !this.#isOnDisk(effect, since);
  }

  /** Is it on the disk that its machine has now? */
  isThere(effect: Effect): boolean {
    return this.#isOnDisk(effect, effect.machine.incarnation);
  }

  #isOnDisk(effect: Effect, incarnation: number): boolean {
    if (effect.incarnation === incarnation) return true;
    const origin = this.places.get(effect.node)?.origins.get(incarnation);
    return (
      origin !== undefined &&
      this.effects.indexOf(effect) < origin.effects &&
      this.#isOnDisk(effect, origin.incarnation)
    );
  }

  #unpause(): void {
    if (this.controller?.ready !== true) return;
    for (const { state, record } of this.controller.runner.active.values())
      if (state.paused) this.controller.runner.unpause(record.id, 'me');
  }

  #create(): void {
    const plan = this.#schedule.plans[this.graphs.size];
    if (plan === undefined) return;
    const id = `r${this.graphs.size + 1}`;
    const graph = graphOf(plan);
    this.graphs.set(id, graph);
    void this.controller?.runner.create(graph, { id, by: 'me' });
  }

  #startController(): void {
    this.controller = new Controller(this.store, this.time, this);
  }

  #startAgent(place: Place): void {
    if (!place.machine.up) place.machine.switchOn();
    place.agent = new Agent(place.machine, this);
    [place.dialling, place.dialAt] = [undefined, 0];
  }

  #killAgent(place: Place): void {
    place.agent?.kill();
    [place.agent, place.dialling] = [undefined, undefined];
  }

  #power(place: Place, torn: number): void {
    // A first Hello that came after that of the next boot would be taken for another machine's (ENGINE 4.4).
    for (const wire of place.wires) wire.sever(torn % 2 === 0 && wire.hasBegun);
    this.#killAgent(place);
    place.machine.powerLoss(torn);
    [place.leaseFrom, place.wasHurt] = [Number.NEGATIVE_INFINITY, true];
  }

  #killController(committed: boolean): void {
    if (this.controller === undefined) return;
    this.#compareWithLog();
    this.controller.kill();
    this.controller = undefined;
    for (const append of this.store.appends.splice(0)) if (committed) append.commit();
    for (const place of this.places.values()) {
      for (const wire of place.wires) wire.abandonController();
      place.dialling = undefined;
    }
  }

  #cut({ wires }: Place, b: number): void {
    const wire = wires.at(-1);
    if (wire === undefined) return;
    wire.sever(b % 2 === 0);
    if (b & 2) wire.resetAgent();
    if (b & 4) wire.resetController();
  }

  /** Everything heals, and time passes until every run has ended. */
  async #settle(): Promise<void> {
    this.#say('settle');
    this.#partitioned.clear();
    for (let isNew = true; isNew; ) {
      for (let rounds = 0; ; rounds += 1) {
        for (const restart of this.#restarts()) await this.#move(restart);
        this.#unpause();
        await this.#flow(true);
        if (this.controller?.ready && this.controller.runner.active.size === 0) break;
        if (rounds > 300) throw new Error(`not every run ends:\n${this.describe()}`);
        await this.#advance(Math.max(1, (this.time.next() ?? this.time.now + 5_000) - this.time.now), true);
      }
      isNew = this.graphs.size < this.#schedule.plans.length;
      if (isNew) this.#create();
      await quiet();
    }
    // What the agents have still to say and to forget; nobody waits for a cut connection to be noticed.
    for (const { wires } of this.places.values())
      for (const wire of wires.filter((one) => one.cut)) {
        wire.resetAgent();
        wire.resetController();
      }
    await this.#advance(2_000, true);
    await this.#flow(true);
    this.#compareWithLog();
    for (const [name, { agent }] of this.places) {
      const unsaid = agent?.unacknowledged ?? 0;
      if (unsaid > 0) throw new Error(`${name} still has ${unsaid} messages that nobody acknowledges`);
      const held = agent?.hello().runs.map(({ run }) => run) ?? [];
      for (const run of held)
        if (this.store.runs.get(run)?.record.status === 'done')
          throw new Error(`${name} still holds ${run}, which is done`);
    }
    judge(this);
  }

  // -- the way between them

  #connect(place: Place): void {
    const { agent, dialling } = place;
    place.dialling = undefined;
    if (agent === undefined || dialling === undefined || this.controller === undefined) return;
    const wire = new Wire(place.machine.name);
    place.wires = [...place.wires.filter((one) => one.agentOpen || one.controllerOpen), wire];
    place.dialAt = this.time.now + 1_000;
    this.time.after(1_000, () => {});
    this.controller.accept(wire);
    agent.connect(wire, dialling);
  }

  #reachController(wire: Wire): void {
    const [frame] = wire.toController;
    // Only heartbeats are as small; they are what the lease is counted by.
    if (frame !== undefined && frame !== 'end' && frame.length < 16) {
      const message = decodeToController(frame);
      if (message?.kind === 'heartbeat') this.#sentHeartbeats(wire).set(message.value.id, this.time.now);
    }
    wire.reachController();
  }

  #sentHeartbeats(wire: Wire): Map<number, number> {
    const known = this.#heartbeats.get(wire) ?? new Map<number, number>();
    this.#heartbeats.set(wire, known);
    return known;
  }

  #reachAgent(place: Place, wire: Wire): void {
    const [frame] = wire.toAgent;
    if (frame !== undefined && frame !== 'end' && frame.length < 16) {
      const message = decodeToAgent(frame);
      const sent = message.kind === 'heartbeat_answer' ? this.#sentHeartbeats(wire).get(message.value.id) : undefined;
      if (sent !== undefined) place.leaseFrom = Math.max(place.leaseFrom, sent);
    }
    wire.reachAgent();
  }

  // -- what steps do

  commandBegins(machine: Machine, command: SimulatedCommand): void {
    const effect = this.#effectOf(machine, command);
    const { run, revision, task, item, attempt, node } = effect;
    const what = `${run}/${revision}/${task} item ${item} attempt ${attempt} on ${node}`;
    this.#say(`begins ${what}`);
    const spec = this.graphs.get(run)?.common.tasks[task];
    if (spec === undefined) {
      this.trouble(`${what} is of no plan`);
      return;
    }
    // A cancel lets a permit step finish, with all its items and attempts.
    const isFinishing =
      spec.permit !== undefined &&
      this.cancelled.has(run) &&
      this.effects.some((other) => other.run === run && other.task === task && other.node === node);
    this.#checkStart(machine, isFinishing ? undefined : run, what);
    if (!this.#attemptsOnDisk(machine).has(`${run}/${revision}/${task}/${item}/${attempt}`))
      this.trouble(`${what} begins and the journal on disk does not know`);
    const isRepeatable = spec.onInterrupt === 'rerun' || command.spec.argv[0] === 'make';
    const again = this.effects.find(
      (other) =>
        other.node === node &&
        other.run === run &&
        other.task === task &&
        other.item === item &&
        ((other.revision === revision && other.attempt === attempt) ||
          (other.code === 0 && !other.command.cancelled)) &&
        this.#isOnDisk(other, effect.incarnation),
    );
    if (again !== undefined && !isRepeatable) this.trouble(`${what} is done twice`);
    if (attempt > spec.retries + 1 && spec.onInterrupt !== 'rerun') this.trouble(`${what} is one attempt too many`);
    const beside = this.effects.filter((other) => other.node === node && other.state() === 'running');
    const specOf = (other: Effect) => this.graphs.get(other.run)?.common.tasks[other.task];
    if (spec.lock !== undefined && beside.some((other) => specOf(other)?.lock === spec.lock))
      this.trouble(`${what} has begun beside the holder of its lock`);
    if (beside.length > 0 && (spec.alone || beside.some((other) => specOf(other)?.alone)))
      this.trouble(`${what} has begun beside another, and one of them is alone`);
    if (beside.length >= 4) this.trouble(`${what} is the fifth at work`);
    if (spec.permit !== undefined) {
      const holders = this.effects.filter(
        (other) =>
          other.run === run && other.state() === 'running' && specOf(other)?.permit?.name === spec.permit?.name,
      );
      if (holders.length >= spec.permit.count) this.trouble(`${what} has begun beyond the permit's count`);
    }
    this.effects.push(effect);
  }

  fileWritten(machine: Machine, path: string): void {
    this.#say(`writes ${path} on ${machine.name}`);
    this.#checkStart(machine, undefined, `${path} on ${machine.name}`);
    this.written.add(`${machine.name} ${path}`);
  }

  /** Nothing starts without a lease, nor for a run that has ended or goes on without the node. */
  #checkStart(machine: Machine, run: string | undefined, what: string): void {
    const { leaseFrom } = this.places.get(machine.name) as Place;
    if (this.time.now - leaseFrom > LEASE_MS)
      this.trouble(`${what} starts ${this.time.now - leaseFrom} ms after the last answered heartbeat`);
    const stored = run === undefined ? undefined : this.store.runs.get(run);
    if (stored === undefined) return;
    const index = this.graphs.get(run ?? '')?.nodes.indexOf(machine.name);
    if (presentEvents(stored.events).some((event) => event.kind === 'given_up' && event.node === index))
      this.trouble(`${what} starts after its node was given up`);
    if (runHasEnded(stored.record.status)) this.trouble(`${what} starts after its run has ended`);
  }

  outcomeOf(machine: Machine, command: SimulatedCommand): { code: number; stdout: string } {
    const { code } = this.#effectOf(machine, command);
    return { code, stdout: 'value\n' };
  }

  #effectOf(machine: Machine, command: SimulatedCommand): Effect {
    const [, , run = '', step = '', last = ''] = command.folder.split('/');
    const [task = 0, revision = 1] = step.split('.').map(Number).reverse();
    const [item = 0, attempt = 0] = last.split('.').map(Number);
    const head = { node: machine.name, run, revision, task, item, attempt };
    const { luck, failing } = this.#schedule;
    const code = hash(`${luck}/${head.node}/${command.folder}`) % 16 < failing ? 1 : 0;
    return {
      ...head,
      ...{ incarnation: machine.incarnation, state: () => command.state, command, machine, code },
    };
  }

  #attemptsOnDisk(machine: Machine): Set<string> {
    const known = this.#known.get(machine.name);
    if (known?.changes === machine.changes) return known.attempts;
    const attempts = new Set<string>();
    const { records } = scanFrames(machine.log.subarray(0, machine.synced));
    const revisions = new Map<string, number>();
    for (const record of records as JournalRecord[])
      if (record.type === 'push') revisions.set(record.run, record.revision);
      else if (record.type === 'attempt') {
        const { run, task, item, attempt } = record;
        attempts.add(`${run}/${revisions.get(run)}/${task}/${item}/${attempt}`);
      }
    this.#known.set(machine.name, { changes: machine.changes, attempts });
    return attempts;
  }

  // -- what is remembered

  /** A run as the log has it. */
  rebuilt(run: string): RunState {
    const stored = this.store.runs.get(run);
    if (stored === undefined) throw new Error(`${run} is not stored`);
    return replay(graphFromJson(stored.graphJson), structuredClone(stored.events));
  }

  /** The state in the controller's memory is what its log makes again. */
  #compareWithLog(): void {
    if (this.controller?.ready !== true || this.store.appends.length > 0) return;
    for (const run of this.controller.runner.active.values()) {
      const [live, again] = [picture(run), picture({ state: this.rebuilt(run.record.id) })];
      if (live !== again) throw new Error(`the log makes another state:\n${live}\n${again}`);
    }
  }

  /** For people who look into a failure. */
  describe(): string {
    const lines = [...this.trace.slice(-60)];
    for (const [run, { events, record }] of this.store.runs) {
      const graph = this.graphs.get(run);
      lines.push(`${run} ${record.status}`);
      graph?.tasks.forEach((task) => {
        const { members } = graph.sets[task.set] ?? { members: [] };
        const edges = task.edges.map((edge) => `${edge.of} ${edge.task}`);
        const spec = graph.common.tasks[task.index];
        lines.push(
          `  task ${task.index} play ${task.play} ${JSON.stringify(spec?.inputs)} on ${members} needs ${edges} ` +
            `${task.permit ? 'permit ' : ''}${spec?.alone ? 'alone ' : ''}${spec?.lock ? 'lock ' : ''}${task.ignoreErrors ? 'ignore ' : ''}${spec?.onInterrupt}`,
        );
      });
      for (const event of events) if (event.kind !== 'facts') lines.push(`  ${JSON.stringify(event).slice(0, 300)}`);
    }
    for (const [name, { machine, agent }] of this.places) {
      lines.push(`${name} up ${machine.up} boot ${machine.boot} holds ${JSON.stringify(agent?.hello().runs)}`);
      for (const command of machine.commands.values()) lines.push(`  ${command.folder} ${command.state}`);
    }
    return lines.join('\n');
  }
}

/** What a crash must not change; `fresh` and the queue of wishes are told again by themselves. */
function picture({ state }: Pick<ActiveRun, 'state'>): string {
  return JSON.stringify({
    status: state.status,
    cancelled: state.cancelled,
    steps: [...state.steps],
    pending: [...state.pending],
    nodes: state.nodes,
    counts: state.counts,
    gates: [...state.gates].map(([id, gate]) => [
      id,
      gate.status,
      gate.remaining,
      gate.failed,
      gate.cause,
      gate.values,
    ]),
    permits: [...state.permits]
      .filter(([, permit]) => permit.holders.size > 0 || permit.stuck !== undefined)
      .map(([name, permit]) => [name, permit.count, [...permit.holders].sort(), permit.stuck]),
    stopped: [...state.stopped],
    failedNodes: state.failedNodes.map((nodes) => [...nodes]),
    registers: [...state.registers],
  });
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return (value >>> 8) ^ (value & 0xff);
}
