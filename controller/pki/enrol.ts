import { createHash } from 'node:crypto';
import type { EnrolAnswer, EnrolRequest } from '../../shared/enrolment.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { isNodeName, NODE_NAME_RULE, parseToken } from '../../shared/identity.ts';
import { isSameJoin, judgeApproval, MOST_PENDING, waits } from './approval.ts';
import type { Authority } from './authority.ts';
import { readCsr } from './certs.ts';
import { admitted } from './ledger.ts';
import type { IdentityLedger, NodeIdentity, PendingStore, TokenStore } from './ports.ts';
import type { EnrolmentToken, Verdict } from './tokens.ts';
import { judgeToken, refusal, tokenUsed } from './tokens.ts';

/** What an enrolment works with. */
export interface EnrolPorts {
  authority: Authority;
  tokens: TokenStore;
  ledger: IdentityLedger;
  pendings: PendingStore;
  /** Every join waits for a person, whatever its token says; but for machines that kk itself is brought to by ssh. */
  approve: boolean;
  /** Where agents shall connect, best first. */
  endpoints: () => readonly string[];
  /** Epoch milliseconds. */
  clock: () => number;
}

/** Admitted: `answer` goes to the agent, the rest to the audit log. Refused: the report goes to the agent. */
export type Enrolment =
  | {
      ok: true;
      answer: EnrolAnswer;
      serial: string;
      token: Pick<EnrolmentToken, 'id' | 'groups' | 'ssh'>;
      /** The name was known before: the old certificates have just been superseded, close their sessions. */
      replaced: boolean;
    }
  /** `asked`: a join was written down for a person to approve; asked again it is not new. */
  | { ok: false; report: ErrorReport; asked?: true };

/**
 * One enrolment (ENGINE 4.4, 4.5). Cheap refusals come first; the token is used up only when nothing but the signature
 * is missing, or that and a person's approval. An agent that lost the answer may ask again with the same token and key until
 * the token expires. `address`: where it asks from.
 */
export async function enrolNode(request: EnrolRequest, address: string, ports: EnrolPorts): Promise<Enrolment> {
  const { authority, tokens, ledger } = ports;
  const now = ports.clock();
  const { name } = request;
  if (!isNodeName(name)) {
    return refusal('NODE_NAME_INVALID', `${JSON.stringify(name)} is not a node name.`, `Use ${NODE_NAME_RULE}.`);
  }
  const text = parseToken(request.token);
  if (text === undefined) {
    return refusal('TOKEN_MALFORMED', 'This is not a join token.', 'Copy the whole token; it begins with "kk1.".');
  }
  if (text.caHash !== authority.caHash) {
    return refusal(
      'TOKEN_FOREIGN',
      'The token was made by another controller.',
      'Make a token on this controller with `kk-controller token create`, or join the node at the other one.',
    );
  }
  const csr = await readCsr(request.csr);
  if (!csr.ok) {
    return refusal('CSR_INVALID', `The signing request was refused: ${csr.why}.`, 'Update kk-agent and join again.');
  }
  const keyHash = createHash('sha256').update(csr.publicKey).digest('hex');
  const known = ledger.node(name);
  const again = known !== undefined && !known.revoked && known.tokenId === text.id && known.keyHash === keyHash;
  const token = await tokens.find(text.id);
  const asked = { name, keyHash, tokenId: text.id, address, ...(request.machine && { machine: request.machine }) };
  const pending = await ports.pendings.find(name);
  const isAsked = pending !== undefined && isSameJoin(pending, asked);
  const judged = judgeToken(token, text.secret, {
    ...{ now, name, address, again },
    waits: isAsked,
  });
  if (!judged.ok) return judged;
  if (token === undefined) return tokenUsed(text.id);
  const named = judgeName({ name, known, keyHash, token });
  if (!named.ok) return named;
  // One that was told to wait goes on waiting, also when joins that come now need not.
  const wantsApproval = token.approve || (ports.approve && !token.ssh) || isAsked;
  const approval = wantsApproval && !again ? judgeApproval(asked, pending, now) : undefined;
  if (approval?.next === 'answer') return { ok: false, report: approval.report };
  if (approval?.next === 'keep') {
    // The same join may come twice at once, and one that finds no place costs nothing.
    if (await ports.pendings.keep(approval.pending, { now, most: MOST_PENDING })) {
      return { ok: false, report: waits(approval.pending).report, asked: true };
    }
    const faster = await ports.pendings.find(name);
    if (faster !== undefined && isSameJoin(faster, asked)) return { ok: false, report: waits(faster).report };
    if (((await tokens.find(token.id))?.usesLeft ?? 0) < 1) return tokenUsed(token.id);
    return refusal(
      'JOINS_TOO_MANY',
      `${MOST_PENDING} joins wait for approval, or another one of ${name} was faster.`,
      'On the controller: see `kk-controller nodes`, approve or reject those that wait; then join again.',
    );
  }

  // Approved: it was taken when the join was asked for.
  if (!again && approval === undefined && !(await tokens.take(token.id, now))) return tokenUsed(token.id);

  const signed = await authority.signNode({ csrPem: request.csr, name, now });
  const next = admitted({
    name,
    serial: signed.serial,
    keyHash,
    tokenId: token.id,
    groups: token.groups,
  });
  if (!(await ledger.replace(known, next))) {
    return refusal(
      'NAME_TAKEN',
      `Node ${name} was changed by somebody else at the same moment.`,
      'Join again; if the token is used up, make a new one with `kk-controller token create`.',
    );
  }
  // Also when its answer was lost.
  if (isAsked) await ports.pendings.remove(pending);
  return {
    ok: true,
    answer: {
      name,
      fleetId: authority.fleetId,
      certificate: signed.certificatePem,
      bundle: authority.bundlePem(),
      endpoints: [...ports.endpoints()],
      version: authority.bundleVersion,
    },
    serial: signed.serial,
    token: { id: token.id, groups: token.groups, ssh: token.ssh },
    replaced: known !== undefined,
  };
}

/**
 * May this key have this name? A free name: yes. A known one: with the key it has, or by a token that says so. A
 * revoked key never comes back.
 */
export function judgeName(input: {
  name: string;
  known: NodeIdentity | undefined;
  keyHash: string;
  token: EnrolmentToken;
}): Verdict {
  const { name, known, keyHash, token } = input;
  if (known === undefined) return { ok: true };
  const sameKey = known.keyHash === keyHash;
  const line = `the line of \`kk-controller join-command --replace ${name}\``;
  if (known.revoked && sameKey) {
    return refusal(
      'CERT_REVOKED',
      `The key of node ${name} was revoked.`,
      `Run on the node ${line}: it makes a new key.`,
    );
  }
  const mayReplace = token.replace === name || (token.ssh && token.name === name);
  if (mayReplace || (sameKey && !known.revoked)) return { ok: true };
  return refusal(
    'NAME_TAKEN',
    `The name ${name} belongs to ${known.revoked ? 'a revoked node' : 'another key'}.`,
    `If this is the same node set up anew, run on it ${line}; otherwise choose another name.`,
  );
}
