import { type SpawnOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Capture } from './command-capture.ts';
import type { Status, WrapperSpec } from './command-folder.ts';

/** A line that ends a terminal's input (VEOF of termios(3), as it is set at first): ^D. */
const END_OF_INPUT = Buffer.from('\x04');

/** What the command is to the wrapper, whatever it runs on. */
export interface Program {
  /** Leads its session and its process group: what the command starts can be ended with it. */
  pid: number;
  /** How it ended; others may still print. */
  exited: Promise<Pick<Status, 'code' | 'signal'>>;
  /** All that was printed has been taken. */
  closed: Promise<true>;
}

interface Streams {
  stdout: Capture;
  stderr: Capture;
}

/** Starts the command. Throws KkError PTY_MISSING, and the system's error when it cannot be started. */
export function begin(spec: WrapperSpec, streams: Streams): Promise<Program> {
  const { terminal } = spec;
  return terminal === undefined ? withPipes(spec, streams) : onTerminal({ ...spec, ...terminal }, streams.stdout);
}

async function withPipes(spec: WrapperSpec, streams: Streams): Promise<Program> {
  const [file, ...args] = spec.argv;
  const options: SpawnOptions = {
    cwd: spec.cwd,
    env: spec.env,
    stdio: [spec.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    detached: true,
  };
  const child = spawn(file, args, options);
  const exited = new Promise<Pick<Status, 'code' | 'signal'>>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal === null ? { code: code ?? 0 } : { signal }));
  });
  const closed = new Promise<true>((resolve) => child.once('close', () => resolve(true)));
  child.stdout?.on('data', (data: Buffer) => streams.stdout.take(data));
  child.stderr?.on('data', (data: Buffer) => streams.stderr.take(data));
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  // A command that does not read all of it is no error.
  child.stdin?.on('error', () => {});
  child.stdin?.end(spec.stdin);
  return { pid: child.pid as number, exited, closed };
}

async function onTerminal(spec: WrapperSpec & NonNullable<WrapperSpec['terminal']>, stdout: Capture): Promise<Program> {
  // Few commands want it, and the wrapper starts for each.
  const { Terminal } = await import('../pty/terminal.ts');
  const exited = Promise.withResolvers<Pick<Status, 'code' | 'signal'>>();
  const closed = Promise.withResolvers<true>();
  const events = {
    onData: (data: Buffer) => stdout.take(data),
    onExit: (code: number, signal: number) => exited.resolve(signal === 0 ? { code } : { signal: nameOf(signal) }),
    onEnd: () => closed.resolve(true),
  };
  const terminal = await Terminal.open(spec, events);
  terminal.write(END_OF_INPUT);
  return { pid: terminal.pid, exited: exited.promise, closed: closed.promise };
}

function nameOf(signal: number): string {
  const [name] = Object.entries(constants.signals).find(([, number]) => number === signal) ?? [];
  return name ?? `signal ${signal}`;
}
