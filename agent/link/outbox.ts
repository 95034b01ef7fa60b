import { crash } from '../../shared/crash.ts';
import { encodeToController } from '../../shared/protocol/codec.ts';
import type { Work } from './work.ts';

/** Bytes of durable messages under way without an acknowledgement. */
const WINDOW = 4 * 1024 * 1024;

/**
 * Sends the durable messages of one connection in order, each once; what is not acknowledged goes again over the next
 * connection. A window keeps a long backlog from filling the memory and from holding up heartbeats.
 */
export class Outbox {
  readonly #work: Pick<Work, 'outgoing' | 'acknowledge'>;
  readonly #send: (frame: Uint8Array) => void;
  #sent: number;
  readonly #underWay: { sequence: number; size: number }[] = [];
  #bytes = 0;

  /** `acked`: what Welcome acknowledged; everything above is sent anew. */
  constructor(work: Pick<Work, 'outgoing' | 'acknowledge'>, acked: number, send: (frame: Uint8Array) => void) {
    this.#work = work;
    this.#send = send;
    this.#sent = acked;
    work.acknowledge(acked);
  }

  /** Sends what there is, as far as the window allows. */
  pump(): void {
    for (const { sequence, message } of this.#work.outgoing()) {
      if (this.#bytes >= WINDOW) return;
      if (sequence <= this.#sent) continue;
      const frame = encodeToController(message, sequence);
      this.#sent = sequence;
      this.#underWay.push({ sequence, size: frame.length });
      this.#bytes += frame.length;
      crash.at('agent.outbox.send');
      this.#send(frame);
    }
  }

  acked(sequence: number): void {
    crash.at('agent.outbox.acked');
    this.#work.acknowledge(sequence);
    while (this.#underWay[0] !== undefined && this.#underWay[0].sequence <= sequence) {
      this.#bytes -= this.#underWay.shift()?.size ?? 0;
    }
    this.pump();
  }
}
