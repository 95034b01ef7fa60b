import type { X509Certificate } from 'node:crypto';
import {
  certificateHash,
  isValidAt,
  parseBundle,
  pathsToAnchor,
  readableTime,
  SERVER_AUTH,
  spiffeIdOf,
  validityOf,
} from '../../shared/certificates.ts';

/** How the agent knows its controller: by the bundle, or before it has one by the hash in the join token. */
export type ControllerTrust = { bundlePem: string; fleetId: string } | { caHash: string };

/** Is this our controller? */
export type ControllerVerdict =
  | { ok: true; fleetId: string }
  | {
      ok: false;
      code: 'CONTROLLER_FOREIGN' | 'CONTROLLER_WRONG_NAME' | 'CLOCK_SKEW';
      detail: string;
      remedy: string;
    };

/**
 * Judges the certificates a server showed, leaf first (ENGINE 4.2): signatures up to a trusted CA, then the URI SAN,
 * then the times. The address it was reached under plays no part. When only the times are wrong the clocks are to
 * blame: CLOCK_SKEW. `now` is epoch milliseconds.
 */
export function verifyController(
  chain: readonly X509Certificate[],
  trust: ControllerTrust,
  now: number,
): ControllerVerdict {
  const [leaf, ...between] = chain;
  const anchors =
    'bundlePem' in trust
      ? parseBundle(trust.bundlePem)
      : between.filter((one) => certificateHash(one) === trust.caHash);
  const paths = leaf === undefined ? [] : pathsToAnchor(leaf, between, anchors);
  if (leaf === undefined || paths.length === 0) {
    return {
      ok: false,
      code: 'CONTROLLER_FOREIGN',
      detail: 'the server is not the controller that this node trusts: its certificate is from another CA',
      remedy:
        'Check the address. If the controller was set up anew, restore its backup or join the node with a new token.',
    };
  }
  const id = spiffeIdOf(leaf);
  const expected = 'fleetId' in trust ? trust.fleetId : undefined;
  const serves = leaf.keyUsage?.includes(SERVER_AUTH) === true;
  if (id?.kind !== 'controller' || (expected !== undefined && id.fleetId !== expected) || !serves) {
    return {
      ok: false,
      code: 'CONTROLLER_WRONG_NAME',
      detail: 'the server has a certificate of this fleet, but not the one of its controller',
      remedy: 'Check the address: something else answers there, perhaps in order to pose as the controller.',
    };
  }
  if (paths.some((path) => path.every((one) => isValidAt(one, now)))) return { ok: true, fleetId: id.fleetId };
  const wrong = paths[0]?.find((one) => !isValidAt(one, now)) ?? leaf;
  const { notBefore, notAfter } = validityOf(wrong);
  return {
    ok: false,
    code: 'CLOCK_SKEW',
    detail: `this node's clock says ${readableTime(now)}, the controller's certificate is valid from ${readableTime(notBefore)} to ${readableTime(notAfter)}`,
    remedy:
      'Set the clock of this node right (chrony or systemd-timesyncd); if it is right, the one of the controller.',
  };
}
