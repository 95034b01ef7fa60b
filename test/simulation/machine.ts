/** A node's machine: what outlives the agent's process (files, commands, the kernel's boot) and what outlives the power. */

import type { Disk, DurableFile } from '../../agent/durable/disk.ts';
import type { Blobs } from '../../agent/executor/blobs.ts';
import type { CommandFound, CommandResult, CommandSpec, FileStat, Host } from '../../agent/host/host.ts';
import { KkError } from '../../shared/errors.ts';
import { never, type SimulatedTime } from './time.ts';

/** A command and its wrapper. `spawned`: the wrapper has not claimed its folder; `gone`: it found that the agent had. */
export interface SimulatedCommand {
  folder: string;
  spec: CommandSpec;
  state: 'spawned' | 'gone' | 'running' | 'ended' | 'lost';
  boot: string;
  cancelled: boolean;
  result?: CommandResult;
  /** Called at its end, or when nobody will ever tell its end. */
  onEnd: ((result: CommandResult | undefined) => void)[];
}

/** What the world wants to see of a machine. */
export interface MachineWatcher {
  /** A command is about to have its effect. */
  commandBegins(machine: Machine, command: SimulatedCommand): void;
  /** A file is about to be written. */
  fileWritten(machine: Machine, path: string): void;
  /** How a command ends: its code, and what it prints. */
  outcomeOf(machine: Machine, command: SimulatedCommand): { code: number; stdout: string };
}

/** A state of the disk that it can be set back to. */
interface Snapshot {
  log: Buffer;
  blobs: Map<string, Buffer>;
  files: Map<string, string>;
}

export class Machine {
  readonly name: string;
  readonly time: SimulatedTime;
  readonly #watcher: MachineWatcher;
  up = true;
  boot = 1;
  /** Raised when the disk is another one than before: what was done on the old one is void. */
  incarnation = 1;
  /** The journal, as processes see it; only the first `synced` bytes survive the power. */
  log = Buffer.alloc(0);
  #synced = 0;
  /** How often what survives the power has changed: it may be another at the same length. */
  changes = 0;
  /** What is behind the journal's end: the next append writes over it, and the power takes it. */
  mark: Buffer = Buffer.alloc(0);
  blobs = new Map<string, Buffer>();
  files = new Map<string, string>();
  commands = new Map<string, SimulatedCommand>();
  /** Syncs that processes wait for. */
  syncs: (() => void)[] = [];

  constructor(name: string, time: SimulatedTime, watcher: MachineWatcher) {
    this.name = name;
    this.time = time;
    this.#watcher = watcher;
  }

  get synced(): number {
    return this.#synced;
  }

  set synced(bytes: number) {
    this.#synced = bytes;
    this.changes += 1;
  }

  get bootId(): string {
    return `${this.name}-boot-${this.boot}`;
  }

  snapshot(): Snapshot {
    return {
      log: Buffer.from(this.log.subarray(0, this.synced)),
      blobs: new Map(this.blobs),
      files: new Map(this.files),
    };
  }

  /** The power fails: what was not synced is lost, all but its first `torn` bytes; commands die. */
  powerLoss(torn: number): void {
    this.up = false;
    this.log = Buffer.from(this.log.subarray(0, Math.min(this.log.length, this.synced + torn)));
    this.synced = this.log.length;
    this.mark = Buffer.alloc(0);
    this.syncs = [];
    for (const command of this.commands.values()) {
      if (command.state === 'spawned' || command.state === 'running') command.state = 'lost';
      command.onEnd = [];
    }
  }

  /** The disk of another time, or a new one. The machine is off. */
  setBack({ log, blobs, files }: Snapshot): void {
    this.incarnation += 1;
    [this.log, this.synced] = [Buffer.from(log), log.length];
    [this.blobs, this.files, this.commands] = [new Map(blobs), new Map(files), new Map()];
  }

  switchOn(): void {
    this.up = true;
    this.boot += 1;
  }

  /** The wrapper of a spawned command gets to its first line. */
  claim(command: SimulatedCommand): void {
    if (command.state !== 'spawned') return;
    command.state = 'running';
    this.#watcher.commandBegins(this, command);
  }

  finish(command: SimulatedCommand): void {
    if (command.state !== 'running') return;
    const { code, stdout } = this.#watcher.outcomeOf(this, command);
    const text = Buffer.from(stdout);
    const stream = (data: Buffer) => ({ head: data, tail: Buffer.alloc(0), bytes: data.length, file: '' });
    const how = command.cancelled ? { signal: 'SIGTERM' } : { code };
    command.result = {
      ...{ ...how, timedOut: false, cancelled: command.cancelled, durationMs: 1 },
      ...{ stdout: stream(text), stderr: stream(Buffer.alloc(0)) },
    };
    command.state = 'ended';
    const creates = /creates=(\S+)/.exec(command.spec.argv.join(' '))?.[1];
    if (creates !== undefined && code === 0 && !command.cancelled) this.files.set(creates, '');
    for (const told of command.onEnd.splice(0)) told(command.result);
  }

  /** The hands of one life of the agent; once `alive` says no, nothing it does has any effect. */
  host(alive: () => boolean): Host {
    const ifAlive = async <T>(what: () => T): Promise<T> => (alive() ? what() : never());
    const stat = (path: string): FileStat | undefined => {
      const content = this.files.get(path);
      if (content === undefined) return undefined;
      return { kind: 'file', mode: 0o644, uid: 0, gid: 0, size: content.length, mtimeMs: 0 };
    };
    return {
      bootTimeMs: () => this.time.now,
      nowMs: () => this.time.now,
      run: () => Promise.reject(new Error('no helper programs here')),
      files: {
        read: (path) => ifAlive(() => (this.files.has(path) ? Buffer.from(this.files.get(path) ?? '') : undefined)),
        stat: (path) => ifAlive(() => stat(path)),
        real: (path) => ifAlive(() => (this.files.has(path) ? path : undefined)),
        list: (path) =>
          ifAlive(() =>
            [...this.commands.keys()]
              .filter((folder) => folder.startsWith(`${path}/`))
              .map((folder) => folder.slice(path.length + 1))
              .sort(),
          ),
        whole: (path) =>
          ifAlive(() => {
            const found = stat(path);
            return found && { stat: found, content: Buffer.from(this.files.get(path) ?? '') };
          }),
        digest: () => Promise.reject(new Error('no large files here')),
        // biome-ignore lint/correctness/useYield: nothing is read as a stream here
        stream: async function* () {
          throw new Error('no large files here');
        },
        makeNew: () => Promise.reject(new Error('nothing is restored here')),
        writeAtomic: (path, content) =>
          ifAlive(() => {
            this.#watcher.fileWritten(this, path);
            this.files.set(path, Buffer.from(content as Uint8Array).toString());
          }),
        setKernelValue: () => Promise.reject(new Error('no kernel here')),
        makeDirectory: () => ifAlive(() => {}),
        setAttributes: () => ifAlive(() => {}),
        rename: () => Promise.reject(new Error('nothing is renamed here')),
        removeEmpty: () => ifAlive(() => true),
        readLink: () => ifAlive(() => undefined),
        makeLink: () => Promise.reject(new Error('no symlinks here')),
        remove: (path) =>
          ifAlive(() => {
            this.files.delete(path);
            for (const folder of [...this.commands.keys()])
              if (folder.startsWith(`${path}/`)) this.commands.delete(folder);
          }),
        changed: (_path, { timeoutMs, signal }) =>
          new Promise((resolve, reject) => {
            const stop = this.time.after(timeoutMs, () => alive() && resolve());
            const aborted = (): void => {
              stop();
              reject(signal?.reason);
            };
            if (signal?.aborted) aborted();
            else signal?.addEventListener('abort', aborted);
          }),
        uidOf: () => ifAlive(() => 0),
        gidOf: () => ifAlive(() => 0),
      },
      commands: {
        start: (folder, spec, { signal }) => ifAlive(() => this.#start(folder, spec, signal, alive)).then((end) => end),
        recover: (folder, begun, { signal }) => ifAlive(() => this.#recover(folder, begun, signal, alive)),
      },
    };
  }

  #start(
    folder: string,
    spec: CommandSpec,
    signal: AbortSignal | undefined,
    alive: () => boolean,
  ): Promise<CommandResult> {
    if (this.commands.has(folder)) throw new Error(`the folder ${folder} was used before`);
    const command: SimulatedCommand = {
      ...{ folder, spec, state: 'spawned' as const, boot: this.bootId, cancelled: false, onEnd: [] },
    };
    this.commands.set(folder, command);
    return this.#follow(command, signal, alive);
  }

  #follow(command: SimulatedCommand, signal: AbortSignal | undefined, alive: () => boolean): Promise<CommandResult> {
    const cancel = (): void => {
      if (!alive() || command.cancelled) return;
      command.cancelled = true;
      // TERM may be ignored, KILL is not.
      this.time.after(command.spec.graceMs, () => this.finish(command));
    };
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel);
    return new Promise((resolve, reject) => {
      command.onEnd.push((result) => {
        if (!alive()) return;
        if (result !== undefined) resolve(result);
        else reject(new KkError({ code: 'INTERRUPTED', message: 'its wrapper was killed', remedy: 'Look.' }));
      });
    });
  }

  #recover(folder: string, begun: string, signal: AbortSignal | undefined, alive: () => boolean): CommandFound {
    const command = this.commands.get(folder);
    const isThisBoot = begun === this.bootId;
    if (command === undefined || command.state === 'spawned' || command.state === 'gone') {
      if (!isThisBoot) return { state: 'lost' };
      // The agent makes `started` first: a late wrapper finds it and exits.
      if (command !== undefined) command.state = 'gone';
      else this.commands.set(folder, forestalled(folder, this.bootId));
      return { state: 'never-started' };
    }
    if (command.state === 'ended' && command.result !== undefined) return { state: 'ended', result: command.result };
    if (command.state === 'running') return { state: 'running', result: this.#follow(command, signal, alive) };
    return { state: 'lost' };
  }

  /** The disk as one life of the agent sees it. */
  disk(alive: () => boolean): Disk {
    const file: DurableFile = {
      append: async (bytes) => {
        if (!alive()) return never();
        this.log = Buffer.concat([this.log, bytes]);
        this.mark = Buffer.alloc(0);
      },
      mark: async (bytes) => {
        if (!alive()) return never();
        this.mark = Buffer.from(bytes);
      },
      sync: () =>
        new Promise((resolve) => {
          const until = this.log.length;
          if (!alive()) return;
          this.syncs.push(() => {
            this.synced = Math.max(this.synced, until);
            if (alive()) resolve();
          });
        }),
      read: async (position, size) => {
        if (!alive()) return never();
        return Buffer.from(this.log.subarray(position, position + size));
      },
      truncate: async (size) => {
        if (!alive()) return never();
        [this.log, this.synced] = [Buffer.from(this.log.subarray(0, size)), size];
      },
      close: async () => {},
    };
    return {
      open: async () => {
        if (!alive()) return never();
        // What a killed process left unsynced is synced before it is relied on.
        this.synced = this.log.length;
        return { file, content: Buffer.concat([this.log, this.mark]) };
      },
      replace: async (_path, bytes) => {
        if (!alive()) return never();
        [this.log, this.synced] = [Buffer.from(bytes), bytes.length];
      },
    };
  }

  documents(alive: () => boolean): Blobs {
    return {
      list: () => [...this.blobs.keys()].reverse(),
      read: async (digest) => (alive() ? this.blobs.get(digest) : never()),
      write: async (digest, bytes) => {
        if (!alive()) return never();
        this.blobs.set(digest, Buffer.from(bytes));
      },
      sweep: async () => {},
    };
  }
}

function forestalled(folder: string, boot: string): SimulatedCommand {
  const spec: CommandSpec = { argv: ['true'], env: {}, timeoutMs: 0, graceMs: 0 };
  return { folder, spec, state: 'gone', boot, cancelled: false, onEnd: [] };
}
