import type {
  DurableMessage,
  Hello,
  Installation,
  LogChunk,
  ToControllerBodies,
} from '../../shared/protocol/messages.ts';
import type { Authority } from '../pki/authority.ts';
import type { IdentityLedger } from '../pki/ports.ts';
import type { Clock } from '../run/ports.ts';

/** A timer that was set. */
export interface Timer {
  /** Begins anew. */
  refresh(): void;
  cancel(): void;
}

/** What the gateway needs from the rest of the controller; `compose` hands it in. */
export interface GatewayParts {
  authority: Authority;
  ledger: IdentityLedger;
  clock: Clock;
  /** Calls `then` once after `ms`. */
  timer(ms: number, then: () => void): Timer;
  generation: number;
  leaseMs: number;
  /** How long a connection may be open before its Hello (kk.proto: 10 s). */
  helloMs: number;
  endpoints(): readonly string[];
  /** How many nodes the fleet has: sets the pace of heartbeats and reconnects. */
  fleetSize(): number;
  /**
   * Takes note of a Hello: who it is, and how far its journal is stored (0: nothing, or a journal we do not know).
   * Throws KkError DUPLICATE_IDENTITY.
   */
  arrived(
    node: string,
    hello: Hello,
    certificateEndsMs: number,
    live: { machineId: string; bootId: string } | undefined,
  ): Promise<{ acked: number }>;
  connected(node: string, hello: Hello): void;
  /** What is installed on the node, and how its last upgrade went. */
  installation(node: string, installation: Installation): void;
  left(node: string): void;
  durable(
    node: string,
    journal: string,
    sequence: number,
    message: DurableMessage,
    refuse: (error: unknown) => void,
  ): void;
  permitWanted(node: string, wish: ToControllerBodies['permit_wanted']): void;
  /** Resolves when the chunk is written: that is when its credit is given back. */
  log(node: string, chunk: LogChunk): Promise<void>;
  blob(node: string, sha256: string): Uint8Array | undefined;
  renew(node: string, csrPem: string): Promise<{ certificatePem: string; bundlePem: string }>;
  audit(what: string, details: Record<string, unknown>): void;
}
