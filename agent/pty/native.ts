/**
 * The native part of node-pty, which opens a pseudoterminal and starts a program on it. Its JavaScript is left out: that
 * drops what a program wrote last when its reader is slow (200 ms after the exit it closes the terminal), and asks a
 * terminal that takes no input over and over.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { getRawAsset, isSea } from 'node:sea';
import { KkError } from '../../shared/errors.ts';
import { replace } from '../durable/files.ts';

export interface NativePty {
  /** The new session's leader and the master of its terminal, which does not block. `uid` and `gid` -1: as we are. */
  fork(
    file: string,
    args: readonly string[],
    env: readonly string[],
    cwd: string,
    columns: number,
    rows: number,
    uid: number,
    gid: number,
    utf8: boolean,
    helper: string,
    onExit: (code: number, signal: number) => void,
  ): { fd: number; pid: number };
  resize(fd: number, columns: number, rows: number, xPixels: number, yPixels: number): void;
}

/** Name of the asset in the packaged agent. */
const ASSET = 'pty.node';
const require = createRequire(import.meta.url);
let loaded: NativePty | undefined;

/** Loads it the first time it is wanted: most agents never open a terminal. Throws KkError PTY_MISSING. */
export async function nativePty(): Promise<NativePty> {
  try {
    loaded ??= require(isSea() ? await unpacked() : inPackage()) as NativePty;
    return loaded;
  } catch (cause) {
    throw ptyMissing(cause instanceof Error ? cause.message : String(cause));
  }
}

/** The native part does not load, and why. */
export function ptyMissing(evidence: string): KkError {
  return new KkError({
    code: 'PTY_MISSING',
    message: 'This agent cannot open terminals: the native part of node-pty does not load.',
    remedy: `See that ${dirname(process.execPath)} can be written and is not mounted noexec; then install the agent again.`,
    evidence,
  });
}

/** Of the sources: the prebuilt one, which needs glibc 2.28 as Node itself does. */
function inPackage(): string {
  const folder = dirname(require.resolve('node-pty/package.json'));
  return join(folder, 'prebuilds', `${process.platform}-${process.arch}`, ASSET);
}

/** A library can only be loaded from a file: beside the executable, where programs may be run from. */
async function unpacked(): Promise<string> {
  const content = Buffer.from(getRawAsset(ASSET));
  const digest = createHash('sha256').update(content).digest('hex').slice(0, 8);
  const path = join(dirname(process.execPath), `pty-${digest}.node`);
  const there = await readFile(path).catch(() => undefined);
  if (there === undefined || !content.equals(there)) await replace(path, content, 'agent.pty', { mode: 0o755 });
  return path;
}
