/** A setting that is well written and cannot be meant, with where it stands: keys below `spec.config`, in reading order. */
export interface Contradiction {
  path: readonly string[];
  message: string;
  remedy: string;
}

/** A node as far as settings can contradict it. */
export interface ClusterNode {
  name: string;
  address: string;
  groups: readonly string[];
}

export function contradiction(path: string, message: string, remedy: string): Contradiction {
  return { path: path.split('.'), message, remedy };
}

/** The minor version of Kubernetes: 34 of v1.34.2. */
export function minorOf(version: string): number {
  return Number(/^v1\.(\d+)\./.exec(version)?.[1] ?? Number.NaN);
}
