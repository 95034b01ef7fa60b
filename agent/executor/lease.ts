import type { Clock } from './ports.ts';
import type { AgentState, RunRecord } from './state.ts';

/** The contact is journaled when it has moved by this part of the lease: a restart then costs at most that much of it. */
const CONTACT_PART = 20;

export interface LeasePorts {
  state: AgentState;
  bootId: string;
  clock: Clock;
  /** Writes the contact down; nobody waits for it. */
  journal(contact: { boot: string; atMs: number; leaseMs: number }): void;
}

/** How long something may still start without hearing from the controller (ENGINE 2.6). */
export class Lease {
  readonly #ports: LeasePorts;
  #journaledMs = Number.NEGATIVE_INFINITY;

  constructor(ports: LeasePorts) {
    this.#ports = ports;
  }

  /** The controller has answered what was sent at `atMs`; false: that was known. */
  contact(atMs: number, leaseMs: number): boolean {
    const { state, bootId: boot, journal } = this.#ports;
    const known = state.contact;
    if (known?.boot === boot && known.atMs >= atMs && known.leaseMs === leaseMs) return false;
    if (atMs - this.#journaledMs > leaseMs / CONTACT_PART) {
      this.#journaledMs = atMs;
      journal({ boot, atMs, leaseMs });
    }
    state.contact = { boot, atMs, leaseMs };
    return true;
  }

  holds(run: RunRecord): boolean {
    const { state, bootId, clock } = this.#ports;
    if (state.contact === undefined || state.contact.boot !== bootId) return false;
    const leaseMs = run.leaseMs > 0 ? run.leaseMs : state.contact.leaseMs;
    return clock.bootTimeMs() - state.contact.atMs <= leaseMs;
  }
}
