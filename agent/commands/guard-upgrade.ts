import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { KkError } from '../../shared/errors.ts';
import { VERSION } from '../config/version.ts';
import { bootId } from '../host/boot-id.ts';
import { createHost } from '../host/index.ts';
import { guardUpgrade, type PresentAgent } from '../install/guard.ts';
import { LAYOUT } from '../install/layout.ts';
import { packagedUnits } from '../install/units.ts';
import { UpgradeFiles } from '../install/upgrade-files.ts';
import { holderOf, type StatePaths, statePaths } from '../state-folder.ts';
import type { AgentStatus } from '../status.ts';

/** What kk-agent-upgrade.service does. Throws KkError what guardUpgrade throws; and the error of an upgrade that went back. */
export async function guard({
  state,
  wrapper,
}: {
  state: string;
  wrapper: readonly [string, ...string[]];
}): Promise<void> {
  const paths = statePaths(state);
  const boot = await bootId();
  const outcome = await guardUpgrade({
    files: new UpgradeFiles(paths.upgrade),
    layout: LAYOUT,
    host: createHost({ wrapper: { argv: wrapper } }),
    version: VERSION,
    executable: process.execPath,
    units: packagedUnits(),
    agent: () => presentAgent(paths, boot),
    sleep: (ms) => setTimeout(ms),
  });
  if (outcome === 'done') process.stdout.write('the new agent is at work\n');
  else if (outcome !== undefined)
    process.stdout.write(`the agent of before is back: ${new KkError(outcome).message}\n`);
}

/** By the lock, which only a living agent holds, and what that very process wrote of itself. */
async function presentAgent(paths: StatePaths, boot: string): Promise<PresentAgent | undefined> {
  const holder = holderOf(paths.lock, boot);
  if (holder === undefined) return undefined;
  try {
    const status = JSON.parse(await readFile(paths.status, 'utf8')) as Partial<AgentStatus>;
    if (status.pid !== holder.pid || status.executable === undefined) return undefined;
    return { pid: holder.pid, executable: status.executable, isConnected: status.state === 'connected' };
  } catch {
    return undefined;
  }
}
