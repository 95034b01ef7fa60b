/**
 * The hands of the agent: everything it does to the machine goes through this interface, so that actions and facts can be
 * tested with a fake host and nothing else needs to know where files and processes are.
 */
export interface Host {
  files: HostFiles;
  /** Short helper programs of the agent itself (systemctl, findmnt): awaited, bounded, not surviving the agent. */
  run(argv: readonly [string, ...string[]], options?: RunOptions): Promise<RunOutput>;
  /** A plan's command: survives the agent (ENGINE 3.1). */
  commands: CommandRunner;
  /** CLOCK_BOOTTIME in milliseconds: counts while the machine sleeps, never jumps. */
  bootTimeMs(): number;
  /** Wall clock, for reports only. */
  nowMs(): number;
}

export interface RunOptions {
  /** Default 30,000. */
  timeoutMs?: number;
  input?: string;
  env?: Record<string, string>;
}

export interface RunOutput {
  code: number;
  stdout: string;
  stderr: string;
}

export interface FileStat {
  kind: 'file' | 'directory' | 'symlink' | 'other';
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeMs: number;
}

export interface HostFiles {
  /** undefined: no such file. */
  read(path: string): Promise<Buffer | undefined>;
  stat(path: string): Promise<FileStat | undefined>;
  list(path: string): Promise<string[]>;
  /** Temp file in the same folder, fsync, rename, fsync of the folder. Mode, uid and gid are set before the rename. */
  writeAtomic(path: string, content: Uint8Array, attributes?: { mode?: number; uid?: number; gid?: number }): Promise<void>;
  makeDirectory(path: string, attributes?: { mode?: number; uid?: number; gid?: number }): Promise<void>;
  setAttributes(path: string, attributes: { mode?: number; uid?: number; gid?: number }): Promise<void>;
  remove(path: string): Promise<void>;
  /** Name to number by /etc/passwd and /etc/group; undefined: unknown. */
  uidOf(user: string): Promise<number | undefined>;
  gidOf(group: string): Promise<number | undefined>;
}

/** A command as a plan wants it. */
export interface CommandSpec {
  /** argv[0] is looked up in PATH. A shell command is `['/bin/sh', '-c', text]`. */
  argv: readonly [string, ...string[]];
  env: Record<string, string>;
  cwd?: string;
  user?: string;
  stdin?: string;
  /** 0: none. At the end the whole process group gets TERM, after graceMs KILL. */
  timeoutMs: number;
  graceMs: number;
}

export interface CommandResult {
  /** Exit status; undefined when a signal ended it. */
  code?: number;
  signal?: string;
  timedOut: boolean;
  cancelled: boolean;
  durationMs: number;
  stdout: CapturedOutput;
  stderr: CapturedOutput;
}

/** Head and tail in memory; the whole stream is in `file` on the node, up to a limit. */
export interface CapturedOutput {
  head: Buffer;
  tail: Buffer;
  bytes: number;
  file: string;
}

/** What a recovering agent finds where a command was. */
export type CommandFound =
  | { state: 'running'; result: Promise<CommandResult> }
  | { state: 'ended'; result: CommandResult }
  | { state: 'never-started' }
  /** It began in an earlier boot, or its wrapper died without a status: nobody can say how far it came. */
  | { state: 'lost' };

export interface CommandRunner {
  /**
   * Starts the wrapper in its own session; `folder` (made if absent, one per attempt) holds spec, started, status and the
   * output files. `onOutput` sees the output as it arrives. `signal` cancels: TERM to the group, grace, KILL.
   */
  start(
    folder: string,
    spec: CommandSpec,
    options: { onOutput?: (stream: 'stdout' | 'stderr', offset: number, data: Buffer) => void; signal?: AbortSignal },
  ): Promise<CommandResult>;
  /** After a restart of the agent. `begunBootId`: the boot in which the step began. */
  recover(
    folder: string,
    begunBootId: string,
    options: { onOutput?: (stream: 'stdout' | 'stderr', offset: number, data: Buffer) => void; signal?: AbortSignal },
  ): Promise<CommandFound>;
}
