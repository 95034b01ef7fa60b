import { encodeToAgent } from '../../shared/protocol/codec.ts';
import type { ForAgent } from '../../shared/protocol/messages.ts';
import type { Clock, Dispatcher } from '../run/ports.ts';
import type { Session } from './session.ts';
import { Turns } from './turns.ts';

/** Documents on their way at once: so many are in memory as frames, however large the fleet. */
const TRANSFERS = 32;

/** Who is connected. Implements what the runner needs to reach agents. */
export class Fleet implements Dispatcher {
  /** Taken by whoever sends a large document. */
  readonly transfers = new Turns(TRANSFERS);
  private readonly sessions = new Map<string, Session>();
  private readonly answeredMs = new Map<string, number>();
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get size(): number {
    return this.sessions.size;
  }

  get(node: string): Session | undefined {
    return this.sessions.get(node);
  }

  /** The newest session of a node wins; the older one is told and closed (same machine: ENGINE 4.4). */
  add(session: Session): void {
    this.supersede(session.node);
    this.sessions.set(session.node, session);
    this.answered(session.node);
  }

  /** Nothing more is taken from the session that a node has: a newer one is taking over. */
  supersede(node: string): void {
    this.sessions
      .get(node)
      ?.close(
        { code: 'REPLACED', message: `A newer connection of ${node} took over.`, remedy: 'Nothing to do.' },
        false,
      );
  }

  /** Forgets a session that has closed, unless a newer one took its place. */
  remove(session: Session): void {
    if (this.sessions.get(session.node) === session) this.sessions.delete(session.node);
  }

  /** A heartbeat of the node was answered now. */
  answered(node: string): void {
    this.answeredMs.set(node, this.clock.monotonicMs());
  }

  isConnected(node: string): boolean {
    return this.sessions.has(node);
  }

  send(nodes: readonly string[], message: ForAgent): void {
    let frame: Uint8Array | undefined;
    for (const node of nodes) {
      const session = this.sessions.get(node);
      if (!session) continue;
      frame ??= encodeToAgent(message);
      session.sendFrame(frame);
    }
  }

  ack(node: string, journal: string, sequence: number): void {
    const session = this.sessions.get(node);
    if (session?.journal === journal) session.ack(sequence);
  }

  silentFor(node: string): number | undefined {
    const at = this.answeredMs.get(node);
    return at === undefined ? undefined : this.clock.monotonicMs() - at;
  }
}
