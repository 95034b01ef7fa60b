import type { ReadStream } from 'node:tty';

/** The terminal before a person, as a session on a node needs it. */
export interface Terminal {
  /** Every key comes as it is typed, Ctrl-C too, until the answer is called; that is also done when this process ends. */
  take(keys: (data: Buffer) => void): () => void;
  /** Nothing is read until {@link resume}. */
  pause(): void;
  resume(): void;
  /** Calls `handler` when the window's size has changed, until the answer is called. */
  onResize(handler: () => void): () => void;
}

/** Signals that end this process, and must not leave the terminal as a program on a node wanted it. */
const ENDING = { SIGHUP: 129, SIGQUIT: 131 } as const;

/** The one that the process has. */
export function ownTerminal(process: NodeJS.Process): Terminal {
  const input = process.stdin as ReadStream;
  return {
    take(keys) {
      const restore = (): void => void input.setRawMode(false);
      const enders = Object.entries(ENDING).map(([signal, code]) => ({ signal, end: () => process.exit(code) }));
      input.setRawMode(true);
      input.on('data', keys);
      input.resume();
      process.once('exit', restore);
      for (const { signal, end } of enders) process.once(signal, end);
      return () => {
        input.off('data', keys);
        input.pause();
        restore();
        process.off('exit', restore);
        for (const { signal, end } of enders) process.off(signal, end);
      };
    },
    pause: () => void input.pause(),
    resume: () => void input.resume(),
    onResize(handler) {
      process.on('SIGWINCH', handler);
      return () => void process.off('SIGWINCH', handler);
    },
  };
}
