import type { Output } from './cli.ts';

export interface Live {
  /** Text that stays, above the live part. */
  above(lines: readonly string[]): void;
  /** The live part may have changed; drawn at most every 100 ms. */
  touch(): void;
  /** Takes the live part away until the answer is called. */
  hold(): () => void;
  /** Takes the live part away and stops. */
  end(): void;
}

const DRAW_MS = 100;
/** Durations go on counting while nothing happens. */
const TICK_MS = 1000;

/** The part of a terminal that is drawn over and over. The cursor stays visible: a killed process leaves no trace. */
export async function startLive(out: Output, frame: () => readonly string[]): Promise<Live> {
  // Only a terminal needs it: most commands start faster without.
  const { createLogUpdate } = await import('log-update');
  const update = createLogUpdate(out, { showCursor: true });
  let due: NodeJS.Timeout | undefined;
  let isHeld = false;
  const draw = (): void => {
    clearTimeout(due);
    due = undefined;
    if (isHeld) return;
    const lines = frame();
    if (lines.length > 0) update(lines.join('\n'));
  };
  const ticking = setInterval(draw, TICK_MS);
  return {
    above(lines) {
      if (lines.length === 0) return;
      update.clear();
      out.write(`${lines.join('\n')}\n`);
      draw();
    },
    touch() {
      due ??= setTimeout(draw, DRAW_MS);
    },
    hold() {
      isHeld = true;
      update.clear();
      return () => {
        isHeld = false;
        draw();
      };
    },
    end() {
      clearInterval(ticking);
      clearTimeout(due);
      update.clear();
      update.done();
    },
  };
}
