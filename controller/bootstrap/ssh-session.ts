import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { isSystemError } from '../../shared/errors.ts';
import { SUDO_QUESTION } from './ssh-command.ts';
import type { SshFailure } from './ssh-errors.ts';

/** The pieces one connection may ask for. */
export interface SshSession {
  argv: readonly string[];
  environment: Readonly<Record<string, string | undefined>>;
  /** Run on the node as root. */
  script: string;
  token: string;
  sudoPassword: string | undefined;
  /** The compressed agent; undefined: none for that architecture. */
  agent: (arch: string) => Readable | undefined;
  /** Masked wherever they show up in output. */
  secrets: readonly string[];
  readyWithinMs: number;
  onProgress: (line: string) => void;
  signal: AbortSignal;
}

/** `late`: the script did not start in time; `no-client`: there is no ssh here. */
export type SshOutcome =
  | { end: 'done'; address: string | undefined }
  | { end: 'late' }
  | { end: 'no-client' }
  | (SshFailure & { end: 'failed' });

/** Enough for any error; a node that talks without end does not fill our memory. */
const STDERR_LIMIT = 64 * 1024;

/** Runs the conversation of remote.sh to its end. */
export async function runSsh(session: SshSession): Promise<SshOutcome> {
  const [program = '', ...args] = session.argv;
  // A session of its own: no terminal that ssh could ask on, and Ctrl-C comes to us alone.
  const child = spawn(program, args, { env: { ...session.environment }, detached: true, stdio: 'pipe' });
  const seen = {
    ready: false,
    done: false,
    noSudo: false,
    late: false,
    asked: false,
    passwordRefused: false,
    stderr: '',
  };
  let address: string | undefined;
  child.stdin.on('error', () => {}); // the other end may go away at any time; its exit status tells the story
  const stop = (): void => void child.kill('SIGTERM');
  session.signal.addEventListener('abort', stop, { once: true });
  const late = setTimeout(() => {
    seen.late = true;
    stop();
  }, session.readyWithinMs);

  createInterface({ input: child.stdout }).on('line', (line) => {
    const [word, first, second] = line.trim().split(' ');
    if (word === 'KK-READY') {
      seen.ready = true;
      clearTimeout(late);
      session.onProgress('connected');
      child.stdin.write(`${Buffer.byteLength(session.script)}\n${session.script}`);
    } else if (word === 'KK-NO-SUDO') seen.noSudo = true;
    else if (word === 'KK-HAS' && first === 'address') address = second;
    else if (word === 'KK-WANTS' && first === 'token') child.stdin.write(`${session.token}\n`);
    else if (word === 'KK-WANTS' && first === 'agent') send(session.agent(second ?? ''), child.stdin, stop);
    else if (word === 'KK-DONE') seen.done = true;
  });

  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    seen.stderr = (seen.stderr + text).slice(-STDERR_LIMIT);
    if (!seen.ready && seen.stderr.includes(SUDO_QUESTION)) {
      seen.stderr = seen.stderr.replace(SUDO_QUESTION, '');
      // A second question means that the first answer was wrong; closing stdin lets sudo give up by itself.
      seen.passwordRefused = seen.asked && session.sudoPassword !== undefined;
      if (seen.asked || session.sudoPassword === undefined) child.stdin.end();
      else child.stdin.write(`${session.sudoPassword}\n`);
      seen.asked = true;
    }
  });
  createInterface({ input: child.stderr }).on('line', (line) => {
    const progress = /^kk: (?![A-Z0-9_]+: )(.*)$/.exec(line)?.[1];
    if (progress !== undefined) session.onProgress(mask(progress, session.secrets));
  });

  try {
    if (session.signal.aborted) stop();
    const [code] = (await once(child, 'close')) as [number | null];
    if (seen.done && code === 0) return { end: 'done', address };
    if (seen.late) return { end: 'late' };
    const { ready, noSudo, passwordRefused } = seen;
    const stderr = mask(seen.stderr, session.secrets);
    return { end: 'failed', code: code ?? undefined, stderr, ready, noSudo, passwordRefused };
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return { end: 'no-client' };
    throw error;
  } finally {
    clearTimeout(late);
    session.signal.removeEventListener('abort', stop);
  }
}

/** The agent over stdin, which stays open for what comes after. Nothing to send, or reading it failed: stop. */
function send(agent: Readable | undefined, stdin: Writable, stop: () => void): void {
  if (agent === undefined) stop();
  else agent.on('error', stop).pipe(stdin, { end: false });
}

function mask(text: string, secrets: readonly string[]): string {
  return secrets.filter((secret) => secret !== '').reduce((masked, secret) => masked.replaceAll(secret, '***'), text);
}
