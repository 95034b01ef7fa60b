/**
 * Wrong frames against both sides. The real gateway, runner, talk, executor and journal of the simulated world: node n0 is
 * the one that goes wrong, n1 is innocent. What is looked for: anything thrown where nobody expects it, a defect told as
 * INTERNAL, innocent work that is disturbed, and memory that grows with what comes in.
 */
import { decodeToAgent, decodeToController, encodeToAgent, encodeToController } from '../../shared/protocol/codec.ts';
import type { ForAgent, FromAgent } from '../../shared/protocol/messages.ts';
import { Agent } from '../simulation/agent.ts';
import { Controller, Store } from '../simulation/controller.ts';
import { Machine, type MachineWatcher } from '../simulation/machine.ts';
import { graphOf, type PlanChoice } from '../simulation/plans.ts';
import { quiet, SimulatedTime } from '../simulation/time.ts';
import { Wire } from '../simulation/wire.ts';
import { liveMemory } from './live-memory.ts';
import { randomOf } from './media.ts';
import { hurtFrame, noise, wrongValue } from './mutate.ts';

/** So many wrong frames between two looks at whether all still works. */
const BETWEEN_LOOKS = 500;

const TASK = {
  kind: 'once',
  needs: undefined,
  ignoreErrors: false,
  rerun: false,
  on: 0,
  runOnce: false,
  lock: false,
  alone: false,
  permit: false,
} as const;

/** `nodes`: bits. */
function planOn(nodes: number): PlanChoice {
  const tasks = [
    TASK,
    { ...TASK, kind: 'loop' as const },
    { ...TASK, permit: true },
    { ...TASK, kind: 'file' as const },
  ];
  return { nodes: 2, permits: 1, plays: [{ nodes, serial: 0, budget: undefined, afterAll: false, tasks }] };
}

export interface Fuzzed {
  frames: number;
  /** Defects, in words; empty: none. */
  wrong: string[];
  /** In use after the last frame, in bytes. */
  memory: number;
}

/** A controller, machines, and everything between them, which happens when `settle` says so. */
class Fleet implements MachineWatcher {
  readonly time = new SimulatedTime();
  readonly store = new Store(() => 1);
  readonly wrong: string[] = [];
  readonly began = new Map<string, number>();
  readonly machines: Machine[] = [];
  #journals = 0;

  commandBegins(machine: Machine, { folder }: { folder: string }): void {
    const key = `${machine.name} ${folder}`;
    this.began.set(key, (this.began.get(key) ?? 0) + 1);
  }
  fileWritten(): void {}
  outcomeOf(): { code: number; stdout: string } {
    return { code: 0, stdout: 'said' };
  }

  trouble(text: string): void {
    // What a peer sends wrong may be logged as wrong; a defect of ours is named as one.
    if (/INTERNAL|TypeError|RangeError|\n\s+at /.test(text)) this.wrong.push(text.slice(0, 600));
  }

  newId(): string {
    this.#journals += 1;
    return `journal-${this.#journals}`;
  }

  machine(name: string): Machine {
    const machine = new Machine(name, this.time, this);
    this.machines.push(machine);
    return machine;
  }

  /** Everything happens that can, over these connections. */
  async settle(wires: readonly Wire[]): Promise<void> {
    for (let isBusy = true; isBusy; ) {
      await quiet();
      isBusy = false;
      for (const append of this.store.appends.splice(0)) [isBusy] = [true, append.commit()];
      for (const machine of this.machines) {
        for (const sync of machine.syncs.splice(0)) [isBusy] = [true, sync()];
        for (const command of machine.commands.values()) {
          if (command.state !== 'spawned' && command.state !== 'running') continue;
          isBusy = true;
          machine.claim(command);
          machine.finish(command);
        }
      }
      for (const wire of wires) {
        for (; wire.canReachController; isBusy = true) wire.reachController();
        for (; wire.canReachAgent; isBusy = true) wire.reachAgent();
      }
    }
  }

  async pass(ms: number): Promise<void> {
    const until = this.time.now + ms;
    while (this.time.step(until)) await quiet();
  }
}

/** What both sides said in an ordinary run, and what they say seldom. */
interface Corpus {
  toController: Uint8Array[];
  toAgent: Uint8Array[];
}

async function corpus(): Promise<Corpus> {
  const fleet = new Fleet();
  const said: Corpus = { toController: [], toAgent: [] };
  const { controller, wire } = await site(fleet, 'n0', said);
  await apply(fleet, controller, 'r0', 1, [wire]);
  controller.kill();
  const run = 'r0';
  const step = { run, revision: 1, task: 0 };
  const error = Buffer.from(JSON.stringify({ code: 'X_Y', message: 'm', remedy: 'r' }));
  const fromAgent: FromAgent[] = [
    { kind: 'refused', value: { run, revision: 1, error } },
    { kind: 'blocked', value: { run, revision: 1, tasks: [0, 1], cause: 'c', cancelled: false, at_ms: 1 } },
    { kind: 'blob_wanted', value: { sha256: 'f'.repeat(64), offset: 0 } },
    { kind: 'facts', value: { run, version: 1, facts: Buffer.from('{}') } },
  ];
  const forAgent: ForAgent[] = [
    { kind: 'hold', value: { run, reason: 'x' } },
    { kind: 'resume', value: { run } },
    { kind: 'forget', value: { run } },
    { kind: 'open_gate', value: { run, revision: 1, gate: 'g', values: Buffer.from('{}') } },
    { kind: 'close_gate', value: { run, revision: 1, gate: 'g', cause: 'c' } },
    { kind: 'permit', value: step },
    { kind: 'blob_part', value: { sha256: 'f'.repeat(64), offset: 0, data: Buffer.from('x'), total: 1 } },
    { kind: 'closing', value: { code: 'X_Y', message: 'm', remedy: 'r', final: false } },
    { kind: 'log_credit', value: { bytes: 10 } },
    { kind: 'heartbeat_answer', value: { id: 1 } },
  ] as ForAgent[];
  said.toController.push(...fromAgent.map((message) => encodeToController(message, 1)));
  said.toAgent.push(...forAgent.map((message) => encodeToAgent(message, 1)));
  return said;
}

/** A controller with one agent that is connected; what they say is kept in `said`. */
async function site(fleet: Fleet, name: string, said?: Corpus) {
  const controller = new Controller(fleet.store, fleet.time, fleet);
  await quiet();
  const agent = new Agent(fleet.machine(name), fleet);
  await fleet.settle([]);
  const wire = new Wire(name);
  if (said) {
    const [toController, toAgent] = [wire.reachController.bind(wire), wire.reachAgent.bind(wire)];
    wire.reachController = () => {
      const [frame] = wire.toController;
      if (frame instanceof Uint8Array) said.toController.push(frame);
      toController();
    };
    wire.reachAgent = () => {
      const [frame] = wire.toAgent;
      if (frame instanceof Uint8Array) said.toAgent.push(frame);
      return toAgent();
    };
  }
  controller.accept(wire);
  agent.connect(wire, agent.hello());
  await fleet.settle([wire]);
  return { controller, agent, wire };
}

async function apply(fleet: Fleet, controller: Controller, id: string, nodes: number, wires: readonly Wire[]) {
  void controller.runner.create(graphOf(planOn(nodes)), { id, by: 'me' });
  await fleet.settle(wires);
}

/** Wrong frames from n0 to the controller. */
export async function fuzzController(frames: number, seed: number): Promise<Fuzzed> {
  const random = randomOf(seed);
  const { toController: known } = await corpus();
  const fleet = new Fleet();
  const { controller, wire: innocent } = await site(fleet, 'n1');
  const self = new Agent(fleet.machine('n0'), fleet);
  await fleet.settle([]);
  let wire = new Wire('n0');
  wire.controllerOpen = false;
  let runs = 0;
  let round = 0;
  let next = 1;
  for (let done = 0; done < frames && fleet.wrong.length === 0; done += 1) {
    // Nobody answers a renewal here, and what comes after one waits.
    if (!wire.controllerOpen || wire.socket.readyState !== 1 || random() < 0.02) {
      wire.resetController();
      wire = new Wire('n0');
      wire.opened({ onFrame: () => {}, onClose: () => {} });
      controller.accept(wire);
      // Some do not begin with Hello.
      if (random() > 0.05)
        wire.socket.emit('message', Buffer.from(encodeToController({ kind: 'hello', value: self.hello() })), true);
      await quiet();
    }
    // Each ends as n0 says; then there is another one.
    if (!controller.runner.active.has(`bad${round}`)) {
      round += 1;
      void controller.runner.create(graphOf(planOn(1)), { id: `bad${round}`, by: 'me' });
      await fleet.settle([innocent]);
    }
    const frame = wrongToController(known, next, `bad${round}`, random);
    wire.socket.emit('message', Buffer.from(frame), random() > 0.01);
    await quiet();
    for (const append of fleet.store.appends.splice(0)) append.commit();
    await quiet();
    for (const told of wire.toAgent.splice(0)) {
      if (told === 'end') continue;
      const message = decodeToAgent(told);
      next = Math.max(message.ack + 1, message.kind === 'welcome' ? 1 : next);
      if (message.kind === 'closing' && /^INTERNAL$/.test(message.value.code))
        fleet.wrong.push(`frame ${Buffer.from(frame).toString('hex').slice(0, 400)}: ${message.value.message}`);
    }
    if (done % BETWEEN_LOOKS !== BETWEEN_LOOKS - 1) continue;
    await fleet.pass(500);
    runs += 1;
    const id = `good${runs}`;
    await apply(fleet, controller, id, 2, [innocent]);
    const status = fleet.store.runs.get(id)?.record.status;
    if (status !== 'done') fleet.wrong.push(`after ${done} frames the run of the innocent node is ${status}`);
    await fleet.settle([innocent]);
  }
  const twice = [...fleet.began].filter(([, times]) => times !== 1);
  if (twice.length > 0) fleet.wrong.push(`done twice: ${twice}`);
  const memory = liveMemory();
  controller.kill();
  return { frames, wrong: fleet.wrong, memory };
}

function wrongToController(
  known: readonly Uint8Array[],
  sequence: number,
  run: string,
  random: () => number,
): Uint8Array {
  const luck = random();
  if (luck < 0.1) return noise(Math.floor(random() * 200), random);
  const frame = known[Math.floor(random() * known.length)] as Uint8Array;
  if (luck < 0.5) return hurtFrame(frame, known, random);
  const message = decodeToController(frame);
  if (message === undefined || message.kind === 'hello') return hurtFrame(frame, known, random);
  const value = aimed(message.value, run);
  try {
    return encodeToController(
      { kind: message.kind, value: luck < 0.55 ? value : wrongValue(value, random) } as FromAgent,
      message.sequence === 0 ? 0 : sequence,
    );
  } catch {
    return frame;
  }
}

/** The same for another run. */
function aimed(value: unknown, run: string): unknown {
  return value !== null && typeof value === 'object' && 'run' in value ? { ...value, run } : value;
}

/** Wrong frames from a controller to the agent of n0. */
export async function fuzzAgent(frames: number, seed: number): Promise<Fuzzed> {
  const random = randomOf(seed);
  const { toAgent: known } = await corpus();
  const welcome = known.find((frame) => decodeToAgent(frame).kind === 'welcome') as Uint8Array;
  const wrong: string[] = [];
  let done = 0;
  let memory = 0;
  for (let life = 0; done < frames && wrong.length === 0; life += 1) {
    const fleet = new Fleet();
    const machine = fleet.machine('n0');
    const agent = new Agent(machine, fleet);
    await fleet.settle([]);
    let wire = new Wire('n0');
    wire.agentOpen = false;
    for (let count = 0; count < BETWEEN_LOOKS && fleet.wrong.length === 0; count += 1, done += 1) {
      if (!wire.agentOpen) {
        await quiet();
        wire = new Wire('n0');
        agent.connect(wire, agent.hello());
        if (random() > 0.05) wire.toAgent.push(welcome);
      }
      wire.toAgent.push(wrongToAgent(known, `r${life}`, random));
      while (wire.canReachAgent) wire.reachAgent();
      await quiet();
      for (const sync of machine.syncs.splice(0)) sync();
      for (const command of machine.commands.values()) {
        machine.claim(command);
        if (random() < 0.3) machine.finish(command);
      }
      for (const told of wire.toController.splice(0)) if (told !== 'end') decodeToController(told);
    }
    await fleet.pass(120_000);
    if (fleet.wrong.length === 0) await lookAt(fleet, agent);
    if (done >= frames) memory = liveMemory();
    agent.kill();
    wrong.push(...fleet.wrong.map((text) => `seed ${seed}, life ${life}: ${text}`));
  }
  return { frames: done, wrong, memory };
}

/** It still does what a sound controller says. */
async function lookAt(fleet: Fleet, agent: Agent): Promise<void> {
  agent.wire?.resetAgent();
  await fleet.settle([]);
  const controller = new Controller(fleet.store, fleet.time, fleet);
  await quiet();
  const wire = new Wire('n0');
  controller.accept(wire);
  agent.connect(wire, agent.hello());
  await fleet.settle([wire]);
  await apply(fleet, controller, 'sound', 1, [wire]);
  const { record } = fleet.store.runs.get('sound') ?? {};
  if (record?.status !== 'done') fleet.wrong.push(`a sound run ends as ${record?.status}`);
  const twice = [...fleet.began].filter(([key, times]) => key.includes('/sound/') && times !== 1);
  if (twice.length > 0) fleet.wrong.push(`done twice: ${twice}`);
  controller.kill();
}

function wrongToAgent(known: readonly Uint8Array[], run: string, random: () => number): Uint8Array {
  const luck = random();
  if (luck < 0.1) return noise(Math.floor(random() * 200), random);
  const frame = known[Math.floor(random() * known.length)] as Uint8Array;
  if (luck < 0.45) return hurtFrame(frame, known, random);
  const { ack, ...message } = decodeToAgent(frame);
  if (message.kind === 'none') return hurtFrame(frame, known, random);
  const value = aimed(message.value, run);
  try {
    return encodeToAgent(
      { ...message, value: luck < 0.6 ? value : wrongValue(value, random) } as ForAgent,
      random() < 0.2 ? ack : 0,
    );
  } catch {
    return frame;
  }
}
