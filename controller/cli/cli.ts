import { resolve } from 'node:path';
import type { Command } from 'commander';
import { KkError } from '../../shared/errors.ts';
import { type ServeIo, type ServeOptions, type Settings, socketPath } from '../config/settings.ts';
import type { BackupView } from '../views/types.ts';
import { Client } from './client.ts';
import type { Format } from './options.ts';
import { type Colors, colorsFor } from './output/colors.ts';
import type { Terminal } from './terminal.ts';

/** Where text goes: a terminal, a pipe, a test's buffer. */
export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number; rows?: number };

/** What the commands have of the process; main hands it in, tests make their own. */
export interface CliParts {
  out: Output;
  err: Output;
  settings: Settings;
  now: () => number;
  version: string;
  /** How to start this program again, for the controller that `apply` starts. */
  self: { command: string; args: readonly string[] };
  /** Asks a person on the terminal; absent: there is none. */
  ask?: (question: string) => Promise<string>;
  /** Standard input, when it is a terminal. */
  terminal?: Terminal;
  /** Calls `handler` at each Ctrl-C until the returned function is called. */
  onInterrupt: (handler: () => void) => () => void;
  /** The same for Ctrl-C and the TERM of a service manager. */
  onStop: (handler: () => void) => () => void;
  runServe: (options: Omit<ServeOptions, 'agentFolder'>, io: Omit<ServeIo, 'environment'>) => Promise<number>;
  /** Both on a state folder that no controller runs on. */
  backup: (stateFolder: string, file: string, logs: boolean) => Promise<BackupView>;
  restore: (stateFolder: string, file: string) => Promise<BackupView>;
}

/** What every command works with. */
export class Cli {
  readonly parts: CliParts;
  /** Exit code of the command that ran. */
  exitCode = 0;
  /** Of the command that runs: in which form errors are told. */
  format: Format = 'table';
  /** Texts of the plan that is being looked at, for carets under its lines. */
  texts: Readonly<Record<string, string>> = {};
  #stateFolder: string;
  /** Loaded for who asks for it: it is large. */
  #asYaml: (value: unknown) => string = JSON.stringify;

  constructor(parts: CliParts) {
    this.parts = parts;
    this.#stateFolder = parts.settings.stateFolder;
  }

  /** Absolute. Throws KkError STATE_NOT_WRITABLE for the kernel's own folders, where making one never comes back. */
  get stateFolder(): string {
    const folder = resolve(this.#stateFolder);
    if (!/^\/(proc|sys)(\/|$)/.test(folder)) return folder;
    throw new KkError({
      code: 'STATE_NOT_WRITABLE',
      message: `${folder} cannot be a state folder: it is the kernel's.`,
      remedy: 'Give a folder on a disk with --state.',
    });
  }

  set stateFolder(folder: string) {
    this.#stateFolder = folder;
  }

  get client(): Client {
    return new Client(socketPath(this.stateFolder));
  }

  /** Colours of standard output, and of standard error. */
  get colors(): Colors {
    return colorsFor(this.parts.settings.color && this.parts.out.isTTY === true);
  }

  get errColors(): Colors {
    return colorsFor(this.parts.settings.color && this.parts.err.isTTY === true);
  }

  /** Is standard output a terminal that can be drawn over? */
  get isLive(): boolean {
    return this.parts.out.isTTY === true && this.parts.settings.live;
  }

  print(lines: string | readonly string[]): void {
    this.parts.out.write(`${typeof lines === 'string' ? lines : lines.join('\n')}\n`);
  }

  /** For people beside the output that programs read. */
  note(text: string): void {
    this.parts.err.write(`${text}\n`);
  }

  /** One value in the wanted form; `lines` makes the table. */
  show(format: Format, value: unknown, lines: () => readonly string[]): void {
    if (format === 'json') this.print(JSON.stringify(value, null, 2));
    else if (format === 'yaml') this.parts.out.write(this.#asYaml(value));
    else this.print(lines());
  }

  /** One value of a stream: a JSON object a line, or a YAML document. */
  showNext(format: 'json' | 'yaml', value: unknown): void {
    this.parts.out.write(format === 'json' ? `${JSON.stringify(value)}\n` : `---\n${this.#asYaml(value)}`);
  }

  /** Makes `run` what the command does; it gives the exit code. Arguments as commander hands them. */
  action<A extends unknown[]>(command: Command, run: (...args: A) => Promise<number>): Command {
    return command.action(async (...args) => {
      // A group that lists something has an -o of its own, and takes it from the command below it.
      const { parent } = command;
      if (parent?.getOptionValueSource('output') === 'cli') command.setOptionValue('output', parent.opts()['output']);
      const options = command.opts<{ output?: Format }>();
      this.format = options.output ?? 'table';
      if (this.format === 'yaml') this.#asYaml = (await import('yaml')).stringify;
      this.exitCode = await run(...(args as unknown as A));
    });
  }
}
