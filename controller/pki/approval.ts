/** Joins that wait until a person has approved them. Pure; the store keeps the records. */
import type { MachineWord } from '../../shared/enrolment.ts';
import { keyFingerprint } from '../../shared/identity.ts';
import { refusal } from './tokens.ts';

/** A join that waits, or was decided and has not come back yet. Times are epoch milliseconds. */
export interface PendingJoin {
  name: string;
  /** Hex sha256 of the key's SubjectPublicKeyInfo: what is approved is this key under this name. */
  keyHash: string;
  tokenId: string;
  askedAt: number;
  expiresAt: number;
  /** Where it asked from at first. */
  address: string;
  /** What the machine says of itself; nobody has proved it. */
  machine?: MachineWord;
  decision?: { what: 'approved' | 'rejected'; by: string };
}

/** A person has a day. */
const PENDING_LIFE_MS = 24 * 60 * 60 * 1000;
/** So many may wait at once: each has a use of its token, and a row in the store. */
export const MOST_PENDING = 1000;

/** How a join with a token that wants approval goes on. */
export type Approval =
  | { next: 'sign' }
  /** Kept as `pending` if nobody else was faster. */
  | { next: 'keep'; pending: PendingJoin }
  | { next: 'answer'; report: { code: string; message: string; remedy: string } };

/** `known`: who waits under this name. */
export function judgeApproval(
  asked: Omit<PendingJoin, 'askedAt' | 'expiresAt' | 'decision'>,
  known: PendingJoin | undefined,
  now: number,
): Approval {
  const { name } = asked;
  const isOwn = known !== undefined && isSameJoin(known, asked);
  const isLive = known !== undefined && now < known.expiresAt;
  if (isOwn && !isLive) {
    return answer(
      'JOIN_EXPIRED',
      `Nobody has approved the join of ${name} within a day.`,
      'Run the join line again, with a token that is still good.',
    );
  }
  if (isOwn && known.decision?.what === 'approved') return { next: 'sign' };
  if (isOwn && known.decision?.what === 'rejected') {
    return answer(
      'JOIN_REJECTED',
      `The join of ${name} was rejected on the controller.`,
      'Ask whoever looks after the controller; a new join needs a new token.',
    );
  }
  if (isOwn) return waits(known);
  if (isLive && known.decision?.what !== 'rejected') {
    return answer(
      'NAME_PENDING',
      `Another machine waits for approval as ${name} (${keyFingerprint(known.keyHash)}).`,
      `Choose another name; or on the controller: \`kk-controller nodes reject ${name}\`, then join again.`,
    );
  }
  return { next: 'keep', pending: { ...asked, askedAt: now, expiresAt: now + PENDING_LIFE_MS } };
}

/** Told to whoever asks again and again; the agent knows the code and waits. */
export function waits({ name, keyHash }: PendingJoin): Approval & { next: 'answer' } {
  return answer(
    'JOIN_PENDING',
    `${name} waits for approval; its key is ${keyFingerprint(keyHash)}.`,
    `On the controller: \`kk-controller nodes approve ${name}\`.`,
  );
}

/** Does this token's bearer come again with the same key? */
export function isSameJoin(
  known: Pick<PendingJoin, 'keyHash' | 'tokenId'>,
  asked: Pick<PendingJoin, 'keyHash' | 'tokenId'>,
): boolean {
  return known.keyHash === asked.keyHash && known.tokenId === asked.tokenId;
}

function answer(code: string, message: string, remedy: string): Approval & { next: 'answer' } {
  return { next: 'answer', report: refusal(code, message, remedy).report };
}
