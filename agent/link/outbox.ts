import { crash } from '../../shared/crash.ts';
import { encodeToController } from '../../shared/protocol/codec.ts';
import type { Work } from './work.ts';

/** Bytes of durable messages under way without an acknowledgement. */
const WINDOW = 4 * 1024 * 1024;
/** Bytes of them that are read at once. */
const PORTION = 256 * 1024;

/**
 * Sends the durable messages of one connection in order, each once; what is not acknowledged goes again over the next
 * connection. A window keeps a long backlog from filling the memory and from holding up heartbeats.
 *
 * It begins after what Welcome acknowledged. If that is less than an earlier Welcome did (a controller restored from a
 * backup), messages that were acknowledged go again, as far as there are any: each says which one came before it.
 */
export class Outbox {
  readonly #work: Pick<Work, 'outgoing' | 'acknowledge'>;
  readonly #send: (frame: Uint8Array) => void;
  #sent: number;
  readonly #underWay: { sequence: number; size: number }[] = [];
  #bytes = 0;
  #pumping = false;
  #again = false;
  #closed = false;

  /** `acked`: what Welcome acknowledged; everything above is sent anew. */
  constructor(work: Pick<Work, 'outgoing' | 'acknowledge'>, acked: number, send: (frame: Uint8Array) => void) {
    this.#work = work;
    this.#send = send;
    this.#sent = acked;
    work.acknowledge(acked);
  }

  /** Sends what there is, as far as the window allows. */
  pump(): void {
    this.#again = true;
    if (!this.#pumping) void this.#pump();
  }

  acked(sequence: number): void {
    crash.at('agent.outbox.acked');
    this.#work.acknowledge(sequence);
    while (this.#underWay[0] !== undefined && this.#underWay[0].sequence <= sequence) {
      this.#bytes -= this.#underWay.shift()?.size ?? 0;
    }
    this.pump();
  }

  /** The connection is gone: nothing is read for it any more. */
  close(): void {
    this.#closed = true;
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    while (this.#again && !this.#closed) {
      this.#again = false;
      if (this.#bytes >= WINDOW) break;
      const next = await this.#work.outgoing(this.#sent, PORTION);
      if (next.length > 0) this.#again = true;
      for (const one of next) if (!this.#closed) this.#sendOne(one);
    }
    this.#pumping = false;
  }

  #sendOne({ sequence, message }: Awaited<ReturnType<Work['outgoing']>>[number]): void {
    const frame = encodeToController(message, sequence, this.#after(sequence));
    this.#sent = sequence;
    this.#underWay.push({ sequence, size: frame.length });
    this.#bytes += frame.length;
    crash.at('agent.outbox.send');
    this.#send(frame);
  }

  /** As kk.proto says of ToController.after. */
  #after(sequence: number): number {
    if (sequence === this.#sent + 1) return 0;
    return this.#sent === 0 ? sequence : this.#sent;
  }
}
