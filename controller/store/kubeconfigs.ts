import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { replace } from '../durable/files.ts';

/** Of a run that keeps or undoes a kubeconfig: which, and by which task. */
export interface Keeping {
  run: string;
  /** The task's key. */
  task: string;
}

/** Kubeconfigs of clusters, each the owner's alone, with what was there before a run changed it. */
export interface Kubeconfigs {
  /** True: it was another one, or none. */
  keep(name: string, content: string, by: Keeping): Promise<boolean>;
  /** Is it there, and the same? */
  isKept(name: string, content: string): Promise<boolean>;
  /** Brings back what was there before. Throws KkError UNDO_CONFLICT when it has been changed since (ENGINE 3.8). */
  restore(by: Keeping): Promise<{ restored: string[]; left: string[] }>;
  names(): Promise<string[]>;
  /** Throws KkError KUBECONFIG_UNKNOWN. */
  read(name: string): Promise<string>;
}

/** What lay there before a task of a run. */
const Before = z.strictObject({
  name: z.string(),
  task: z.string(),
  /** Null: nothing. */
  content: z.string().nullable(),
  /** Of what was put in its place. */
  sha256: z.string(),
});

const ENDING = '.yaml';

export function kubeconfigs(folder: string): Kubeconfigs {
  const images = join(folder, 'before');
  const pathOf = (name: string): string => join(folder, `${name}${ENDING}`);
  const imageOf = (run: string, name: string): string => join(images, `${run}.${name}.json`);
  const write = async (path: string, content: string): Promise<void> => {
    await mkdir(images, { recursive: true, mode: 0o700 });
    await replace(path, content, 0o600, 'controller.kubeconfig');
  };
  const names = async (): Promise<string[]> =>
    (await filesIn(folder)).filter((file) => file.endsWith(ENDING)).map((file) => file.slice(0, -ENDING.length));

  return {
    async keep(name, content, { run, task }) {
      const present = await readThere(pathOf(name));
      if (present === content) return false;
      const known = await beforeIn(imageOf(run, name));
      const before = known === undefined ? (present ?? null) : known.content;
      await write(imageOf(run, name), JSON.stringify({ name, task, content: before, sha256: sha256Of(content) }));
      await write(pathOf(name), content);
      return true;
    },
    isKept: async (name, content) => (await readThere(pathOf(name))) === content,
    async restore({ run, task }) {
      const done: { restored: string[]; left: string[] } = { restored: [], left: [] };
      for (const file of (await filesIn(images)).filter((one) => one.startsWith(`${run}.`))) {
        const image = join(images, file);
        const before = await beforeIn(image);
        if (before?.task !== task) continue;
        const present = await readThere(pathOf(before.name));
        const isBack = present === (before.content ?? undefined);
        if (!isBack && (present === undefined || sha256Of(present) !== before.sha256)) {
          throw undoConflict(before.name);
        }
        if (before.content === null) await rm(pathOf(before.name), { force: true });
        else if (!isBack) await write(pathOf(before.name), before.content);
        await rm(image, { force: true });
        done.restored.push(`the kubeconfig of ${before.name}`);
      }
      return done;
    },
    names,
    async read(name) {
      const there = await names();
      const content = there.includes(name) ? await readThere(pathOf(name)) : undefined;
      if (content !== undefined) return content;
      throw new KkError({
        code: 'KUBECONFIG_UNKNOWN',
        message: `There is no kubeconfig of a cluster "${name}".`,
        remedy:
          there.length > 0
            ? `There are those of: ${there.join(', ')}.`
            : 'A plan that installs a cluster keeps one: see `kk-controller runs`.',
      });
    },
  };
}

function undoConflict(name: string): KkError {
  return new KkError({
    code: 'UNDO_CONFLICT',
    message: `The kubeconfig of ${name} was changed after the run, so it is not brought back.`,
    remedy: 'See which run keeps it now; roll that one back first, or leave it as it is with `kk-controller skip`.',
  });
}

async function filesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return [];
    throw thrown;
  }
}

async function readThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw thrown;
  }
}

async function beforeIn(path: string): Promise<z.infer<typeof Before> | undefined> {
  const text = await readThere(path);
  return text === undefined ? undefined : Before.parse(JSON.parse(text));
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
