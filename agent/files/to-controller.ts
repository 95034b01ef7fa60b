import { KkError } from '../../shared/errors.ts';
import { PIECE, type Piece, PieceAnswer } from '../../shared/fetched.ts';
import { askController, type ControllerParts, textOf } from './from-controller.ts';
import { Away } from './source.ts';

/** Between attempts while no controller answers. */
const PAUSE_MS = 2_000;

export interface Sending {
  /** All of a piece but where it begins. */
  file: Omit<Piece, 'offset'>;
  /** The bytes of the file, from its beginning. */
  read: () => AsyncIterable<Uint8Array>;
  signal: AbortSignal;
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Brings a file to the controller in pieces, from where an earlier attempt got to; true: it did not have it. While no
 * controller answers the step waits. Throws KkError with what the controller refuses, FETCH_CHANGED, and the signal's reason.
 */
export async function sendFile({ file, read, signal, pause }: Sending, parts: ControllerParts): Promise<boolean> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const answer = await put(file, 0, new Uint8Array(), signal, parts);
      if (answer.done) return !answer.had;
      await sendFrom(file, answer.next, read(), signal, parts);
      return true;
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof Away)) throw thrown;
      await pause(PAUSE_MS, signal);
    }
  }
}

async function sendFrom(
  file: Sending['file'],
  from: number,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  parts: ControllerParts,
): Promise<void> {
  let [at, waiting, held] = [0, [] as Uint8Array[], 0];
  let sent = from;
  const send = async (): Promise<boolean> => {
    const answer = await put(file, sent, Buffer.concat(waiting), signal, parts);
    sent += held;
    [waiting, held] = [[], 0];
    if (!answer.done && answer.next !== sent) throw new Away('the controller has another part of the file');
    return answer.done;
  };
  for await (const chunk of bytes) {
    signal.throwIfAborted();
    const begin = Math.max(0, from - at);
    at += chunk.length;
    for (let cut = begin; cut < chunk.length; ) {
      const part = chunk.subarray(cut, cut + PIECE - held);
      waiting.push(part);
      held += part.length;
      cut += part.length;
      if (held === PIECE && (await send())) return;
    }
  }
  if (held > 0 && (await send())) return;
  throw new KkError({
    code: 'FETCH_CHANGED',
    message: `${file.path} was changed while it was read: ${at} bytes came instead of ${file.size}.`,
    remedy: 'Fetch it again; of a log that grows, fetch a copy.',
  });
}

async function put(
  file: Sending['file'],
  offset: number,
  body: Uint8Array,
  signal: AbortSignal,
  parts: ControllerParts,
): Promise<PieceAnswer> {
  const query = new URLSearchParams(
    Object.entries({ ...file, offset }).map(([key, value]): [string, string] => [key, String(value)]),
  );
  const answer = await askController({ method: 'PUT', path: `/fetched?${query}`, headers: {}, body }, signal, parts);
  try {
    return PieceAnswer.parse(JSON.parse(await textOf(answer)));
  } catch (thrown) {
    throw new Away(`the answer is not understood (${(thrown as Error).message.slice(0, 200)})`);
  }
}
