import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { claim, takeAway } from '../durable/files.ts';

/** A state folder that belongs to this process until `release`. */
export interface StateFolder {
  path: string;
  release(): Promise<void>;
}

/**
 * Makes the folder (0700) and takes it: a second controller on the same state is refused (CONTROLLER_RUNNING). The lock
 * names a process by id and start time, so that one left by a killed controller is taken over.
 * Throws KkError STATE_NOT_WRITABLE, CONTROLLER_RUNNING.
 */
export async function takeStateFolder(path: string, pid: number): Promise<StateFolder> {
  const lock = join(path, 'controller.lock');
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    for (;;) {
      const owner = await ownerOf(lock);
      if (owner?.alive) throw running(path, owner.pid);
      if (owner) await takeAway(lock, owner.text, 'controller.lock.stale');
      if (await claim(lock, `${pid} ${await startTimeOf(pid)}\n`, 'controller.lock')) break;
    }
  } catch (cause) {
    if (cause instanceof KkError) throw cause;
    throw new KkError({
      code: 'STATE_NOT_WRITABLE',
      message: `The state folder ${path} cannot be written: ${cause instanceof Error ? cause.message : cause}.`,
      remedy: 'Run as root, make room on the disk, or give another folder with --state.',
      cause,
    });
  }
  return { path, release: () => rm(lock, { force: true }) };
}

async function ownerOf(lock: string): Promise<{ pid: number; alive: boolean; text: string } | undefined> {
  const text = await readFile(lock, 'utf8').catch((thrown: unknown) => {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw thrown;
  });
  if (text === undefined) return undefined;
  const [pid = '', started = ''] = text.trim().split(' ');
  return { text, pid: Number(pid), alive: started !== '' && (await startTimeOf(Number(pid))) === started };
}

/** Start of a process in clock ticks since boot (proc(5), field 22); empty: no such process, or only its zombie, or no /proc. */
async function startTimeOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // A container's init may never collect it.
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '');
}

function running(path: string, pid: number): KkError {
  return new KkError({
    code: 'CONTROLLER_RUNNING',
    message: `Another controller (process ${pid}) works on ${path}.`,
    remedy: 'Use it: every command finds it by itself. To start over, stop that process first.',
  });
}
