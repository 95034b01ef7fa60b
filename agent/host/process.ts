import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { withoutMasters } from '../pty/masters.ts';
import type { RunOptions, RunOutput } from './host.ts';
import { launchAs } from './run-as.ts';

const OUTPUT_LIMIT = 16 * 1024 * 1024;
/** A daemon that a helper left behind may hold its pipes for ever. */
const DRAIN_MS = 2000;

/** Collects a stream up to the limit; what comes after is read and dropped, so that the program does not block. */
function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    if (bytes < OUTPUT_LIMIT) chunks.push(chunk.subarray(0, OUTPUT_LIMIT - bytes));
    bytes += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

/** See Host.run. */
export async function runProgram(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunOutput> {
  options.signal?.throwIfAborted();
  const launch = await launchAs(argv, options.user, options.env ?? {});
  const [program, ...args] = launch.argv;
  const child = spawn(program, args, {
    env: launch.env,
    cwd: options.cwd ?? '/',
    stdio: withoutMasters('pipe'),
    // Its own group, so that a timeout reaches what it started too.
    detached: true,
  }) as ChildProcessWithoutNullStreams;
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');

  const { promise, resolve, reject } = Promise.withResolvers<RunOutput>();
  const killGroup = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Already gone.
    }
  };
  const timeoutMs = options.timeoutMs ?? 30_000;
  const timer = setTimeout(() => {
    killGroup();
    reject(
      new KkError({
        code: 'COMMAND_TIMEOUT',
        message: `${argv[0]} did not end within ${timeoutMs / 1000} s and was killed.`,
        remedy: 'Find out on the node why it hangs: run it by hand.',
        evidence: argv.join(' '),
      }),
    );
  }, timeoutMs);
  const aborted = () => {
    killGroup();
    reject(options.signal?.reason);
  };
  options.signal?.addEventListener('abort', aborted);
  child.on('error', (thrown) => {
    if (isSystemError(thrown, 'ENOENT')) resolve({ code: 127, stdout: '', stderr: `${argv[0]}: not found` });
    else if (isSystemError(thrown, 'EACCES')) resolve({ code: 126, stdout: '', stderr: `${argv[0]}: not executable` });
    else reject(thrown);
  });
  let drain: NodeJS.Timeout | undefined;
  child.on('exit', () => {
    drain = setTimeout(() => {
      child.stdout.destroy();
      child.stderr.destroy();
    }, DRAIN_MS);
  });
  child.on('close', (code, signal) => {
    resolve({
      code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]),
      stdout: stdout(),
      stderr: stderr(),
    });
  });
  return promise.finally(() => {
    clearTimeout(timer);
    clearTimeout(drain);
    options.signal?.removeEventListener('abort', aborted);
  });
}
