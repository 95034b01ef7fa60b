import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Host } from '../host/host.ts';

/** What a unit was started with, as digests (ENGINE 3.5). */
export interface Stamp {
  /** The unit's own files. */
  unit: string;
  inputs: string;
  /** What the inputs are; an older agent did not write it down. */
  paths?: readonly string[];
}

/** The stamp of what is there now, and when the newest of it was written (wall clock; 0: nothing is there). */
export interface Present extends Stamp {
  newestMs: number;
}

/** A folder of inputs deeper than this is not one that a unit reads as its configuration. */
const DEPTH = 8;

async function digestOf(host: Host, paths: readonly string[]): Promise<{ digest: string; newestMs: number }> {
  const hash = createHash('sha256');
  let newestMs = 0;

  async function take(path: string, depth: number): Promise<void> {
    const link = await host.files.stat(path);
    const present = link?.kind === 'symlink' ? ((await host.files.stat(`${path}/.`)) ?? link) : link;
    newestMs = Math.max(newestMs, link?.mtimeMs ?? 0, present?.mtimeMs ?? 0);
    if (present?.kind === 'directory' && depth < DEPTH) {
      hash.update(`directory ${path}\0`);
      for (const name of await host.files.list(path)) await take(join(path, name), depth + 1);
      return;
    }
    const content = present === undefined || present.kind === 'other' ? undefined : await host.files.read(path);
    const said = content === undefined ? 'absent' : createHash('sha256').update(content).digest('hex');
    hash.update(`file ${path} ${said}\0`);
  }

  for (const path of paths) await take(path, 0);
  return { digest: hash.digest('hex'), newestMs };
}

/** Digests of the files of a unit and of its inputs, as they are now. */
export async function presentStamp(
  host: Host,
  unitFiles: readonly string[],
  inputs: readonly string[],
): Promise<Present> {
  const unit = await digestOf(host, unitFiles);
  const rest = await digestOf(host, inputs);
  return { unit: unit.digest, inputs: rest.digest, paths: inputs, newestMs: Math.max(unit.newestMs, rest.newestMs) };
}

/** Stamps below the agent's state folder: one small file per unit. */
export interface Stamps {
  read(host: Host, unit: string): Promise<Stamp | undefined>;
  write(host: Host, unit: string, stamp: Stamp): Promise<void>;
  remove(host: Host, unit: string): Promise<void>;
}

export function stampsIn(stateFolder: string): Stamps {
  const folder = join(stateFolder, 'systemd');
  // Names of units hold no slash (the contract's pattern), so they are safe as names of files.
  const fileOf = (unit: string) => join(folder, `${unit}.json`);
  return {
    async read(host, unit) {
      const text = await host.files.read(fileOf(unit));
      if (text === undefined) return undefined;
      return JSON.parse(text.toString('utf8')) as Stamp;
    },
    async write(host, unit, { unit: file, inputs, paths }) {
      await host.files.makeDirectory(folder, { mode: 0o700 });
      await host.files.writeAtomic(fileOf(unit), Buffer.from(JSON.stringify({ unit: file, inputs, paths })), {
        mode: 0o600,
      });
    },
    remove: (host, unit) => host.files.remove(fileOf(unit)),
  };
}
