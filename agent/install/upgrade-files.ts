/** What a node remembers of its upgrades: the one under way, and how the last one ended. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ErrorReport } from '../../shared/errors.ts';
import { makePrivateFolder, remove, replace } from '../durable/files.ts';

const pendingSchema = z.object({
  /** The controller's name for it. */
  id: z.string(),
  /** Release that asked for it: the one to go back to. */
  from: z.string(),
  to: z.string(),
  /** Of the node. */
  name: z.string(),
  /** The new executable, fetched and checked. */
  executable: z.string(),
  /** From its start to its Welcome, milliseconds. */
  limitMs: z.number(),
});
export type PendingUpgrade = z.infer<typeof pendingSchema>;

const outcomeSchema = z.object({
  id: z.string(),
  /** Absent: the new release is at work. */
  error: z
    .object({ code: z.string(), message: z.string(), remedy: z.string(), evidence: z.string().optional() })
    .optional(),
});
/** How an upgrade ended; with an error the release of before is back. */
export interface UpgradeOutcome {
  id: string;
  error?: ErrorReport;
}

/** kk-agent-upgrade.service looks for this name: it is part of the layout. */
const PENDING = 'pending.json';
const OUTCOME = 'outcome.json';

/** Two files in a folder of the state folder; a file that cannot be read is none. */
export class UpgradeFiles {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  pending(): Promise<PendingUpgrade | undefined> {
    return this.#read(PENDING, pendingSchema);
  }

  async begin(pending: PendingUpgrade): Promise<void> {
    await makePrivateFolder(this.folder);
    await replace(join(this.folder, PENDING), JSON.stringify(pending), 'agent.upgrade.pending');
  }

  /** It did not come to anything. */
  async cancel(): Promise<void> {
    await makePrivateFolder(this.folder);
    await remove(join(this.folder, PENDING), 'agent.upgrade.settled');
  }

  async outcome(): Promise<UpgradeOutcome | undefined> {
    return (await this.#read(OUTCOME, outcomeSchema)) as UpgradeOutcome | undefined;
  }

  /** The upgrade is over; said before it is forgotten that it was under way. */
  async end(outcome: UpgradeOutcome): Promise<void> {
    await replace(join(this.folder, OUTCOME), JSON.stringify(outcome), 'agent.upgrade.outcome');
    await this.cancel();
  }

  async #read<S extends z.ZodType>(name: string, schema: S): Promise<z.output<S> | undefined> {
    try {
      return schema.parse(JSON.parse(await readFile(join(this.folder, name), 'utf8')));
    } catch {
      return undefined;
    }
  }
}
