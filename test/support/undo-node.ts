import { join } from 'node:path';
import type { ActionContext, ActionExecutor } from '../../agent/actions/executor.ts';
import { createExecutors, createResourceKinds } from '../../agent/actions/index.ts';
import { systemdExecutor } from '../../agent/actions/systemd.ts';
import { timerExecutor } from '../../agent/actions/timer.ts';
import type { Files } from '../../agent/files/files.ts';
import type { Host } from '../../agent/host/host.ts';
import { type Limits, UndoStore } from '../../agent/undo/store.ts';
import { ACTIONS, type ActionInput, type ActionKind, type ActionOutput } from '../../shared/actions/index.ts';
import type { BlobRef } from '../../shared/blob.ts';
import { type ErrorReport, reportOf } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import { contextWith, realHost } from './real-host.ts';

/**
 * A node's actions on a real disk, each change remembered as a step of a run does it. The kernel's files are those below
 * `root` in its folder, and never this machine's own.
 */
export class Node {
  readonly state: string;
  /** What actions bring from elsewhere. */
  files: Files = {} as never;
  /** What the task's `src` may name. */
  blobs: Record<string, BlobRef> = {};
  /** Set: what it does was begun by a former life of the agent. */
  recovering: { bootId: string } | undefined;
  store: UndoStore;
  readonly #host: Host;
  readonly #units: string;
  readonly #root: string;
  readonly #limits: Limits | undefined;
  /** What could not be kept, as people are told. */
  readonly told: string[] = [];

  constructor(dir: string, host = realHost(), limits?: Limits) {
    this.state = join(dir, 'state');
    this.#units = join(dir, 'units');
    this.#root = join(dir, 'root');
    this.#host = host;
    this.#limits = limits;
    this.store = this.#open();
  }

  #open(): UndoStore {
    const kinds = createResourceKinds(this.state, this.#units, this.#root);
    const limits = this.#limits === undefined ? {} : { limits: this.#limits };
    return new UndoStore({ folder: join(this.state, 'undo'), kinds, host: this.#host, ...limits });
  }

  /** The agent ends and starts again. */
  restart(): void {
    this.store = this.#open();
  }

  async do<K extends ActionKind>(
    run: string,
    kind: K,
    input: unknown,
    task: string = kind,
    item = 0,
  ): Promise<{ changed: boolean; output: ActionOutput<K>; diffs: Diff[] }> {
    const gather = { facts: async () => ({}) as never, forRule: async () => ({ facts: null }) };
    const all = createExecutors({
      stateFolder: this.state,
      scripts: `${this.state}/scripts`,
      undo: this.store,
      files: this.files,
      gather,
      root: this.#root,
    });
    const units = { systemd: systemdExecutor(this.state, this.#units), timer: timerExecutor(this.state, this.#units) };
    const executors = { ...all, ...units };
    const executor = executors[kind] as unknown as ActionExecutor<K>;
    const parsed = ACTIONS[kind].input.parse(input) as ActionInput<K>;
    const context: ActionContext = contextWith(this.#host, join(this.state, 'attempt'), {
      blobs: this.blobs,
      ...(this.recovering === undefined ? {} : { recovering: this.recovering }),
      remember: async (resource, after) => {
        const why = await this.store.remember({ run, task, item }, resource, after);
        if (why !== undefined) this.told.push(why);
      },
    });
    const inspected = await executor.inspect(parsed, context);
    if (inspected.already) return { changed: false, output: inspected.output, diffs: [] };
    const { changed = true, output, diffs = [] } = await executor.apply(parsed, context);
    return { changed, output, diffs };
  }

  undo(run: string, task: string): Promise<{ changed: boolean; output: ActionOutput<'undo'>; diffs: Diff[] }> {
    return this.do('rollback', 'undo', { run, task });
  }
}

/** The error that a person sees. */
export async function failure(work: Promise<unknown>): Promise<ErrorReport | undefined> {
  return work.then(() => undefined, reportOf);
}
