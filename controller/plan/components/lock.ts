import { stringify } from 'yaml';
import { z } from 'zod';
import { Sha256 } from '../../../shared/blob.ts';
import { toJson } from '../document.ts';
import type { Library } from '../library.ts';
import { lockFile } from '../paths.ts';
import { read } from '../read.ts';

/** sha256 by component, version and architecture. */
export type Lock = Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>;

const LockDocument = z.strictObject({
  components: z.record(z.string(), z.record(z.string(), z.record(z.string(), Sha256))),
});

const ABOUT = `# The sha256 of each file that this plan fetches, as it was when it was fetched first. Keep it with the plan: what comes is
# compared with this, whoever serves it. Written by kk-controller; refreshed by \`kk-controller components --update\`.
`;

/** The lock file of a plan; empty where there is none, or where it is broken (which is told). */
export function readLock(library: Library): Lock {
  const file = lockFile(library.sources.plan);
  const document = library.has(file) ? library.document(file) : undefined;
  if (!document) return {};
  read(LockDocument, document, 'the lock file', library.problems);
  const parsed = LockDocument.safeParse(toJson(document));
  return parsed.success ? parsed.data.components : {};
}

export interface Pin {
  component: string;
  version: string;
  arch: string;
  sha256: string;
}

export function lockedIn(lock: Lock, { component, version, arch }: Omit<Pin, 'sha256'>): string | undefined {
  return lock[component]?.[version]?.[arch];
}

export function withPins(lock: Lock, pins: readonly Pin[]): Lock {
  let result = lock;
  for (const { component, version, arch, sha256 } of pins) {
    const versions = result[component] ?? {};
    result = { ...result, [component]: { ...versions, [version]: { ...versions[version], [arch]: sha256 } } };
  }
  return result;
}

/** The text of a lock file: sorted, so that two of them are compared line by line. */
export function lockText(lock: Lock): string {
  return `${ABOUT}${stringify({ components: sorted(lock) }, { lineWidth: 0 })}`;
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, part]) => [key, sorted(part)]));
}
