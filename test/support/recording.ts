/** What a real process asked the kernel to do with the files of a folder, in order, as strace saw it. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Media } from './media.ts';

/** A call that was answered without an error, or a line that the process wrote to stdout. */
export type Call =
  | { kind: 'create' | 'remove' | 'sync'; path: string }
  | { kind: 'write'; path: string; at: number; bytes: Buffer }
  | { kind: 'truncate'; path: string; size: number }
  | { kind: 'rename'; path: string; to: string }
  | { kind: 'sync folder' }
  | { kind: 'said'; text: string };

const CALLS = 'openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2';

export function canRecord(): boolean {
  return spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;
}

/** Runs the program to its end, whatever that is, and returns what it did to files in `folder`. */
export function record(folder: string, argv: readonly string[]): Call[] {
  const trace = `${folder}.trace`;
  const { status, signal, stderr } = spawnSync(
    'strace',
    ['-f', '-y', '-xx', '-s', '16777216', '-e', `trace=${CALLS}`, '-e', 'signal=none', '-o', trace, ...argv],
    { encoding: 'utf8' },
  );
  if (status !== 0 && signal !== 'SIGKILL')
    throw new Error(`${argv.join(' ')} ended with ${status ?? signal}:\n${stderr}`);
  const calls = [...whole(readFileSync(trace, 'latin1'))].flatMap((line) => callOf(line, folder) ?? []);
  rmSync(trace);
  return calls;
}

/** Lines with calls that others interrupted put together where they ended. */
function* whole(trace: string): Generator<string> {
  const begun = new Map<string, string>();
  for (const line of trace.split('\n')) {
    const space = line.indexOf(' ');
    const pid = line.slice(0, space);
    const text = line.slice(space).trimStart();
    if (text.endsWith('<unfinished ...>')) {
      begun.set(pid, text.slice(0, -'<unfinished ...>'.length).trimEnd());
      continue;
    }
    const resumed = /^<\.\.\. \S+ resumed>/.exec(text);
    yield resumed ? `${begun.get(pid) ?? ''}${text.slice(resumed[0].length)}` : text;
  }
}

const plain = (hex: string): Buffer => Buffer.from(hex.replaceAll('\\x', ''), 'hex');

function callOf(line: string, folder: string): Call | undefined {
  const shape = /^(\w+)\((.*)\)\s+= (-?\d+)(?:<([^>]*)>)?/s.exec(line);
  if (shape === null || shape[3]?.startsWith('-')) return undefined;
  const [, name = '', args = '', , opened = ''] = shape;
  const file = /^(\d+)<([^>]*)>/.exec(args);
  const path = pathOf(file?.[2] ?? '');
  if (name === 'write' && file?.[1] === '1') return { kind: 'said', text: textsIn(args)[0]?.toString().trim() ?? '' };
  if (name === 'fsync' || name === 'fdatasync') {
    if (path === folder) return { kind: 'sync folder' };
    return isOurs(path, folder) ? { kind: 'sync', path } : undefined;
  }
  if (name === 'openat') {
    const made = pathOf(opened);
    if (!isOurs(made, folder)) return undefined;
    if (args.includes('O_TRUNC')) return { kind: 'truncate', path: made, size: 0 };
    return args.includes('O_CREAT') ? { kind: 'create', path: made } : undefined;
  }
  if (name.startsWith('unlink') || name.startsWith('rename')) {
    const [from, to] = textsIn(args).map(String);
    if (from === undefined || !isOurs(from, folder)) return undefined;
    return to === undefined ? { kind: 'remove', path: from } : { kind: 'rename', path: from, to };
  }
  if (!isOurs(path, folder)) return undefined;
  if (name === 'ftruncate') return { kind: 'truncate', path, size: Number(args.slice(args.lastIndexOf(',') + 1)) };
  if (name !== 'pwrite64') throw new Error(`a write without a place: ${line.slice(0, 100)}`);
  return {
    kind: 'write',
    path,
    at: Number(args.slice(args.lastIndexOf(',') + 1)),
    bytes: textsIn(args)[0] ?? Buffer.alloc(0),
  };
}

/** With -xx paths of descriptors are in hex, too, or as they are. */
function pathOf(text: string): string {
  return text.startsWith('\\x') ? plain(text).toString() : text;
}

/** The arguments that are strings. */
function textsIn(args: string): Buffer[] {
  return [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) => plain(hex));
}

/** SQLite's shared memory is no part of what survives: it is made anew after a power cut. */
function isOurs(path: string, folder: string): boolean {
  return dirname(path) === folder && !path.endsWith('-shm');
}

/** The same on simulated media. */
export function replay(media: Media, call: Call): void {
  if (call.kind === 'said') return;
  if (call.kind === 'sync folder') {
    media.syncNames();
    return;
  }
  const path = join('/', basename(call.path));
  const file = media.file(path);
  if (call.kind === 'create') {
    if (!file) media.create(path);
  } else if (call.kind === 'remove') media.remove(path);
  else if (call.kind === 'rename') media.rename(path, call.to);
  else if (call.kind === 'sync') file?.sync();
  else if (call.kind === 'truncate') file?.truncate(call.size);
  else if (call.kind === 'write') file?.write(call.at, call.bytes);
}
