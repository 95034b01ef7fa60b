import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

/**
 * The certificates a server showed, leaf first. On a resumed session only the leaf may be known; the trust bundle has
 * all that is needed for it then.
 */
export function peerChain(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (next !== undefined && !chain.some((seen) => next !== undefined && seen.raw.equals(next.raw))) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}
