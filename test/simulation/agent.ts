/** One life of kk-agent on a simulated machine: real journal, executor, outbox and talk; dialling is the world's. */
import { commandFailure, createExecutors } from '../../agent/actions/index.ts';
import { Executor } from '../../agent/executor/executor.ts';
import { Journal } from '../../agent/executor/journal.ts';
import { helloOf } from '../../agent/link/hello.ts';
import { LiveLog } from '../../agent/link/live-log.ts';
import { Talk } from '../../agent/link/talk.ts';
import type { Facts } from '../../shared/facts.ts';
import type { Hello } from '../../shared/protocol/messages.ts';
import { FakeInstaller } from '../support/fake-installer.ts';
import type { Machine } from './machine.ts';
import type { Wire } from './wire.ts';

export interface AgentTroubles {
  /** Something that a sound agent never says. */
  trouble(text: string): void;
  /** A new journal needs an id. */
  newId(): string;
}

export class Agent {
  readonly machine: Machine;
  readonly #troubles: AgentTroubles;
  readonly #log = new LiveLog();
  alive = true;
  #executor: Executor | undefined;
  #journal: Journal | undefined;
  #talk: Talk | undefined;
  wire: Wire | undefined;

  constructor(machine: Machine, troubles: AgentTroubles) {
    this.machine = machine;
    this.#troubles = troubles;
    void this.#start();
  }

  /** Ready to say Hello and not connected. */
  get mayDial(): boolean {
    return this.alive && this.#executor !== undefined && this.#talk === undefined;
  }

  async #start(): Promise<void> {
    const { machine } = this;
    const alive = (): boolean => this.alive;
    const { journal, records } = await Journal.open({
      path: 'journal',
      disk: machine.disk(alive),
      newId: () => this.#troubles.newId(),
      pause: () => Promise.resolve(),
      onTrouble: () => {},
      onFatal: (error) => this.#troubles.trouble(error.message),
    });
    const host = machine.host(alive);
    const facts = async (): Promise<Facts> => FACTS;
    const error = (fields: object, text: string): void => {
      if (this.alive) this.#troubles.trouble(`${machine.name} logs: ${text} ${describe(fields)}`);
    };
    const executor = await Executor.start({
      journal,
      records,
      newId: () => this.#troubles.newId(),
      blobs: machine.documents(alive),
      host,
      clock: {
        bootTimeMs: host.bootTimeMs,
        nowMs: host.nowMs,
        after: (ms, then) => machine.time.after(ms, () => this.alive && then()),
      },
      actions: ACTIONS,
      commandFailure,
      remember: async () => undefined,
      secret: async () => '',
      gatherFacts: facts,
      bootId: machine.bootId,
      runsFolder: '/runs',
      sweep: async () => {},
      onLog: (chunk) => this.#log.add(chunk),
      logger: { debug: () => {}, info: () => {}, warn: () => {}, error },
    });
    executor.onOutgoing(() => this.#talk?.pump());
    executor.onWish((wish) => this.#talk?.wish(wish));
    this.#executor = executor;
    this.#journal = journal;
  }

  get unacknowledged(): number {
    return this.#journal?.outgoing().length ?? 0;
  }

  /** What it says of itself now, as the link asks before it dials. */
  hello(): Hello {
    const { machine } = this;
    const self = { version: '1', machineId: machine.name, bootId: machine.bootId, arch: 'x64' };
    return helloOf(self, machine.time.now, this.#work().held());
  }

  /** The link has dialled: the connection is there. */
  connect(wire: Wire, hello: Hello): void {
    const { machine } = this;
    this.wire = wire;
    const talk = new Talk({
      work: this.#work(),
      installer: new FakeInstaller(),
      log: this.#log,
      shells: { connected: () => {}, disconnected: () => {}, handle: () => {} },
      clock: {
        bootTimeMs: () => machine.time.now,
        nowMs: () => machine.time.now,
        after: (ms, then) => machine.time.after(ms, () => this.alive && then()),
      },
      hello,
      onWelcome: () => {},
    });
    this.#talk = talk;
    talk.begin(wire.opened(talk));
    void talk.ended.then(() => {
      if (this.#talk === talk) this.#talk = undefined;
    });
  }

  /** SIGKILL. */
  kill(): void {
    this.alive = false;
    this.#executor?.close();
    this.wire?.abandonAgent();
  }

  #work(): Executor {
    if (this.#executor === undefined) throw new Error('the agent has not started');
    return this.#executor;
  }
}

function describe(fields: object): string {
  const { err } = fields as { err?: unknown };
  return err instanceof Error ? String(err.stack) : JSON.stringify(fields);
}

const FACTS: Facts = {
  hostname: 'n',
  os: { id: 'debian', id_like: [], version: '13', name: 'Debian' },
  architecture: 'amd64',
  kernel: { release: '6', version: '6' },
  cpu: { count: 1, model: 'x' },
  memory: { total: 1, available: 1 },
  swap: { total: 0, devices: [] },
  interfaces: [],
  filesystems: [],
  machine_id: 'm',
  boot_id: 'b',
  package_manager: 'apt',
  gathered: { at_ms: 0, took_ms: 0 },
};

const ACTIONS = createExecutors({
  stateFolder: '/state',
  scripts: `${'/state'}/scripts`,
  undo: {} as never,
  files: {} as never,
  gather: { facts: async () => FACTS, forRule: async () => ({ facts: null }) } as never,
});
