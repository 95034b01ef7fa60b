import type { TLSSocket } from 'node:tls';
import { KkError } from '../../shared/errors.ts';
import type { Identity } from './identity-store.ts';
import { peerChain } from './peer-chain.ts';
import { openTls } from './tls.ts';
import { verifyController } from './verify-controller.ts';

export interface OpenOptions {
  /** Epoch milliseconds. */
  now: () => number;
  /** For the connection and the handshake together. */
  timeoutMs: number;
  /** Makes the connection; default: the real one. */
  open?: typeof openTls;
}

/**
 * A connection to our controller at `https://host:port`, with the node's certificate. Who answers is judged by its
 * certificate alone, before a byte of ours is sent: ENGINE 4.2. Every connection is a full handshake, so a resumed session
 * cannot outlive a changed trust bundle. Rejects with KkError CONTROLLER_UNREACHABLE, CONTROLLER_FOREIGN,
 * CONTROLLER_WRONG_NAME, CLOCK_SKEW.
 */
export async function openToController(
  endpoint: string,
  identity: Identity,
  { now, timeoutMs, open = openTls }: OpenOptions,
): Promise<TLSSocket> {
  const credentials = { key: identity.keyPem, cert: identity.certificatePem };
  const socket = await open(new URL(endpoint), { timeoutMs, credentials });
  const verdict = verifyController(peerChain(socket), identity, now());
  if (verdict.ok) return socket;
  socket.destroy();
  const { code, detail, remedy } = verdict;
  throw new KkError({ code, message: `${endpoint}: ${detail}.`, remedy });
}
