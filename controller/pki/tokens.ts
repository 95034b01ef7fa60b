/** Join tokens: minted, and judged. Pure; the store keeps the records and counts the uses. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readableTime } from '../../shared/certificates.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { KkError } from '../../shared/errors.ts';
import { formatToken, isNodeName, NODE_NAME_RULE } from '../../shared/identity.ts';
import type { Random } from './certs.ts';
import { isNetwork, isWithin } from './networks.ts';

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
  /** Pattern of the names it admits: `*` for any characters, `?` for one. */
  names?: string;
  /** Networks it admits nodes from; absent: any. */
  cidrs?: string[];
  /** A person has to approve each join. */
  approve?: boolean;
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
  names?: string;
  cidrs?: readonly string[];
  approve?: boolean;
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
    ...(wish.names === undefined ? {} : { names: wish.names }),
    ...(wish.cidrs === undefined || wish.cidrs.length === 0 ? {} : { cidrs: [...wish.cidrs] }),
    ...(wish.approve ? { approve: true } : {}),
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
  if (wish.names !== undefined && (name !== undefined || !NAME_PATTERN.test(wish.names))) {
    const why = name === undefined ? `${JSON.stringify(wish.names)} is no pattern of names` : `it is for ${name} alone`;
    throw bad(
      `A token cannot have these names: ${why}.`,
      "Give a pattern like 'worker*' without --name and --replace.",
    );
  }
  const network = wish.cidrs?.find((one) => !isNetwork(one));
  if (network !== undefined) throw bad(`${JSON.stringify(network)} is no network.`, 'Write it like 10.0.0.0/8.');
  const group = wish.groups?.find((one) => !GROUP.test(one) || one === 'all');
  if (group !== undefined) {
    throw bad(
      `${JSON.stringify(group)} is no group that a token can put nodes into.`,
      'Use letters, digits, "_" and "-"; every node is in `all` anyway.',
    );
  }
  if (!Number.isFinite(wish.ttlSeconds) || wish.ttlSeconds <= 0) {
    throw bad(`A token cannot live for ${wish.ttlSeconds} seconds.`, 'Give a duration above 0.');
  }
}

const NAME_PATTERN = /^[a-z0-9.*?-]{1,63}$/;
/** As the inventory has them. */
const GROUP = /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/;

/** Yes, or a refusal that can be sent to the one who asked. */
export type Verdict = { ok: true } | { ok: false; report: ErrorReport };

/** Who wants to join with a token, from where; `now` is epoch milliseconds. */
export interface TokenUse {
  now: number;
  name: string;
  address: string;
  again?: boolean;
  waits?: boolean;
}

/**
 * May the bearer of `secret` enrol as `name` now? An unknown id and a wrong secret read the same, and take the same
 * comparison. `again` = this token admitted this very node and key before and the answer was lost: uses do not count.
 * `waits`: it waits for approval with this token, which has its own end.
 */
export function judgeToken(
  record: EnrolmentToken | undefined,
  secret: string,
  { now, name, address, again = false, waits = false }: TokenUse,
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
  if (now >= record.expiresAt && !waits) {
    return refusal(
      'TOKEN_EXPIRED',
      `Token ${record.id} expired at ${readableTime(record.expiresAt)}.`,
      sentence(NEW_TOKEN),
    );
  }
  if (record.usesLeft < 1 && !again && !waits) return tokenUsed(record.id);
  if (record.name !== undefined && record.name !== name) {
    return refusal(
      'TOKEN_NAME_MISMATCH',
      `Token ${record.id} is for node ${record.name}, not for ${name}.`,
      `Join as ${record.name}, or ${NEW_TOKEN}`,
    );
  }
  if (record.names !== undefined && !fitsPattern(record.names, name)) {
    return refusal(
      'TOKEN_NAME_MISMATCH',
      `Token ${record.id} is for names like ${record.names}, not for ${name}.`,
      `Join under such a name, or ${NEW_TOKEN}`,
    );
  }
  if (record.cidrs !== undefined && !isWithin(address, record.cidrs)) {
    return refusal(
      'TOKEN_ADDRESS_MISMATCH',
      `Token ${record.id} is for machines in ${record.cidrs.join(', ')}; this one comes from ${address}.`,
      `Join from there, or ${NEW_TOKEN}`,
    );
  }
  return { ok: true };
}

/** Without a regular expression of a person's making: time is bounded by the lengths of both. */
function fitsPattern(pattern: string, name: string): boolean {
  let fits = new Set([0]);
  for (const letter of name) {
    const next = new Set<number>();
    for (const at of closure(pattern, fits)) {
      const wanted = pattern[at];
      if (wanted === '*') next.add(at);
      else if (wanted === '?' || wanted === letter) next.add(at + 1);
    }
    fits = next;
  }
  return closure(pattern, fits).has(pattern.length);
}

/** A `*` may stand for nothing. */
function closure(pattern: string, places: ReadonlySet<number>): Set<number> {
  const all = new Set(places);
  for (const at of all) if (pattern[at] === '*') all.add(at + 1);
  return all;
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
