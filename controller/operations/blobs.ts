import { KkError } from '../../shared/errors.ts';
import { blobsIn, namesBlob } from '../compile/blobs.ts';
import type { TaskGraph } from '../compile/graph.ts';
import type { Runner } from '../run/runner.ts';
import type { BlobAnswer } from '../server/blob-route.ts';
import type { BlobStore } from '../store/blobs.ts';

/** Files of plans: who may have them, and how long they are kept. */
export interface Blobs {
  /** For a node, by its own shares of runs that have not ended (ENGINE 4.9). */
  forNode(node: string, sha256: string): Promise<BlobAnswer>;
  /** Before a run begins; `isRollback`: one that undoes another. Throws KkError BLOBS_MISSING. */
  check(graph: TaskGraph, isRollback?: boolean): Promise<void>;
  /** Removes what no run that has not ended names, and nobody wanted for a week. */
  sweep(): Promise<void>;
}

export function blobs(store: BlobStore, runner: Runner): Blobs {
  const isNamed = (node: string, sha256: string): boolean =>
    [...runner.active.values()].some(({ graph, indexes }) => {
      const index = indexes.get(node);
      return index !== undefined && namesBlob(graph, index, sha256);
    });
  return {
    async forNode(node, sha256) {
      if (!isNamed(node, sha256)) return { status: 403, refused: notNamed(sha256) };
      return (await store.open(sha256)) ?? { status: 404, refused: gone(sha256) };
    },
    async check(graph, isRollback = false) {
      const missing = await store.missing(neededFirst(graph));
      if (missing.length === 0) return;
      const components = componentsIn(graph, new Set(missing));
      if (components.length > 0) throw notFetched(components);
      throw new KkError({
        code: 'BLOBS_MISSING',
        message: `The controller does not have ${missing.length} of the files that the plan names.`,
        remedy: isRollback
          ? 'Bring them with a dry run of the plan as it was (`kk-controller apply --check plan.yaml`), then roll back again.'
          : 'Apply the plan with `kk-controller apply`, which brings its files.',
        evidence: missing.slice(0, 20).join('\n'),
      });
    },
    async sweep() {
      const graphs = [...runner.active.values()].map(({ graph }) => graph);
      await store.sweep(new Set(graphs.flatMap((graph) => [...blobsIn(graph).keys()])));
    },
  };
}

/** What must be there before the run begins: all but the components that a step of it fetches. */
function neededFirst(graph: TaskGraph): string[] {
  const fetched = graph.tasks.flatMap(({ index, action }) =>
    action === 'blob.fetch' ? Object.values(graph.common.tasks[index]?.blobs ?? {}) : [],
  );
  const later = new Set(fetched.flatMap(({ sha256, size }) => (size === undefined ? [sha256] : [])));
  return [...blobsIn(graph).keys()].filter((sha256) => !later.has(sha256));
}

/** Names of the components whose files are among these, with their architecture. */
function componentsIn({ common }: TaskGraph, digests: ReadonlySet<string>): string[] {
  const named = common.tasks.flatMap(({ blobs = {} }) => Object.entries(blobs));
  const fetched = named.filter(([, { sha256, size }]) => size === undefined && digests.has(sha256));
  return [...new Set(fetched.map(([name]) => name))].sort();
}

/** A choice of tasks may leave out those that fetch. */
function notFetched(components: readonly string[]): KkError {
  return new KkError({
    code: 'COMPONENT_NOT_FETCHED',
    message: `The controller does not have ${components.length} of the components that the plan names, and no task that is chosen fetches them.`,
    remedy: 'Choose the tasks with blob.fetch, too (--tags), or apply the plan once without --tags.',
    evidence: components.join('\n'),
  });
}

function notNamed(sha256: string) {
  return {
    code: 'BLOB_NOT_NAMED',
    message: `No run at work has a task on this node that names the file with sha256 ${sha256.slice(0, 12)}….`,
    remedy: 'Apply the plan again.',
  };
}

/** Removed by hand, or the controller came from a backup, which holds no files of plans. */
function gone(sha256: string) {
  return {
    code: 'BLOB_MISSING',
    message: `The controller has lost the file with sha256 ${sha256.slice(0, 12)}….`,
    remedy: 'Bring it again with the plan: `kk-controller apply --resume last plan.yaml`.',
  };
}
