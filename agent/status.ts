/** What the agent says of itself on its own node: for `kk-agent status`, and for the guard of an upgrade. */
import { replace } from './durable/files.ts';
import type { LinkState } from './link/link.ts';

/** How the link stands, and of which process that is told. Read by other versions of the agent: fields are only added. */
export type AgentStatus = LinkState & { pid: number; executable: string };

/**
 * Writes each state that it is told, one after the other; the last one stays. The guard's verdict hangs on the file: what
 * was told is whole or is what was told before, also when the disk has no room.
 */
export function statusWriter(path: string): (state: LinkState) => Promise<void> {
  let written: Promise<void> = Promise.resolve();
  return (state) => {
    const status: AgentStatus = { ...state, pid: process.pid, executable: process.execPath };
    written = written.then(() => replace(path, JSON.stringify(status), 'agent.status')).catch(() => {});
    return written;
  };
}
