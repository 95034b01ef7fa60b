import { setTimeout } from 'node:timers/promises';
import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import { EXIT_CODE } from '../../../shared/lifecycle.ts';
import type { Cli } from '../cli.ts';
import { EscapeKeys } from '../escape.ts';
import { LineFeeds } from '../output/line-feeds.ts';
import { TerminalModes } from '../output/terminal-modes.ts';
import { Recording } from '../recording.ts';
import { openShell } from '../shell-socket.ts';
import type { Terminal } from '../terminal.ts';
import { wakeController } from '../wake.ts';

interface Options {
  user?: string;
  record?: string;
  now?: true;
}

/** As a shell says that a signal ended a program. */
const SIGNALLED = 128;

/** A node that is away is waited for so long, as `exec` does: where a controller was just started, all are. */
const AWAY_MS = 10_000;
const AWAY_LOOK_MS = 250;

export function shellCommand(cli: Cli): Command {
  const command = new Command('shell')
    .description('Open a terminal on a node')
    .argument('<node>', 'name of the node')
    .argument('[command...]', 'after --: what to run instead of the login shell; one single word is a line of shell')
    .option('--user <name>', 'be this user of the node (default: root)')
    .option('--record <file>', 'keep what is shown as an asciicast, which `asciinema play` shows again')
    .option('--now', 'also while a step of the node wants it for itself')
    .addHelpText(
      'after',
      `
It goes through the controller and the agent, without SSH. Ends with the exit status of the shell or the command
(128 and the number of a signal). Enter, then ~. leaves a session that hangs.

Examples:
  kk-controller shell worker7
  kk-controller shell worker7 -- journalctl -fu kubelet
  kk-controller shell cp1 --user ops --record incident.cast`,
    );
  return cli.action(command, async (node: string, argv: string[], options: Options) => {
    const { terminal } = cli.parts;
    if (terminal === undefined) throw noTerminal();
    await wakeController(cli);
    const session = new ShellSession(cli, terminal, options.record);
    const wish = {
      node,
      argv,
      ...(options.user === undefined ? {} : { user: options.user }),
      now: options.now ?? false,
    };
    const till = performance.now() + AWAY_MS;
    try {
      for (;;) {
        try {
          return await session.run(wish);
        } catch (thrown) {
          if (!isAway(thrown) || performance.now() > till) throw thrown;
          await setTimeout(AWAY_LOOK_MS);
        }
      }
    } finally {
      session.end();
    }
  });
}

interface Wish {
  node: string;
  argv: string[];
  user?: string;
  now: boolean;
}

/** One session from the first key to the terminal as it was. */
class ShellSession {
  readonly #cli: Cli;
  readonly #terminal: Terminal;
  readonly #recording: Recording | undefined;

  constructor(cli: Cli, terminal: Terminal, record: string | undefined) {
    this.#cli = cli;
    this.#terminal = terminal;
    const { now, settings } = cli.parts;
    this.#recording =
      record === undefined ? undefined : Recording.begin(record, { ...this.#size(), term: settings.term }, now);
  }

  async run(wish: Wish): Promise<number> {
    const { out, settings } = this.#cli.parts;
    const { term, user: by } = settings;
    const terminal = this.#terminal;
    const modes = new TerminalModes();
    const lineFeeds = new LineFeeds();
    const recording = this.#recording;
    let isOpen = false;
    let release = (): void => {};
    let isWhole = false;
    const shell = openShell(
      this.#cli.client.socket,
      { ...wish, ...this.#size(), term, by },
      {
        opened: () => {
          isOpen = true;
          this.#cli.note(`On ${wish.node}. Enter, then ~. leaves a session that hangs.`);
          release = terminal.take(this.#keyboard((data) => shell.type(data), shell.close));
        },
        shown(data) {
          modes.saw(data);
          recording?.shown(data);
          if (out.isTTY) lineFeeds.mend(data);
          return out.write(data);
        },
        drained: terminal.resume,
      },
    );
    out.on('drain', shell.resume);
    const stopWatching = terminal.onResize(() => {
      shell.resize(this.#size());
      const { columns, rows } = this.#size();
      recording?.resized(columns, rows);
    });
    const stopListening = this.#cli.parts.onStop(shell.close);
    try {
      const end = await shell.ended;
      isWhole = end !== undefined;
      if (end === undefined) return EXIT_CODE.cancelled;
      return end.signal === 0 ? end.code : SIGNALLED + end.signal;
    } finally {
      release();
      stopListening();
      stopWatching();
      out.off('drain', shell.resume);
      const left = modes.restore();
      if (left !== '') out.write(left);
      if (isOpen && !isWhole) this.#cli.note(`\nThe session on ${wish.node} has ended.`);
    }
  }

  end(): void {
    this.#recording?.end();
    if (this.#recording?.trouble) this.#cli.note(`The recording is not whole: ${this.#recording.trouble}`);
  }

  /** What is typed goes to the node, but for the escape; what nobody takes there holds the keyboard up. */
  #keyboard(type: (data: Buffer) => boolean, leave: () => void): (keys: Buffer) => void {
    const keyboard = new EscapeKeys();
    return (keys) => {
      const { data, end } = keyboard.take(keys);
      if (end) leave();
      else if (data.length > 0 && !type(data)) this.#terminal.pause();
    };
  }

  #size(): { columns: number; rows: number } {
    const { out, err } = this.#cli.parts;
    const screen = out.isTTY ? out : err;
    return { columns: screen.columns || 80, rows: screen.rows || 24 };
  }
}

function isAway(thrown: unknown): boolean {
  return thrown instanceof KkError && thrown.code === 'NODE_NOT_CONNECTED';
}

function noTerminal(): KkError {
  return new KkError({
    code: 'SHELL_NO_TERMINAL',
    message: 'Standard input is no terminal, and a shell needs one.',
    remedy: 'Use `kk-controller exec NODE -- COMMAND` where nobody sits before it.',
  });
}
