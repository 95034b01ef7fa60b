import type { Hello } from '../../shared/protocol/messages.ts';
import { duplicateIdentity, judgeDuplicate, type Machine } from '../pki/judge-duplicate.ts';
import type { Clock } from '../run/ports.ts';
import type { NodeRecord, Nodes } from '../store/nodes.ts';

/** Boot ids remembered per node: enough to see an old one return. */
const BOOTS_KEPT = 20;

/** Who arrives: clones are told apart, journals continued. Remembers why a node is held, for `nodes`. */
export class Arrivals {
  readonly held = new Map<string, string>();
  private readonly nodes: Nodes;
  private readonly clock: Clock;
  private readonly onDuplicate: (node: string, error: Error) => void;

  constructor(parts: { nodes: Nodes; clock: Clock; onDuplicate: (node: string, error: Error) => void }) {
    this.nodes = parts.nodes;
    this.clock = parts.clock;
    this.onDuplicate = parts.onDuplicate;
  }

  /**
   * Takes note of a Hello and answers how far the agent's journal is stored. A journal we do not know starts at 0; one that
   * ends before what was stored (a disk set back) goes on from where it ends. Throws KkError DUPLICATE_IDENTITY.
   */
  async arrived(
    node: string,
    hello: Hello,
    certificateEndsMs: number,
    live: Machine | undefined,
  ): Promise<{ acked: number }> {
    const { record, cursor } = await this.nodes.get(node);
    const machine = { machineId: hello.machine_id, bootId: hello.boot_id };
    const boots = record?.machineId === hello.machine_id ? record.boots : [];
    if (judgeDuplicate({ boots, ...(live ? { live } : {}) }, machine) === 'duplicate') {
      const error = duplicateIdentity(node, [...(live ? [live] : []), machine]);
      this.held.set(node, error.message);
      this.onDuplicate(node, error);
      throw error;
    }
    this.held.delete(node);
    const now = this.clock.nowMs();
    await this.nodes.put(node, {
      joinedMs: record?.joinedMs ?? now,
      lastSeenMs: now,
      certificateEndsMs,
      machineId: hello.machine_id,
      boots: boots.at(-1) === hello.boot_id ? boots : [...boots, hello.boot_id].slice(-BOOTS_KEPT),
      version: hello.version,
      arch: hello.arch,
    } satisfies NodeRecord);
    const known = cursor.journal === hello.journal_id ? cursor.sequence : 0;
    return { acked: Math.min(known, hello.last_sequence) };
  }

  async left(node: string): Promise<void> {
    await this.nodes.seen(node, this.clock.nowMs());
  }
}
