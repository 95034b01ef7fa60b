/** Private modes (DECSET, `CSI ? n h`) that full-screen programs change; the value is how an ordinary terminal has them. */
const USUAL: Readonly<Record<string, boolean>> = {
  1: false, // keys send application codes
  25: true, // the cursor is seen
  47: false, // the other screen
  1047: false,
  1049: false,
  1000: false, // the mouse is reported, in its variants
  1002: false,
  1003: false,
  1005: false,
  1006: false,
  1015: false,
  1004: false, // focus is reported
  2004: false, // what is pasted is marked
};

/** One whole sequence `CSI ? n ; n h|l`; a beginning of one at the end of a chunk is kept for the next. */
const SEQUENCE = /\p{Cc}\[\?([\d;]{1,40})([hl])/gu;
const BEGINNING = /\p{Cc}(?:\[(?:\?[\d;]{0,40})?)?$/u;

/**
 * What a program on a node has made of the terminal here, so that it can be taken back when the program's end is never seen:
 * vim on a node that loses its power leaves its screen, its mouse and its cursor behind.
 */
export class TerminalModes {
  readonly #changed = new Map<string, boolean>();
  #rest = '';

  /** What is shown. */
  saw(data: Uint8Array): void {
    const text = this.#rest + Buffer.from(data).toString('latin1');
    for (const [, modes = '', how] of text.matchAll(SEQUENCE)) {
      for (const mode of modes.split(';')) {
        const usual = USUAL[mode];
        if (usual === undefined) continue;
        if (usual === (how === 'h')) this.#changed.delete(mode);
        else this.#changed.set(mode, usual);
      }
    }
    this.#rest = BEGINNING.exec(text)?.[0] ?? '';
  }

  /** Writes the terminal back as it was; nothing where nothing is left over. */
  restore(): string {
    if (this.#changed.size === 0) return '';
    const modes = [...this.#changed].map(([mode, usual]) => `\x1b[?${mode}${usual ? 'h' : 'l'}`);
    // Colours and the keypad, too: such a program will have set them.
    return `${modes.join('')}\x1b[m\x1b>`;
  }
}
