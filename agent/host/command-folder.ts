/**
 * What the runner (in the agent) and the wrapper (a process of its own) tell each other through the command's folder.
 * Only node builtins here and below: the wrapper is started once per command and must start fast.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { claim } from '../durable/files.ts';
import type { ProcessIdentity } from './process-identity.ts';

/** Agent to wrapper; deleted as soon as it was read, since stdin and env may hold secrets. Mode 0600. */
export interface WrapperSpec {
  argv: [string, ...string[]];
  /** What is looked up in PATH before anything starts; argv may begin with setpriv. */
  program: string;
  env: Record<string, string>;
  cwd: string;
  stdin?: string;
  /** Its size in characters and whose it is, if the command runs on one; then there is no stdin. */
  terminal?: { columns: number; rows: number; owner?: { uid: number; gid: number } };
  /** 0: none. */
  timeoutMs: number;
  graceMs: number;
}

/** Who owns the command: the wrapper that runs it, or an agent that found that none did and sees to it that none will. */
export type Started = ({ by: 'wrapper'; bootId: string } & ProcessIdentity) | { by: 'agent' };

export interface StreamStatus {
  /** Written by the command. */
  bytes: number;
  /** Of these, the first so many are in the stream's file. */
  stored: number;
  /** base64 of the last bytes, when they are not all in the file. */
  tail?: string;
}

/** Wrapper to agent: how it ended. */
export interface Status {
  code?: number;
  signal?: string;
  timedOut: boolean;
  cancelled: boolean;
  /** The wrapper was told to end by someone else than the agent: the machine is going down. */
  interrupted: boolean;
  /** The main process ended while others still held its pipes: what they write is not captured. */
  lingering: boolean;
  durationMs: number;
  stdout: StreamStatus;
  stderr: StreamStatus;
  /** There was nothing to run. */
  error?: { code: 'not-found' | 'not-executable' | 'no-folder' | 'no-terminal' | 'spawn'; message: string };
}

/** Agent to wrapper, before {@link CANCEL_SIGNAL}: another grace than the spec's. */
export interface Cancel {
  graceMs: number;
}

/** Names in the folder. `merged` has a line `o|e offset length` per chunk, in the order of arrival. */
export const NAMES = {
  spec: 'spec.json',
  started: 'started',
  child: 'child',
  cancel: 'cancel',
  status: 'status.json',
  merged: 'merged',
} as const;

/** In place of the folder: it is told on stdin, in a line, when there is a command. */
export const LATER = '-';

/** Bytes of head and of tail that are kept in memory. */
export const KEPT = 16 * 1024;

/** TERM is what a machine that goes down sends to everybody, so a cancel by the agent has a signal of its own. */
export const CANCEL_SIGNAL = 'SIGUSR2';

/**
 * undefined: not there, or not whole. Rename and link put whole files there, but what was not synced may have lost its
 * content in a power cut while its name stayed.
 */
export function readJson<T>(folder: string, name: string): T | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, name), 'utf8')) as T;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT' || thrown instanceof SyntaxError) return undefined;
    throw thrown;
  }
}

/** Makes the command ours, whole and exclusively; false: it is taken. */
export function claimCommand(folder: string, started: Started): Promise<boolean> {
  return claim(join(folder, NAMES.started), JSON.stringify(started), 'agent.command.started');
}
