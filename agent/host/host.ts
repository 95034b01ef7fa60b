/**
 * The hands of the agent: everything it does to the machine goes through this interface, so that actions and facts can be
 * tested with a fake host and nothing else needs to know where files and processes are.
 */
export interface Host {
  files: HostFiles;
  /**
   * Short helper programs of the agent itself (systemctl, findmnt): awaited, bounded (16 MiB a stream), not surviving the
   * agent. As in a shell, a program that is not there is code 127 and one that a signal ended is 128 + its number.
   * Throws COMMAND_TIMEOUT, COMMAND_NO_SUCH_USER, and the signal's reason when aborted.
   */
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
  /** Added to a clean environment; PATH here is also where the program is looked up. */
  env?: Record<string, string>;
  cwd?: string;
  user?: string;
  signal?: AbortSignal;
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
  /**
   * Attributes and content of one and the same regular file, whoever puts what in its place meanwhile; a symlink is not
   * followed. undefined: no such file there.
   */
  whole(path: string): Promise<{ stat: FileStat; content: Buffer } | undefined>;
  /** Of the path itself: a symlink is not followed. */
  stat(path: string): Promise<FileStat | undefined>;
  /** The path without any symlink in it; undefined: nothing is there. */
  real(path: string): Promise<string | undefined>;
  /** Names in a folder, sorted; a folder that is not there has none. */
  list(path: string): Promise<string[]>;
  /** As {@link whole}, by its digest: read as a stream, so of any size. Rejects with the signal's reason. */
  digest(path: string, signal?: AbortSignal): Promise<{ stat: FileStat; sha256: string } | undefined>;
  /** The bytes of a regular file as they are read; a symlink is not followed (ELOOP). Rejects where no such file is. */
  stream(path: string): AsyncIterable<Uint8Array>;
  /**
   * Temp file in the same folder, fsync, rename, fsync of the folder. Mode (unstated: 0644), uid and gid are set before the
   * rename. Content that rejects leaves everything as it was.
   */
  writeAtomic(
    path: string,
    content: Uint8Array | AsyncIterable<Uint8Array>,
    attributes?: { mode?: number; uid?: number; gid?: number },
  ): Promise<void>;
  /**
   * Parents are made 0755. One that exists only gets the attributes, through a symlink too if that belongs to root or us
   * (else ELOOP).
   */
  makeDirectory(path: string, attributes?: { mode?: number; uid?: number; gid?: number }): Promise<void>;
  /**
   * The value of a file of the kernel's (/proc/sys) that is there: one write of the whole, as the kernel asks for. It is
   * memory, so nothing is synced.
   */
  setKernelValue(path: string, value: string): Promise<void>;
  /** Of a file; a symlink is not followed (ELOOP). */
  setAttributes(path: string, attributes: { mode?: number; uid?: number; gid?: number }): Promise<void>;
  /** A file, or a directory with all in it; nothing there is fine. */
  remove(path: string): Promise<void>;
  /** Within one folder; what was there before is replaced. The folder is synced. */
  rename(from: string, to: string): Promise<void>;
  /**
   * A new directory, 0700 (EEXIST where something is), filled below `inside`, a path that leads to it even when its name leads
   * elsewhere meanwhile.
   */
  makeNew(path: string, fill: (inside: string) => Promise<void>): Promise<void>;
  /** A directory with nothing in it; false: there is something in it. None there is fine. */
  removeEmpty(path: string): Promise<boolean>;
  /** What a symlink says; undefined: there is none. */
  readLink(path: string): Promise<string | undefined>;
  /** A symlink where nothing is. */
  makeLink(path: string, target: string, owner: { uid: number; gid: number }): Promise<void>;
  /** Resolves when something may have changed at `path`, at the latest after `timeoutMs`; rejects with the signal's reason. */
  changed(path: string, options: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
  /** Name to number by /etc/passwd and /etc/group; undefined: unknown. Digits are the number itself. */
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
  /** Runs on a terminal of that size, without stdin: all it prints is stdout. */
  terminal?: { columns: number; rows: number };
  /**
   * 0: none. At the end all that the command has started gets TERM, after graceMs KILL; where no cgroup can be had, its
   * process group does.
   */
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
   * output files. `onOutput` sees the output as it arrives. `signal` cancels: TERM to
   * all that the command has started, grace (its reason may say another: {@link Cancelled}), KILL.
   * Throws COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE, COMMAND_NO_SUCH_FOLDER, COMMAND_NO_SUCH_USER when there was nothing
   * to run, PTY_MISSING when there is no terminal for it, COMMAND_WRAPPER_FAILED when it could not be tried, and INTERRUPTED when its end is not known.
   */
  start(
    folder: string,
    spec: CommandSpec,
    options: { onOutput?: (stream: 'stdout' | 'stderr', offset: number, data: Buffer) => void; signal?: AbortSignal },
  ): Promise<CommandResult>;
  /**
   * After a restart of the agent. `begunBootId`: the boot in which the step began. `onOutput` sees the output from its
   * beginning again. A folder that was found `never-started` cannot be used again: {@link start} takes a new one.
   */
  recover(
    folder: string,
    begunBootId: string,
    options: { onOutput?: (stream: 'stdout' | 'stderr', offset: number, data: Buffer) => void; signal?: AbortSignal },
  ): Promise<CommandFound>;
}
