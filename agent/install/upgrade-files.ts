/** What a node remembers of its upgrades: the one under way, and how the last one ended. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ErrorReportShape } from '../../shared/error-report.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { isNodeName } from '../../shared/identity.ts';
import { makePrivateFolder, remove, replace } from '../durable/files.ts';
import { releaseName, upgradeId, upgradeLimitMs } from './wish.ts';

const pendingSchema = z.object({
  /** The controller's name for it. */
  id: upgradeId,
  /** Release that asked for it: the one to go back to. */
  from: releaseName,
  to: releaseName,
  /** Of the node. */
  name: z.string().refine(isNodeName),
  /** The new executable, fetched and checked. */
  executable: z.string().startsWith('/'),
  /** From its start to its Welcome, milliseconds. */
  limitMs: upgradeLimitMs,
  /** The guard has decided to go back, for this: whatever happens, the new release is not tried again. */
  returning: ErrorReportShape.optional(),
});
/** The upgrade under way. */
export type PendingUpgrade = Omit<z.infer<typeof pendingSchema>, 'returning'> & { returning?: ErrorReport };

const outcomeSchema = z.object({
  id: z.string(),
  /** Absent: the new release is at work. */
  error: ErrorReportShape.optional(),
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

  async pending(): Promise<PendingUpgrade | undefined> {
    return (await this.#read(PENDING, pendingSchema)) as PendingUpgrade | undefined;
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
