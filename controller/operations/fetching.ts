import { isAbsolute, join } from 'node:path';
import { ACTIONS } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Piece, PieceAnswer } from '../../shared/fetched.ts';
import { hasEnded } from '../../shared/lifecycle.ts';
import type { Runner } from '../run/runner.ts';
import { stepState } from '../run/state.ts';
import type { Fetched } from '../store/fetched.ts';

/** Files of one task on one node; the agent keeps to as many. */
const MOST_FILES = 10_000;

/** What the plan says of a fetch; what a node says of it counts for nothing. */
const Wanted = ACTIONS.fetch.input.pick({ dest: true, layout: true, max_bytes: true }).strip();

/**
 * Takes in what a node brings for a fetch of its own that has not ended: below the folder that the plan names, and no more than
 * it allows. Throws KkError FETCH_NOT_ASKED, FETCH_TOO_LARGE, FETCH_PATH, and what the store throws.
 */
export function fetching(
  runner: Runner,
  store: Fetched,
  stateFolder: string,
): (node: string, piece: Piece, bytes: Uint8Array) => Promise<PieceAnswer> {
  /** By run, task and node: the bytes of each file that it brings, and of all of them. */
  const brought = new Map<string, { files: Map<string, number>; bytes: number }>();
  return async (node, { run: id, task, path, name, sha256, size, offset }, bytes) => {
    const run = runner.active.get(id);
    const index = run?.indexes.get(node);
    const spec = run?.graph.common.tasks[task];
    const state = run === undefined || index === undefined ? undefined : stepState(run.state, task, index);
    if (spec?.action !== 'fetch' || state === undefined || hasEnded(state)) throw notAsked(node);
    const wanted = Wanted.parse(spec.inputs);
    if (size > wanted.max_bytes) throw tooLarge(path, size, wanted.max_bytes);
    const inside = wanted.layout === 'tree' ? path : name;
    const parts = inside.split('/').filter((part) => part !== '' && part !== '.');
    if (parts.length === 0 || parts.includes('..') || inside.includes('\0') || !path.endsWith(name)) throw odd(path);
    const dest = isAbsolute(wanted.dest) ? wanted.dest : join(stateFolder, 'fetched', wanted.dest);
    const place = join(dest, ...(wanted.layout === 'flat' ? [] : [node]), ...parts);
    for (const key of brought.keys()) if (!runner.active.has(key.slice(0, key.indexOf(' ')))) brought.delete(key);
    const key = `${id} ${task} ${node}`;
    const so = brought.get(key) ?? { files: new Map<string, number>(), bytes: 0 };
    brought.set(key, so);
    if (!so.files.has(place) && so.files.size >= MOST_FILES) throw tooMany(node);
    const all = so.bytes + size - (so.files.get(place) ?? 0);
    if (all > wanted.max_bytes) throw tooLarge(`What ${node} brings, with ${path},`, all, wanted.max_bytes);
    so.files.set(place, size);
    so.bytes = all;
    return store.take({ path: place, sha256, size, offset, bytes });
  };
}

function notAsked(node: string): KkError {
  return new KkError({
    code: 'FETCH_NOT_ASKED',
    message: `No task at work on ${node} fetches that.`,
    remedy: 'Apply the plan again.',
  });
}

function tooMany(node: string): KkError {
  return new KkError({
    code: 'FETCH_TOO_MANY',
    message: `${node} brings more than ${MOST_FILES} files for one task.`,
    remedy: 'Name fewer, or pack them into an archive on the node and fetch that.',
  });
}

function tooLarge(path: string, size: number, limit: number): KkError {
  return new KkError({
    code: 'FETCH_TOO_LARGE',
    message: `${path} has ${size} bytes; max_bytes is ${limit}.`,
    remedy: 'Name less, or raise max_bytes.',
  });
}

function odd(path: string): KkError {
  return new KkError({
    code: 'FETCH_PATH',
    message: `${JSON.stringify(path.slice(0, 200))} is no path that a file can be kept under.`,
    remedy: 'Update kk-agent.',
  });
}
