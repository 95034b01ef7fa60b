import type { X509Certificate } from 'node:crypto';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { request } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { EnrolAnswer, EnrolRequest, MachineWord } from '../../shared/enrolment.ts';
import { ENROL_BODY_LIMIT, enrolAnswerSchema, refusalSchema } from '../../shared/enrolment.ts';
import { KkError } from '../../shared/errors.ts';
import { parseToken } from '../../shared/identity.ts';
import type { Identity, IdentityStore } from './identity-store.ts';
import { makeCsr, makeKeyAndCsr } from './keys.ts';
import { peerChain } from './peer-chain.ts';
import { openTls } from './tls.ts';
import { verifyController } from './verify-controller.ts';

/** Answers are a few certificates; anything longer is not one. */
const ANSWER_LIMIT = 32 * ENROL_BODY_LIMIT;
const DEFAULT_TIMEOUT_MS = 30_000;

/** What a join needs. */
export interface JoinInput {
  /** `https://host:port` from the join line. */
  endpoint: string;
  /** The text of the token; never logged, sent only to the controller it names. */
  token: string;
  name: string;
  facts: { machineId: string; bootId: string; machine?: MachineWord };
  store: IdentityStore;
  /** Epoch milliseconds. */
  clock: () => number;
  /** For connecting and for the answer, each; default 30 s. */
  timeoutMs?: number;
}

/**
 * Joins the fleet: recognises the controller by the token's CA hash, only then sends the token, and keeps the identity
 * that comes back. Safe to repeat: the key of a try whose answer was lost is used again. Throws KkError:
 * JOIN_PENDING (a person has to approve it: joinPatiently), TOKEN_MALFORMED, CONTROLLER_UNREACHABLE, CONTROLLER_FOREIGN, CONTROLLER_WRONG_NAME, CLOCK_SKEW, ENROL_FAILED, or the
 * controller's own refusal.
 */
export async function enrol(input: JoinInput): Promise<Identity> {
  const token = input.token.trim();
  const caHash = parseToken(token)?.caHash;
  if (caHash === undefined) {
    throw new KkError({
      code: 'TOKEN_MALFORMED',
      message: 'This is not a join token.',
      remedy: 'Copy the whole token; it begins with "kk1.".',
    });
  }
  const timeoutMs = input.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const url = endpointUrl(input.endpoint);
  const socket = await openTls(url, { timeoutMs });
  try {
    const chain = peerChain(socket);
    const verdict = verifyController(chain, { caHash }, input.clock());
    if (!verdict.ok) {
      const { code, detail, remedy } = verdict;
      throw new KkError({
        code,
        message: `${input.endpoint}: ${detail}.`,
        remedy,
      });
    }
    const keyPem = await input.store.joiningKey(
      token,
      input.name,
      async () => (await makeKeyAndCsr(input.name)).keyPem,
    );
    const privateKey = createPrivateKey(keyPem);
    const csr = await makeCsr(input.name, {
      privateKey,
      publicKey: createPublicKey(privateKey),
    });
    const answer = await post(socket, url, { token, name: input.name, csr, ...input.facts }, timeoutMs);
    const identity: Identity = {
      name: answer.name,
      fleetId: answer.fleetId,
      keyPem,
      certificatePem: answer.certificate,
      bundlePem: answer.bundle,
      bundleVersion: answer.version,
      endpoints: answer.endpoints.length > 0 ? answer.endpoints : [url.origin],
    };
    refuseOtherFleet(verdict.fleetId, chain, identity, input);
    await input.store.save(identity);
    return identity;
  } finally {
    socket.destroy();
  }
}

/** The bundle that came must trust the controller it came from, or the very next connection would fail. */
function refuseOtherFleet(
  fleetId: string,
  chain: readonly X509Certificate[],
  identity: Identity,
  { clock, name }: JoinInput,
): void {
  const fits = identity.fleetId === fleetId && identity.name === name && verifyController(chain, identity, clock()).ok;
  if (!fits) throw enrolFailed('the controller answered with an identity that does not fit its own certificate');
}

function endpointUrl(endpoint: string): URL {
  const url = URL.parse(endpoint);
  if (url?.protocol === 'https:' && url.hostname !== '') return url;
  throw new KkError({
    code: 'ENDPOINT_INVALID',
    message: `${JSON.stringify(endpoint)} is not an address of a controller.`,
    remedy: 'Give it as https://host:port.',
  });
}

function post(socket: TLSSocket, url: URL, body: EnrolRequest, timeoutMs: number): Promise<EnrolAnswer> {
  const payload = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void => reject(enrolFailed(`${url.origin}: ${cause.message}`, cause));
    const sent = request(
      {
        method: 'POST',
        path: '/enrol',
        headers: {
          host: url.host,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(payload),
          connection: 'close',
        },
        createConnection: () => socket,
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        const parts: Buffer[] = [];
        let size = 0;
        response.on('data', (part: Buffer) => {
          size += part.length;
          if (size > ANSWER_LIMIT) sent.destroy(new Error('the answer is too long'));
          else parts.push(part);
        });
        response.once('error', fail);
        response.once('end', () => {
          try {
            resolve(readAnswer(response.statusCode ?? 0, Buffer.concat(parts).toString('utf8')));
          } catch (thrown) {
            reject(thrown);
          }
        });
      },
    );
    sent.once('error', fail);
    sent.end(payload);
  });
}

function readAnswer(status: number, text: string): EnrolAnswer {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw enrolFailed(`status ${status} without a readable answer`, cause);
  }
  if (status !== 200) {
    const refused = refusalSchema.safeParse(json);
    throw refused.success ? new KkError(refused.data) : enrolFailed(`status ${status} without a reason`);
  }
  const answer = enrolAnswerSchema.safeParse(json);
  if (!answer.success) throw enrolFailed('the answer lacks parts of an identity', answer.error);
  return answer.data;
}

function enrolFailed(why: string, cause?: unknown): KkError {
  return new KkError({
    code: 'ENROL_FAILED',
    message: `Joining failed: ${why}.`,
    remedy:
      'Try the join line again: the same token may be used for it. If it fails again, look at the controller’s log.',
    cause,
  });
}
