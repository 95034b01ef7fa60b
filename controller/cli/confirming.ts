import { KkError } from '../../shared/errors.ts';
import type { StreamLine } from '../views/types.ts';
import type { Cli } from './cli.ts';

/** How a command that follows a run answers what the run asks. */
export interface Confirming {
  /** `--yes`. */
  yes: boolean;
  note(text: string): void;
  /** Nothing is drawn over the question until the answer is called. */
  hold(): () => void;
}

/** Answers the questions of a run that is followed, one after another, as far as they are still open. */
export class Answers {
  readonly #cli: Cli;
  readonly #run: string;
  readonly #how: Confirming;
  readonly #fail: (error: unknown) => void;
  #last: Promise<void> = Promise.resolve();

  /** `fail`: the run cannot go on without somebody who answers, and nobody is there. */
  constructor(cli: Cli, run: string, how: Confirming, fail: (error: unknown) => void) {
    this.#cli = cli;
    this.#run = run;
    this.#how = how;
    this.#fail = fail;
  }

  line(line: StreamLine): void {
    if (line.type !== 'begun' || line.asks === undefined) return;
    const { task, node, asks } = line;
    this.#last = this.#last.then(() => this.#answer(task, node, asks)).catch(this.#fail);
  }

  async #answer(task: string, node: string, message: string): Promise<void> {
    const { client, parts } = this.#cli;
    // The line may be of the past, and somebody else may have answered.
    const open = (await client.run(this.#run)).asks;
    if (!open.some((one) => one.task === task && one.node === node)) return;
    const yes = await this.#ask(message);
    try {
      await client.confirm(this.#run, { task, node, yes, by: parts.settings.user });
    } catch (thrown) {
      if (!(thrown instanceof KkError && thrown.code === 'CONFIRM_NOT_ASKED')) throw thrown;
    }
  }

  async #ask(message: string): Promise<boolean> {
    const { ask } = this.#cli.parts;
    if (this.#how.yes) {
      this.#how.note(`${message} Confirmed: --yes.`);
      return true;
    }
    if (!ask) throw confirmNeeded(this.#run, message);
    const release = this.#how.hold();
    try {
      return /^y(es)?$/i.test((await ask(`${message} Go on? [y/N] `)).trim());
    } finally {
      release();
    }
  }
}

function confirmNeeded(run: string, message: string): KkError {
  return new KkError({
    code: 'CONFIRM_NEEDED',
    message: `Run ${run} waits for a person to confirm: ${message}`,
    remedy: `There is no terminal to ask on. \`kk-controller runs confirm ${run}\` says yes, with --refuse it says no; or apply with --yes.`,
  });
}
