/** The agent's state folder: one agent at a time, of this version or an older one. */
import { readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KkError } from '../shared/errors.ts';
import { claim, makePrivateFolder, takeAway } from './durable/files.ts';
import { lives, type ProcessIdentity, startTicks } from './host/process-identity.ts';

/** What lies where in it. */
export interface StatePaths {
  root: string;
  identity: string;
  journal: string;
  blobs: string;
  /** The cache of files that plans bring and downloads. */
  files: string;
  runs: string;
  /** What a rollback restores. */
  undo: string;
  /** How the link stands, for `kk-agent status`. */
  status: string;
  lock: string;
  /** An upgrade under way, and how the last one went. */
  upgrade: string;
  /** What became of the last renewal of kubeadm's certificates. */
  certs: string;
}

export function statePaths(root: string): StatePaths {
  return {
    root,
    identity: join(root, 'identity'),
    journal: join(root, 'journal.log'),
    blobs: join(root, 'blobs'),
    files: join(root, 'files'),
    runs: join(root, 'runs'),
    undo: join(root, 'undo'),
    status: join(root, 'status.json'),
    lock: join(root, 'lock'),
    upgrade: join(root, 'upgrade'),
    certs: join(root, 'certs.json'),
  };
}

/**
 * Makes the folder if needed and takes its lock for this process; the answer gives it back. A lock whose process is gone
 * (killed, or of another boot) is taken over. Throws KkError STATE_IN_USE, STATE_NOT_WRITABLE.
 */
export async function lockState(paths: StatePaths, bootId: string): Promise<() => Promise<void>> {
  const own = JSON.stringify({ pid: process.pid, startTicks: startTicks(process.pid), bootId });
  try {
    await makePrivateFolder(paths.root);
    await makePrivateFolder(paths.runs);
    while (!(await claim(paths.lock, own, 'agent.lock'))) {
      const text = await readFile(paths.lock, 'utf8').catch(() => undefined);
      const holder = text === undefined ? undefined : holderIn(text, bootId);
      if (holder !== undefined) throw inUse(paths.root, holder.pid);
      if (text !== undefined) await takeAway(paths.lock, text, 'agent.lock.stale');
    }
    return () => rm(paths.lock, { force: true });
  } catch (thrown) {
    if (thrown instanceof KkError) throw thrown;
    throw notWritable(paths.root, thrown);
  }
}

/** The living process that holds the lock; undefined: nobody does. */
export function holderOf(lock: string, bootId: string): ProcessIdentity | undefined {
  try {
    return holderIn(readFileSync(lock, 'utf8'), bootId);
  } catch {
    return undefined;
  }
}

function holderIn(text: string, bootId: string): ProcessIdentity | undefined {
  try {
    const held = JSON.parse(text) as ProcessIdentity & { bootId: string };
    return held.bootId === bootId && lives(held) ? held : undefined;
  } catch {
    return undefined;
  }
}

function inUse(root: string, pid: number): KkError {
  return new KkError({
    code: 'STATE_IN_USE',
    message: `Another kk-agent (process ${pid}) works with the state folder ${root}.`,
    remedy: 'Stop it first (systemctl stop kk-agent), or give this one a folder of its own with --state.',
  });
}

function notWritable(root: string, cause: unknown): KkError {
  return new KkError({
    code: 'STATE_NOT_WRITABLE',
    message: `The state folder ${root} cannot be written (${cause instanceof Error ? cause.message : String(cause)}).`,
    remedy: 'Run kk-agent as root, or name another folder with --state; check with df and mount that there is room.',
    cause,
  });
}
