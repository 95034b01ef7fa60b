/** A new key and certificate for a node that has one (ENGINE 4.3): also when the old one expired while the node was away. */
import { reportIn } from '../../shared/error-report.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { KkError } from '../../shared/errors.ts';
import { decodeToAgent, encodeToController } from '../../shared/protocol/codec.ts';
import type { ForAgent, ForAgent as Message } from '../../shared/protocol/messages.ts';
import type { Clock } from '../executor/ports.ts';
import type { Identity, IdentityStore } from '../identity/identity-store.ts';
import { makeKeyAndCsr } from '../identity/keys.ts';
import { helloOf, type Self } from './hello.ts';
import type { Connection, Dial } from './transport.ts';

export interface RenewOptions {
  store: IdentityStore;
  dial: Dial;
  self: Self;
  clock: Clock;
}

/** For each answer of the controller. */
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * Asks for a certificate over a new key, tries it on a connection of its own, and only then lets it replace the old one.
 * A candidate that an earlier try left behind is tried first. Throws KkError: what the controller says, or
 * CONTROLLER_UNREACHABLE; the old identity is then still in place.
 */
export async function renewIdentity(options: RenewOptions): Promise<Identity> {
  const { store } = options;
  const current = await store.load();
  if (current === undefined) throw notJoined();
  const left = await store.candidate();
  if (left !== undefined) {
    const works = await isWelcome(options, left);
    if (works) return store.commit();
    await store.revert();
  }
  const { keyPem, csrPem } = await makeKeyAndCsr(current.name);
  const answer = await withConnection(options, current, async (talk) => {
    const renewed = await talk.ask({ kind: 'renew_request', value: { csr_pem: csrPem } }, 'renewed');
    if (renewed.error.length > 0) throw new KkError(reportIn(renewed.error, 'The controller'));
    return renewed;
  });
  await store.stage({
    ...current,
    keyPem,
    certificatePem: answer.certificate_pem,
    bundlePem: answer.bundle_pem === '' ? current.bundlePem : answer.bundle_pem,
  });
  const candidate = await store.candidate();
  if (candidate !== undefined && (await isWelcome(options, candidate))) return store.commit();
  await store.revert();
  throw new KkError({
    code: 'RENEWAL_FAILED',
    message: 'The controller issued a new certificate and then did not accept it; the old one stays in use.',
    remedy: 'See the log of kk-controller; `kk-agent renew` tries again.',
  });
}

/** Is the identity good for a connection? Throws when nobody could be asked. */
async function isWelcome(options: RenewOptions, identity: Identity): Promise<boolean> {
  try {
    await withConnection(options, identity, async () => undefined);
    return true;
  } catch (thrown) {
    if (thrown instanceof KkError && thrown.code === 'CONTROLLER_UNREACHABLE') throw thrown;
    return false;
  }
}

/** A short conversation: one question, one answer. */
interface Asking {
  ask<K extends Message['kind']>(
    question: Parameters<typeof encodeToController>[0],
    kind: K,
  ): Promise<Extract<Message, { kind: K }>['value']>;
}

async function withConnection<T>(
  options: RenewOptions,
  identity: Identity,
  talk: (asking: Asking) => Promise<T>,
): Promise<T> {
  const answers = new Answers();
  const connection = await dialAny(options.dial, identity, answers);
  const ask: Asking['ask'] = async (question, kind) => {
    connection.send(encodeToController(question));
    const answer = await answers.next(kind, options.clock);
    return answer.value as never;
  };
  try {
    await ask({ kind: 'hello', value: helloOf(options.self, options.clock.nowMs(), undefined) }, 'welcome');
    return await talk({ ask });
  } finally {
    connection.close();
  }
}

async function dialAny(dial: Dial, identity: Identity, events: Answers): Promise<Connection> {
  let failure: unknown = notJoined();
  for (const endpoint of identity.endpoints) {
    try {
      return await dial(endpoint, identity, events);
    } catch (thrown) {
      failure = thrown;
    }
  }
  throw failure;
}

/** Frames as they come, to be waited for one by one. */
class Answers {
  #arrived: ForAgent[] = [];
  #ended: KkError | undefined;
  #ring: () => void = () => {};

  onFrame(frame: Uint8Array): void {
    try {
      const message = decodeToAgent(frame);
      if (message.kind === 'closing') this.#ended ??= new KkError(closingOf(message.value));
      else if (message.kind !== 'none') this.#arrived.push(message);
    } catch (thrown) {
      if (thrown instanceof KkError) this.#ended ??= thrown;
    }
    this.#ring();
  }

  onClose(why: string): void {
    this.#ended ??= new KkError({
      code: 'CONTROLLER_UNREACHABLE',
      message: `The controller ended the connection (${why}).`,
      remedy: 'Try again; see the log of kk-controller if it stays so.',
    });
    this.#ring();
  }

  async next(kind: ForAgent['kind'], clock: Clock): Promise<ForAgent> {
    let late = false;
    const stop = clock.after(ANSWER_TIMEOUT_MS, () => {
      late = true;
      this.#ring();
    });
    try {
      for (;;) {
        const found = this.#arrived.findIndex((message) => message.kind === kind);
        if (found >= 0) return this.#arrived.splice(found, 1)[0] as ForAgent;
        if (this.#ended !== undefined) throw this.#ended;
        if (late) this.onClose(`no ${kind} within ${ANSWER_TIMEOUT_MS / 1000} s`);
        else {
          await new Promise<void>((resolve) => {
            this.#ring = resolve;
          });
        }
      }
    } finally {
      stop();
    }
  }
}

function closingOf({ code, message, remedy }: { code: string; message: string; remedy: string }): ErrorReport {
  return { code: code || 'CONNECTION_CLOSED', message: message || 'The controller closed the connection.', remedy };
}

/** This machine has no identity. */
export function notJoined(): KkError {
  return new KkError({
    code: 'NOT_JOINED',
    message: 'This machine has not joined a fleet: it has no identity.',
    remedy: 'Run the line that `kk-controller join-command` prints.',
  });
}
