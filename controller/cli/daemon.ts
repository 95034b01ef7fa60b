import { spawn } from 'node:child_process';
import { mkdir, open, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { logPath } from '../config/settings.ts';
import type { Client } from './client.ts';

/** A first start makes keys and a database; on a busy machine that takes seconds. */
const START_MS = 60_000;
const POLL_MS = 100;
const LOG_LINES = 20;

export interface DaemonWish {
  client: Client;
  stateFolder: string;
  self: { command: string; args: readonly string[] };
}

/** Waits until a controller answers, at most so long: a service manager may be restarting it. */
export async function awaitController(client: Client, ms: number): Promise<boolean> {
  for (const until = performance.now() + ms; ; await sleep(POLL_MS)) {
    if (await isAnswering(client)) return true;
    if (performance.now() >= until) return false;
  }
}

/** True when a controller answers. Other errors than that nobody does pass. */
export async function isAnswering(client: Client): Promise<boolean> {
  try {
    await client.knock();
    return true;
  } catch (thrown) {
    const away = thrown instanceof KkError && thrown.code === 'CONTROLLER_UNREACHABLE';
    const denied = away && ['EACCES', 'EPERM'].some((code) => isSystemError(thrown.cause, code));
    if (away && !denied) return false;
    throw thrown;
  }
}

/**
 * Sees to it that a controller answers: when none does, `serve --until-idle` is started in a session of its own, so that
 * neither Ctrl-C nor the end of the terminal reaches it, with its log in the state folder.
 * Gives the started process's id, or undefined when one ran already. Throws KkError CONTROLLER_START_FAILED with the
 * last lines of the log.
 */
export async function ensureController({ client, stateFolder, self }: DaemonWish): Promise<number | undefined> {
  if (await isAnswering(client)) return undefined;
  const log = await openLog(stateFolder);
  const from = (await log.stat()).size;
  let ended: string | undefined;
  try {
    const args = [...self.args, '--state', stateFolder, 'serve', '--until-idle'];
    const child = spawn(self.command, args, { detached: true, stdio: ['ignore', log.fd, log.fd] });
    child.once('error', (error) => {
      ended = error.message;
    });
    child.once('exit', (code, signal) => {
      ended = signal ? `killed by ${signal}` : `exit code ${code}`;
    });
    child.unref();
    for (const until = performance.now() + START_MS; performance.now() < until; ) {
      // another apply may have been faster, and then ours ends because of it
      if (await isAnswering(client)) return child.pid;
      if (ended !== undefined) break;
      await sleep(POLL_MS);
    }
  } finally {
    await log.close();
  }
  throw new KkError({
    code: 'CONTROLLER_START_FAILED',
    message:
      ended === undefined
        ? `The controller did not answer within ${START_MS / 1000} s of its start.`
        : `The controller could not be started (${ended}).`,
    remedy: `Mend what the log says (${logPath(stateFolder)}), or run \`kk-controller serve\` by hand to see it start.`,
    evidence: await tail(logPath(stateFolder), from),
  });
}

async function openLog(stateFolder: string) {
  try {
    await mkdir(stateFolder, { recursive: true, mode: 0o700 });
    return await open(logPath(stateFolder), 'a', 0o600);
  } catch (thrown) {
    throw new KkError({
      code: 'STATE_NOT_WRITABLE',
      message: `The state folder ${stateFolder} is not writable.`,
      remedy: 'Run as its owner, or choose another folder with --state.',
      evidence: String(thrown),
      cause: thrown,
    });
  }
}

async function tail(path: string, from: number): Promise<string> {
  const text = (await readFile(path)).subarray(from).toString('utf8').trimEnd();
  return text === '' ? 'the log is empty' : text.split('\n').slice(-LOG_LINES).join('\n');
}
