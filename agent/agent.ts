/** The agent's parts introduced to each other, in reading order: state, journal, executor, link. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { KkError } from '../shared/errors.ts';
import { commandFailure, createExecutors, createResourceKinds } from './actions/index.ts';
import { sweepScripts } from './actions/script.ts';
import { systemClock } from './clock.ts';
import { DEFAULT_CACHE_BYTES } from './config/settings.ts';
import { type Disk, disk } from './durable/disk.ts';
import { BlobFolder } from './executor/blobs.ts';
import { Executor } from './executor/executor.ts';
import { type Patience, patient } from './executor/full-disk.ts';
import { Journal } from './executor/journal.ts';
import { pause } from './executor/pause.ts';
import type { Clock, Logger } from './executor/ports.ts';
import { gatherFacts, gatherForRule } from './facts/index.ts';
import { FileCache } from './files/cache.ts';
import { createFiles } from './files/files.ts';
import { secretFromController } from './files/secret-from-controller.ts';
import type { ProxyEnvironment } from './files/web.ts';
import { bootId } from './host/boot-id.ts';
import { Standby } from './host/command-standby.ts';
import type { Host } from './host/host.ts';
import { createHost } from './host/index.ts';
import { IdentityStore } from './identity/identity-store.ts';
import { LAYOUT } from './install/layout.ts';
import { OwnInstallation } from './install/own-installation.ts';
import { UpgradeFiles } from './install/upgrade-files.ts';
import type { Self } from './link/hello.ts';
import type { Installer } from './link/installer.ts';
import { Link } from './link/link.ts';
import { LiveLog } from './link/live-log.ts';
import { type Dial, dialWith } from './link/transport.ts';
import { Shells } from './shell/shells.ts';
import { lockState, statePaths } from './state-folder.ts';
import { statusWriter } from './status.ts';
import { UndoStore } from './undo/store.ts';

export interface AgentOptions {
  stateFolder: string;
  version: string;
  /** How a command's wrapper is started; its folder is appended. */
  wrapper: readonly [string, ...string[]];
  /** One wrapper waits for the next command, so that it need not be started then; default: none. */
  standby?: boolean;
  logger: Logger;
  /** Nothing more can be done in this process; the supervisor shall start a new one. */
  onFatal: (error: KkError) => void;
  /** What tells this machine from others; default: /etc/machine-id. */
  machineId?: string;
  /** What tells this boot from others; default: the kernel's. */
  bootId?: string;
  /** Where scripts lie while they run; default: a folder of the machine's own. */
  scripts?: string;
  /** Parts of the machine that are simulated; default: the real ones. */
  machine?: Partial<Machine>;
  /** Bytes of files that are kept for the next run; default: that of the setting. */
  cacheBytes?: number;
  /** Bytes a second at which files are brought at most; undefined: no limit. */
  bytesPerSecond?: number | undefined;
  /** Variables that name a proxy for web servers; default: none. */
  proxy?: ProxyEnvironment;
  /** Uniform in [0, 1), for the jitter of reconnects; default: Math.random. */
  random?: () => number;
  /** How sockets are opened; default: TLS with the identity's certificate. */
  dial?: Dial;
  /** Replaces the agent's executable; default: this machine's installation. */
  installer?: Installer;
}

/** The machine under the agent: all that a simulated fleet or schedule replaces. Link, executor and journal are always real. */
export interface Machine {
  host: Host;
  clock: Clock;
  /** For what must survive a power cut: journal and blobs. */
  disk: Disk;
  /** What the machine tells of itself. */
  gather: { facts: typeof gatherFacts; forRule: typeof gatherForRule };
}

export interface RunningAgent {
  /** Resolves after stop(); rejects with KkError when waiting would not help (NOT_JOINED). */
  ended: Promise<void>;
  /** Ends the agent; commands at work go on without it. */
  stop(): Promise<void>;
}

/** Starts an agent on a state folder. Throws KkError STATE_IN_USE, STATE_NOT_WRITABLE, STATE_NEWER, JOURNAL_CORRUPT. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { logger } = options;
  const paths = statePaths(options.stateFolder);
  const own = await selfOf(options.version);
  const self: Self = {
    ...own,
    machineId: options.machineId ?? own.machineId,
    bootId: options.bootId ?? own.bootId,
  };
  const unlock = await lockState(paths, self.bootId);
  const standby = options.standby === true ? new Standby(options.wrapper) : undefined;
  try {
    const { host, clock, disk, gather } = machineOf(options, standby);
    const patience: Patience = {
      pause: (ms) => new Promise((resolve) => clock.after(ms, resolve)),
      onTrouble: (report) =>
        report === undefined
          ? logger.info({}, 'the state folder can be written again')
          : logger.error({ report }, report.message),
    };
    const { journal, records, cut } = await Journal.open({
      path: paths.journal,
      disk,
      newId: randomUUID,
      ...patience,
      onFatal: options.onFatal,
    });
    if (cut > 0) logger.warn({ bytes: cut }, 'an unfinished last write of the journal was cut off');

    const log = new LiveLog();
    const undo = new UndoStore({ folder: paths.undo, kinds: createResourceKinds(paths.root), host });
    const store = new IdentityStore(paths.identity);
    const cache = new FileCache({
      folder: paths.files,
      limit: options.cacheBytes ?? DEFAULT_CACHE_BYTES,
      bytesPerSecond: options.bytesPerSecond,
      pause: (ms, signal) => pause(clock, ms, signal),
      monotonicMs: () => clock.bootTimeMs(),
    });
    const controller = { identity: () => store.load(), nowMs: () => clock.nowMs() };
    const files = createFiles(cache, controller, options.proxy ?? {}, (ms, signal) => pause(clock, ms, signal));
    const scripts = options.scripts ?? LAYOUT.scripts;
    const executor = await Executor.start({
      journal,
      records,
      newId: randomUUID,
      blobs: await BlobFolder.open(paths.blobs, patient(disk, patience)),
      host,
      clock,
      actions: createExecutors({
        stateFolder: paths.root,
        scripts,
        undo,
        files,
        gather,
      }),
      sweep: (inUse) => sweepScripts(host.files, scripts, inUse),
      commandFailure,
      remember: (...change) => undo.remember(...change),
      secret: (run, name, signal) => secretFromController(run, name, signal, controller),
      gatherFacts: gather.facts,
      bootId: self.bootId,
      runsFolder: paths.runs,
      onLog: (chunk) => log.add(chunk),
      logger,
    });

    const ending = new AbortController();
    const installer =
      options.installer ??
      (await OwnInstallation.open(
        {
          executable: process.execPath,
          layout: LAYOUT,
          host,
          store,
          files: new UpgradeFiles(paths.upgrade),
          clock,
          work: executor,
        },
        ending.signal,
      ));
    const writeStatus = statusWriter(paths.status);
    const link = new Link({
      store,
      dial: options.dial ?? dialWith(() => clock.nowMs()),
      self,
      work: executor,
      installer,
      log,
      shells: new Shells({ alone: () => executor.alone(), logger }),
      clock,
      random: options.random ?? Math.random,
      logger,
      onState: (state) => void writeStatus(state),
    });
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      ending.abort();
      standby?.close();
      link.stop();
      executor.close();
      await journal.close();
      await unlock();
    };
    return {
      ended: link.run(),
      stop() {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (thrown) {
    standby?.close();
    await unlock();
    throw thrown;
  }
}

function machineOf({ wrapper, machine = {} }: AgentOptions, standby: Standby | undefined): Machine {
  const host = machine.host ?? createHost({ wrapper: { argv: wrapper, standby } });
  return {
    host,
    clock: machine.clock ?? systemClock(host),
    disk: machine.disk ?? disk,
    gather: machine.gather ?? { facts: gatherFacts, forRule: gatherForRule },
  };
}

/** Who this process is to the controller. */
export async function selfOf(version: string): Promise<Self> {
  const machineId = (await readFile('/etc/machine-id', 'utf8').catch(() => '')).trim();
  return { version, machineId, bootId: await bootId(), arch: process.arch };
}
