import { certificateHash, parseBundle, validityOf } from '../../shared/certificates.ts';
import { KkError } from '../../shared/errors.ts';
import { parseToken } from '../../shared/identity.ts';
import { certificateOf, type Identity } from '../identity/identity-store.ts';

/** After its end a certificate can still be renewed for so long (ENGINE 4.3), milliseconds. */
const GRACE_MS = 400 * 24 * 3600 * 1000;

/** What an installation was asked for. */
export interface Wish {
  name: string;
  /** Absent: install again, keep who this machine is. */
  token: string | undefined;
  /** The SSH step: someone with root on the machine wants it admitted anew, whatever it was before. */
  rejoin: boolean;
  /** The join line of `--replace`: the same node of the same fleet joins anew, since its certificate may be revoked. */
  replace: boolean;
  /** Epoch milliseconds. */
  now: number;
}

/**
 * Whether the identity found on the machine stays, or the machine joins (again). Throws KkError when neither is right:
 * NODE_NAMED_OTHERWISE, NODE_OF_ANOTHER_FLEET, TOKEN_MISSING.
 */
export function judgeKnown(identity: Identity | undefined, wish: Wish): 'keep' | 'join' {
  const usable = identity !== undefined && wish.now < validityOf(certificateOf(identity)).notAfter + GRACE_MS;
  if (wish.token === undefined) {
    if (usable) return 'keep';
    throw new KkError({
      code: 'TOKEN_MISSING',
      message: 'This machine is no node yet, and there is no join token.',
      remedy: 'Use a line from `kk-controller join-command`: it has a token in it.',
    });
  }
  if (identity === undefined || !usable || wish.rejoin) return 'join';
  const asked = parseToken(wish.token)?.caHash;
  const ours = parseBundle(identity.bundlePem).some((certificate) => certificateHash(certificate) === asked);
  if (asked !== undefined && !ours) {
    throw new KkError({
      code: 'NODE_OF_ANOTHER_FLEET',
      message: `This machine is node ${identity.name} of another controller's fleet.`,
      remedy: `${LEAVE}, then join again.`,
    });
  }
  if (identity.name !== wish.name) {
    throw new KkError({
      code: 'NODE_NAMED_OTHERWISE',
      message: `This machine is already node ${identity.name}; it cannot also be ${wish.name}.`,
      remedy: `Use the name ${identity.name}. Or, for a new name: ${LEAVE.slice(0, 1).toLowerCase()}${LEAVE.slice(1)}, then join again.`,
    });
  }
  return wish.replace ? 'join' : 'keep';
}

const LEAVE = 'Say `kk-agent uninstall --yes`';
