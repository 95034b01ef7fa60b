/** What the agent says of itself on its own node: for `kk-agent status`, and for the guard of an upgrade. */
import { writeFile } from 'node:fs/promises';
import type { LinkState } from './link/link.ts';

/** How the link stands, and of which process that is told. Read by other versions of the agent: fields are only added. */
export type AgentStatus = LinkState & { pid: number; executable: string };

/** Losing it costs nothing. */
export async function writeStatus(path: string, state: LinkState): Promise<void> {
  const status: AgentStatus = { ...state, pid: process.pid, executable: process.execPath };
  await writeFile(path, JSON.stringify(status), { mode: 0o600 }).catch(() => {});
}
