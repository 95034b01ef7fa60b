import { KkError } from '../../shared/errors.ts';
import type { Authority } from './authority.ts';
import { renewed } from './ledger.ts';
import type { IdentityLedger } from './ports.ts';

/** The answer to a RenewRequest. */
export interface Renewal {
  certificatePem: string;
  bundlePem: string;
  serial: string;
}

/**
 * Certifies a new key for the node of a verified session (`name` comes from its certificate, never from the message).
 * The serial in use stays good until the node has come with the new one (ledger `seenWith`). Throws KkError
 * CERT_REVOKED, CSR_INVALID.
 */
export async function renewNode(
  { name, csrPem }: { name: string; csrPem: string },
  { authority, ledger, clock }: { authority: Authority; ledger: IdentityLedger; clock: () => number },
): Promise<Renewal> {
  const signed = await authority.signNode({ csrPem, name, now: clock() });
  const known = ledger.node(name);
  if (
    known === undefined ||
    known.revoked ||
    !(await ledger.replace(known, renewed(known, signed.serial, signed.keyHash)))
  ) {
    throw new KkError({
      code: 'CERT_REVOKED',
      message: `Node ${name} may not renew its certificate: it was revoked, removed or replaced.`,
      remedy: `Run on it the line of \`kk-controller join-command --replace ${name}\`.`,
      node: name,
    });
  }
  return {
    certificatePem: signed.certificatePem,
    bundlePem: authority.bundlePem(),
    serial: signed.serial,
  };
}
