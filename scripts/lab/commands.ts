import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { KkError } from '../../shared/errors.ts';

/** What a command left behind; `code` is 128 + the signal's number when a signal ended it, as a shell would say. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Given on standard input; nothing (end of file at once) when absent. */
  input?: string | Buffer;
  /** The whole environment; the caller's when absent. */
  env?: NodeJS.ProcessEnv;
}

/** Run `argv`, never throwing because of what it answers. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    env: options.env,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const outcome: Outcome = { code: 127, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    outcome.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    outcome.stderr += text;
  });
  child.stdin.on('error', () => {}); // it may end without reading its input; its exit code tells the story
  child.stdin.end(options.input);
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ ...outcome, code: 127, stderr: error.message }));
    child.on('close', (code, signal) => resolve({ ...outcome, code: exitCode(code, signal) }));
  });
}

/**
 * Run `argv` and give its standard output.
 * @throws KkError LAB_COMMAND when it fails
 */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(argv, options);
  if (code === 0) return stdout;
  throw new KkError({
    code: 'LAB_COMMAND',
    message: `'${argv.slice(0, 6).join(' ')}' ended with ${code}.`,
    evidence: lastLines(stderr || stdout, 12),
    remedy:
      'See what it said; `lab prepare` installs what the lab needs, and `lab destroy` clears a half-made lab away.',
  });
}

/** Run `argv` on the caller's own terminal and give its exit code. */
export async function runHere(argv: readonly string[], env?: NodeJS.ProcessEnv): Promise<number> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { env, stdio: 'inherit' });
  const ignore = () => {}; // the terminal sends its signals to the child as well, and that one decides
  process.on('SIGINT', ignore);
  try {
    const [code, signal] = await once(child, 'close');
    return exitCode(code, signal);
  } finally {
    process.off('SIGINT', ignore);
  }
}

/** A folder every host has, so that the lock needs no file that would outlive the labs or be deleted under a waiter. */
const LOCKED = '/var/lib';

/** Do `work` while no other process of any lab on this host does such; the lock goes with the process, however it ends. */
export async function withLock<T>(work: () => Promise<T>): Promise<T> {
  const holder = spawn('flock', [LOCKED, 'sh', '-c', 'echo held; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(holder, 'close');
  try {
    await Promise.race([once(holder.stdout, 'data'), ended]);
    if (holder.exitCode !== null) throw new Error(`flock ${LOCKED} ended with ${holder.exitCode}`);
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}

/** Ask `done` every `everyMs` until it says yes; false when `timeoutMs` passed first. */
export async function until(done: () => boolean | Promise<boolean>, timeoutMs: number, everyMs = 50): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (!(await done())) {
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  return true;
}

/** The last `count` lines of `text`, for an error's evidence. */
export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

function exitCode(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + constants.signals[signal ?? 'SIGKILL'];
}
