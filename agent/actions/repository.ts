import { dirname } from 'node:path';
import { z } from 'zod';
import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { FileStat } from '../host/host.ts';
import { ABSENT } from '../undo/image.ts';
import type { Attributes } from './attributes.ts';
import { presentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { inTurn } from './in-turn.ts';
import { packageManagerOf } from './packages/index.ts';
import type { PackageManager } from './packages/manager.ts';
import { fingerprintsOf, isArmored } from './packages/openpgp.ts';
import { aptLists, DIALECTS, readSources } from './packages/repository-file.ts';
import { followPrograms, runPrograms } from './packages/transaction.ts';
import { carryOutFile, type FilePlan, onlyRegular, planFile } from './regular-file.ts';
import { removeLists } from './resources/package-lists.ts';
import { PACKAGES } from './resources/packages.ts';
import { onPath } from './system-errors.ts';
import { Unknown } from './unknown.ts';

type Input = ActionInput<'repository'>;
type Output = ActionOutput<'repository'>;

/** A file of the repository; `remove`: it is to be gone. */
interface Part {
  path: string;
  before: { stat: FileStat; content: Buffer } | undefined;
  plan: FilePlan | { todo: 'remove'; diffs: Diff[] };
}

/** How a file was, to be taken back to. */
const Before = z.strictObject({
  path: z.string(),
  /** Base64; absent: there was none. */
  content: z.string().optional(),
  mode: z.int().optional(),
  uid: z.int().optional(),
  gid: z.int().optional(),
});
type Before = z.infer<typeof Before>;

/** The files of a repository that has not answered yet are on the disk: it is not done, whatever they say. */
const Owed = z.strictObject({ before: z.array(Before) });

interface Plan {
  path: string;
  parts: Part[];
  fingerprints: string[];
  /** How the names begin of what apt knows of it, or will. */
  lists: string[];
}

async function keyOf(input: Input, context: ActionContext): Promise<Buffer | undefined> {
  if (input.key !== undefined) return Buffer.from(input.key);
  if (input.key_file === undefined) return undefined;
  const bytes = await context.host.files.read(input.key_file);
  if (bytes !== undefined) return bytes;
  if (context.dryRun === true) throw new Unknown(`${input.key_file} is not on the node yet`);
  throw new KkError({
    code: 'REPOSITORY_KEY_MISSING',
    message: `There is no ${input.key_file} with the key of the repository ${input.name}.`,
    remedy: 'Bring the key to the node in an earlier task, or write it in the task itself (key).',
  });
}

/** Throws REPOSITORY_KEY_INVALID, REPOSITORY_KEY_DIFFERS. */
function checkedFingerprints({ name, fingerprints }: Input, key: Buffer | undefined): string[] {
  if (key === undefined) return [];
  const found = fingerprintsOf(key);
  if (found.length === 0) {
    throw new KkError({
      code: 'REPOSITORY_KEY_INVALID',
      message: `What is given as the key of the repository ${name} holds no OpenPGP public key.`,
      remedy: 'Give the whole key, from -----BEGIN PGP PUBLIC KEY BLOCK----- to its END, or its binary form in a file.',
    });
  }
  const others = found.filter((one) => fingerprints?.includes(one) === false);
  const missing = (fingerprints ?? []).filter((one) => !found.includes(one));
  if (others.length + missing.length === 0) return found;
  throw new KkError({
    code: 'REPOSITORY_KEY_DIFFERS',
    message: `The key of the repository ${name} is ${found.join(', ')}, and not ${fingerprints?.join(', ')}.`,
    remedy:
      'Find out from the maker of the repository which key is its own; correct the fingerprints only if it is this one.',
  });
}

/** `root`: what /etc and /var are below. */
export function repositoryExecutor(root: string, stateFolder: string): ActionExecutor<'repository'> {
  const owedPath = ({ name }: Input): string => `${stateFolder}/repositories/${name}.json`;

  /** What an agent that was ended before the repository had answered found there; undefined: nothing is owed. */
  async function owedOf(input: Input, { host }: ActionContext): Promise<Before[] | undefined> {
    const bytes = await host.files.read(owedPath(input));
    if (bytes === undefined) return undefined;
    try {
      return Owed.parse(JSON.parse(bytes.toString('utf8'))).before;
    } catch {
      // Of another version: that it is owed is known, and nothing to take back to.
      return [];
    }
  }

  /** From now on it is owed, with how its files were at first. */
  async function owe(input: Input, before: Before[], { host }: ActionContext): Promise<void> {
    await host.files.makeDirectory(dirname(owedPath(input)), { mode: 0o700 });
    await host.files.writeAtomic(owedPath(input), Buffer.from(JSON.stringify({ before })), { mode: 0o600 });
  }

  async function partOf(path: string, content: Buffer | undefined, { host }: ActionContext): Promise<Part[]> {
    const stat = await host.files.stat(path);
    onlyRegular(path, stat);
    const present = stat && (await host.files.whole(path));
    if (content !== undefined) return [{ path, before: present, plan: planFile(path, present, content, {}) }];
    if (present === undefined) return [];
    return [
      {
        path,
        before: present,
        plan: { todo: 'remove', diffs: [presentDiff(path, present.stat.mode, present.content, undefined)] },
      },
    ];
  }

  async function planOf(input: Input, manager: PackageManager, context: ActionContext): Promise<Plan> {
    const dialect = DIALECTS[manager.kind];
    const path = root + dialect.file(input.name);
    const key = await keyOf(input, context);
    const fingerprints = checkedFingerprints(input, key);
    const keyPath = key && dialect.key(input.name, isArmored(key));
    const present = (await context.host.files.read(path))?.toString('utf8') ?? '';
    const text = input.state === 'present' ? Buffer.from(dialect.text(input, keyPath)) : undefined;
    const keys = new Set([true, false].map((armored) => dialect.key(input.name, armored)));
    const parts: Part[] = [];
    // The key first: a repository without it is refused. When it goes, last.
    for (const one of keys) parts.push(...(await partOf(root + one, one === keyPath ? key : undefined, context)));
    parts.splice(text === undefined ? 0 : parts.length, 0, ...(await partOf(path, text, context)));
    const lists = manager.kind === 'apt' ? [...new Set([...aptLists(readSources(present)), ...aptLists(input)])] : [];
    return { path, parts, fingerprints, lists };
  }

  const isDone = ({ parts }: Plan): boolean => parts.every(({ plan }) => plan.todo === 'nothing');
  const diffsOf = ({ parts }: Plan): Diff[] => parts.flatMap(({ plan }) => (plan.todo === 'nothing' ? [] : plan.diffs));
  const outputOf = ({ path, fingerprints }: Plan, refreshed: boolean): Output => ({ path, fingerprints, refreshed });

  async function carryOut({ path, plan }: Part, context: ActionContext): Promise<void> {
    const { files } = context.host;
    if (plan.todo === 'remove') {
      await context.remember({ kind: 'file', id: path }, ABSENT);
      await files.remove(path);
      return;
    }
    if (plan.todo === 'write' && (await files.stat(dirname(path))) === undefined) {
      await context.remember({ kind: 'directory', id: dirname(path) }, { state: 'directory', mode: 0o755 });
      await files.makeDirectory(dirname(path), { mode: 0o755 });
    }
    await carryOutFile(path, plan, context);
  }

  /** What a repository that cannot be used must not leave: the package manager would ask it at every turn. */
  async function takeBack(all: readonly Before[], { files }: ActionContext['host']): Promise<void> {
    for (const { path, content, ...attributes } of all.toReversed()) {
      if (content === undefined) await files.remove(path);
      else await files.writeAtomic(path, Buffer.from(content, 'base64'), attributes as Attributes);
    }
  }

  async function work(input: Input, context: ActionContext) {
    const { host, signal, folder, log, timeoutMs } = context;
    if (context.recovering !== undefined) await followPrograms(context, context.recovering.bootId);
    const manager = await packageManagerOf(host, root, signal);
    const plan = await planOf(input, manager, context);
    const refreshes = input.state === 'present' && input.enabled;
    const before = beforeOf(plan, await owedOf(input, context));
    for (const prefix of plan.lists) await context.remember({ kind: 'package_lists', id: prefix }, { state: 'lists' });
    if (refreshes) await owe(input, before, context);
    for (const part of plan.parts) await carryOut(part, context);
    const askedAtMs = await manager.askedAtMs();
    if (refreshes) {
      try {
        await runPrograms([DIALECTS[manager.kind].refresh(input.name, plan.path)], {
          ...{ host, signal, folder, log, timeoutMs },
          starting: () => context.starting(),
          env: {},
          lockWaitMs: input.lock_wait_seconds * 1000,
        });
      } catch (thrown) {
        await takeBack(before, host);
        await host.files.remove(owedPath(input));
        throw thrown;
      } finally {
        // Only this one was asked, and none of the others.
        await manager.setAskedAt(askedAtMs ?? 0);
      }
    } else for (const prefix of plan.lists) await removeLists(host, root, prefix);
    await host.files.remove(owedPath(input));
    return { output: outputOf(plan, refreshes), changed: !isDone(plan), diffs: diffsOf(plan) };
  }

  return {
    async inspect(input, context) {
      const manager = await packageManagerOf(context.host, root, context.signal);
      const plan = await onPath(input.name, () => planOf(input, manager, context));
      // An agent that was ended in the middle may not have asked it yet; nobody is owed one that is not to be asked.
      const isOwed = input.state === 'present' && input.enabled && (await owedOf(input, context)) !== undefined;
      if (isDone(plan) && !isOwed && context.recovering === undefined)
        return { already: true, output: outputOf(plan, false) };
      return { already: false, diffs: diffsOf(plan), foreseen: outputOf(plan, true) };
    },

    apply: (input, context) =>
      inTurn(context.host.files, PACKAGES, () => onPath(input.name, () => work(input, context))),
  };
}

/** How the files are that the plan changes; of those that an earlier try has changed, how they were before it. */
function beforeOf({ parts }: Plan, owed: readonly Before[] = []): Before[] {
  const known = new Set(owed.map(({ path }) => path));
  const changed = parts.filter(({ path, plan }) => plan.todo !== 'nothing' && !known.has(path));
  return [
    ...owed,
    ...changed.map(({ path, before }) =>
      before === undefined
        ? { path }
        : { path, content: before.content.toString('base64'), ...attributesOf(before.stat) },
    ),
  ];
}

function attributesOf({ mode, uid, gid }: FileStat): Required<Attributes> {
  return { mode, uid, gid };
}
