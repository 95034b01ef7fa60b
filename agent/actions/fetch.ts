import { basename, matchesGlob } from 'node:path';
import type { ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Files } from '../files/files.ts';
import type { ActionContext } from './executor.ts';
import { observing } from './observing.ts';
import { onPath } from './system-errors.ts';
import { Unknown } from './unknown.ts';

type Input = ActionInput<'fetch'>;

/** Files of one task, and as many as its output names. */
const MOST = 10_000;
const NAMED = 100;

/** A regular file, and what it is called from what was asked for on. */
interface Found {
  path: string;
  name: string;
  size: number;
}

const isPattern = (part: string): boolean => /[*?[\]{}]/.test(part);

/** Paths that fit, part by part; what a pattern meets that it may not is left out. */
async function matching(path: string, { host }: ActionContext): Promise<string[]> {
  let found = [''];
  for (const part of path.split('/').filter((one) => one !== '')) {
    if (!isPattern(part)) {
      found = found.map((folder) => `${folder}/${part}`);
      continue;
    }
    const next: string[] = [];
    for (const folder of found) {
      const kind = (await host.files.stat(folder || '/'))?.kind;
      const names = kind === 'directory' ? await host.files.list(folder || '/') : [];
      for (const name of names)
        if (matchesGlob(name, part) && (part.startsWith('.') || !name.startsWith('.'))) next.push(`${folder}/${name}`);
      if (next.length > MOST) throw tooMany(path);
    }
    found = next;
  }
  return found;
}

async function filesAt(input: Input, context: ActionContext): Promise<Found[]> {
  const { host, signal } = context;
  const found: Found[] = [];
  for (const top of await matching(input.path, context)) {
    const isWhole = input.path.endsWith('/');
    const waiting = [{ path: top, name: isWhole ? '' : basename(top) }];
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      signal.throwIfAborted();
      const { path, name } = one;
      const stat = await host.files.stat(path);
      if (stat?.kind === 'file') found.push({ path, name: name || basename(path), size: stat.size });
      if (found.length > MOST) throw tooMany(input.path);
      if (stat?.kind !== 'directory') continue;
      for (const child of await host.files.list(path))
        waiting.push({ path: `${path}/${child}`, name: name === '' ? child : `${name}/${child}` });
    }
  }
  return found;
}

function tooMany(path: string): KkError {
  return new KkError({
    code: 'FETCH_TOO_MANY',
    message: `${path} stands for more than ${MOST} files.`,
    remedy: 'Name fewer, or pack them into an archive on the node and fetch that.',
  });
}

/** Throws FETCH_MISSING, FETCH_TOO_LARGE. */
function judge({ path, missing_ok, max_bytes }: Input, found: readonly Found[]): void {
  if (found.length === 0 && !missing_ok) {
    throw new KkError({
      code: 'FETCH_MISSING',
      message: `There is no file ${path} on this node.`,
      remedy: 'Correct the path, or say missing_ok: true where it may be absent.',
    });
  }
  const bytes = found.reduce((sum, { size }) => sum + size, 0);
  if (bytes <= max_bytes) return;
  throw new KkError({
    code: 'FETCH_TOO_LARGE',
    message: `${path} has ${bytes} bytes in ${found.length} files; max_bytes is ${max_bytes}.`,
    remedy: 'Name less, or raise max_bytes.',
  });
}

export const fetchExecutor = (files: Files) =>
  observing<'fetch'>((input, context) =>
    onPath(input.path, async () => {
      if (context.dryRun) throw new Unknown('a dry run brings nothing to the controller');
      const found = await filesAt(input, context);
      judge(input, found);
      const told: { path: string; sha256: string; bytes: number }[] = [];
      let [bytes, brought] = [0, 0];
      for (const { path, name } of found) {
        const { host, signal, step } = context;
        const digest = await host.files.digest(path, signal);
        if (digest === undefined) continue;
        const { sha256 } = digest;
        const { size } = digest.stat;
        const sending = { file: { ...step, path, name, sha256, size }, read: () => host.files.stream(path), signal };
        if (await files.send(sending)) brought += 1;
        bytes += size;
        if (told.length < NAMED) told.push({ path, sha256, bytes: size });
      }
      return { path: input.path, files: told, count: found.length, bytes, brought };
    }),
  );
