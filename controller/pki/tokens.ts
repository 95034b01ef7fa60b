/** Join tokens: minted, and judged. Pure; the store keeps the records and counts the uses. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readableTime } from '../../shared/certificates.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { KkError } from '../../shared/errors.ts';
import { formatToken, isNodeName, NODE_NAME_RULE } from '../../shared/identity.ts';
import type { Random } from './certs.ts';

/** A join token on record. Times are epoch milliseconds. The secret itself is nowhere but in the token's text. */
export interface EnrolmentToken {
  /** 16 hex digits. */
  id: string;
  /** Hex sha256 of the secret. The secret is 32 random bytes, so nothing slower is needed. */
  secretHash: string;
  createdAt: number;
  expiresAt: number;
  usesLeft: number;
  /** The only name it admits; absent: any name that is free. */
  name?: string;
  /** Groups the admitted nodes join. */
  groups: string[];
  /** A node that may come back with a new key; always equal to `name`. */
  replace?: string;
  /** Made for the SSH step to the node `name`: the login proved who asks, so that known name may get a new key. */
  ssh: boolean;
}

/** What to mint. */
export interface TokenWish {
  now: number;
  ttlSeconds: number;
  uses: number;
  name?: string;
  groups?: readonly string[];
  /** Admit this known node again with a new key. */
  replace?: string;
  ssh?: boolean;
  caHash: string;
  random: Random;
}

/** Makes a token: `text` is shown once, `record` is kept. Throws KkError TOKEN_WISH_INVALID, NODE_NAME_INVALID. */
export function mintToken(wish: TokenWish): {
  text: string;
  record: EnrolmentToken;
} {
  const name = wish.name ?? wish.replace;
  refuseBadWish(wish, name);
  const id = Buffer.from(wish.random(8)).toString('hex');
  const secret = Buffer.from(wish.random(32)).toString('base64url');
  const record: EnrolmentToken = {
    id,
    secretHash: hashOf(secret).toString('hex'),
    createdAt: wish.now,
    expiresAt: wish.now + wish.ttlSeconds * 1000,
    usesLeft: wish.uses,
    groups: [...(wish.groups ?? [])],
    ssh: wish.ssh ?? false,
    ...(name === undefined ? {} : { name }),
    ...(wish.replace === undefined ? {} : { replace: wish.replace }),
  };
  return { text: formatToken({ id, secret, caHash: wish.caHash }), record };
}

function refuseBadWish(wish: TokenWish, name: string | undefined): void {
  const bad = (message: string, remedy: string, code = 'TOKEN_WISH_INVALID'): KkError =>
    new KkError({ code, message, remedy });
  if (name !== undefined && !isNodeName(name)) {
    throw bad(`${JSON.stringify(name)} is not a node name.`, `Use ${NODE_NAME_RULE}.`, 'NODE_NAME_INVALID');
  }
  if (wish.replace !== undefined && name !== wish.replace) {
    throw bad(`A token for ${name} cannot replace ${wish.replace}.`, 'Give --replace alone: it names the node, too.');
  }
  if (!Number.isInteger(wish.uses) || wish.uses < 1) {
    throw bad(`A token cannot have ${wish.uses} uses.`, 'Give a whole number from 1 on.');
  }
  if (name !== undefined && wish.uses !== 1) {
    throw bad(`A token for one node (${name}) cannot have ${wish.uses} uses.`, 'Leave the uses at 1, or the name out.');
  }
  if (!Number.isFinite(wish.ttlSeconds) || wish.ttlSeconds <= 0) {
    throw bad(`A token cannot live for ${wish.ttlSeconds} seconds.`, 'Give a duration above 0.');
  }
}

/** Yes, or a refusal that can be sent to the one who asked. */
export type Verdict = { ok: true } | { ok: false; report: ErrorReport };

/**
 * May the bearer of `secret` enrol as `name` now? An unknown id and a wrong secret read the same, and take the same
 * comparison. `again` = this token admitted this very node and key before and the answer was lost: uses do not count.
 */
export function judgeToken(
  record: EnrolmentToken | undefined,
  secret: string,
  { now, name, again = false }: { now: number; name: string; again?: boolean },
): Verdict {
  const expected = record === undefined ? Buffer.alloc(32) : Buffer.from(record.secretHash, 'hex');
  const same = timingSafeEqual(expected, hashOf(secret));
  if (record === undefined || !same) {
    return refusal(
      'TOKEN_UNKNOWN',
      'This controller does not know the token.',
      `Check that it was copied whole; ${NEW_TOKEN}`,
    );
  }
  if (now >= record.expiresAt) {
    return refusal(
      'TOKEN_EXPIRED',
      `Token ${record.id} expired at ${readableTime(record.expiresAt)}.`,
      sentence(NEW_TOKEN),
    );
  }
  if (record.usesLeft < 1 && !again) return tokenUsed(record.id);
  if (record.name !== undefined && record.name !== name) {
    return refusal(
      'TOKEN_NAME_MISMATCH',
      `Token ${record.id} is for node ${record.name}, not for ${name}.`,
      `Join as ${record.name}, or ${NEW_TOKEN}`,
    );
  }
  return { ok: true };
}

/** The refusal of a token without a use left; also when somebody was faster. */
export function tokenUsed(id: string): { ok: false; report: ErrorReport } {
  return refusal('TOKEN_USED', `Token ${id} has been used up.`, sentence(NEW_TOKEN));
}

/** A refusal as it crosses the wire. */
export function refusal(code: string, message: string, remedy: string): { ok: false; report: ErrorReport } {
  return { ok: false, report: { code, message, remedy } };
}

const NEW_TOKEN =
  'make a new one with `kk-controller token create`, or a whole line with `kk-controller join-command`.';

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
