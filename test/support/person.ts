/** A person before a terminal: `kk-controller` on a pseudoterminal of its own, seen and typed at. */
import { join } from 'node:path';
import { Terminal } from '../../agent/pty/terminal.ts';

const MAIN = join(import.meta.dirname, '../../controller/main.ts');

/** A person's patience: what has not come by then will not. */
const LONG_MS = 30_000;

export interface Person {
  /** Process of the command. */
  pid: number;
  /** All that was shown so far. */
  readonly seen: string;
  type(text: string): void;
  resize(columns: number, rows: number): void;
  /** Resolves once what is shown after the last awaited text fits. */
  until(pattern: RegExp): Promise<void>;
  /** Exit status, or 128 and the signal. */
  ended: Promise<number>;
}

/** Starts it with these arguments. */
export async function person(args: readonly string[], env: Record<string, string>): Promise<Person> {
  let seen = '';
  let from = 0;
  let awaited: { pattern: RegExp; resolve: () => void } | undefined;
  const utf8 = new TextDecoder();
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();
  const look = (): void => {
    const found = awaited?.pattern.exec(seen.slice(from));
    if (!found || awaited === undefined) return;
    from += found.index + found[0].length;
    awaited.resolve();
    awaited = undefined;
  };
  const terminal = await Terminal.open(
    {
      argv: [process.execPath, MAIN, ...args],
      env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm', NO_COLOR: '1', ...env },
      cwd: '/',
      columns: 90,
      rows: 30,
    },
    {
      onData(data) {
        seen += utf8.decode(data, { stream: true });
        look();
      },
      onEnd: (code, signal) => end(signal === 0 ? code : 128 + signal),
    },
  );
  return {
    pid: terminal.pid,
    get seen() {
      return seen;
    },
    type: (text) => terminal.write(Buffer.from(text)),
    resize: (columns, rows) => terminal.resize(columns, rows),
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`no ${pattern} in:\n${seen}`)), LONG_MS);
        awaited = {
          pattern,
          resolve() {
            clearTimeout(late);
            resolve();
          },
        };
        void ended.then(() => reject(new Error(`ended without ${pattern}:\n${seen}`)));
        look();
      }),
    ended,
  };
}
