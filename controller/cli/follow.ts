import { KkError } from '../../shared/errors.ts';
import { EXIT_CODE } from '../../shared/lifecycle.ts';
import type { RunView, StreamLine } from '../views/types.ts';
import type { Cli } from './cli.ts';

/** How a run is watched: every line of its stream, then its end. */
export interface Watcher {
  line(line: StreamLine): void;
  /** Beside the lines: interruptions and reconnections. */
  note(text: string): void;
  /** The stream starts over: what was gathered is void. */
  restart(): void;
  end(run: RunView | undefined): void;
  /** Nothing is drawn until the answer is called; absent: nothing ever is. */
  hold?(): () => void;
}

export interface FollowOptions {
  run: string;
  logs: boolean;
  /** Tell nothing of the revisions before this one. */
  revision?: number;
  watcher: Watcher;
  /** Questions of the run are answered here; absent: somebody else does. */
  confirming?: { yes: boolean };
  /** Called when the controller is gone; makes one answer again, or throws. */
  revive: () => Promise<void>;
}

/** Losses of the controller that are mended in one run before its user is told. */
const MOST_REVIVALS = 5;

/**
 * Follows a run to its end and gives the exit code. The first Ctrl-C asks the controller to cancel, the second one lets go of
 * the run. When the controller dies under it, `revive` is called and the stream read again from its beginning.
 */
export async function followRun(
  cli: Cli,
  { run, logs, revision, watcher, confirming, revive }: FollowOptions,
): Promise<number> {
  const detached = new AbortController();
  let failure: unknown;
  const how = confirming && { ...confirming, note: watcher.note, hold: () => watcher.hold?.() ?? (() => {}) };
  const answers =
    how &&
    new (await import('./confirming.ts')).Answers(cli, run, how, (error) => {
      failure = error;
      detached.abort();
    });
  const answering: Pick<Watcher, 'line'> = {
    line(line) {
      watcher.line(line);
      answers?.line(line);
    },
  };
  let interrupts = 0;
  const stopListening = cli.parts.onInterrupt(() => {
    interrupts += 1;
    if (interrupts > 1) {
      detached.abort();
      return;
    }
    watcher.note('Cancelling: commands at work are stopped. Ctrl-C again leaves the run to the controller.');
    cli.client
      .cancel(run, { by: cli.parts.settings.user })
      .catch((thrown: unknown) => watcher.note(`The cancel was not taken: ${String((thrown as Error).message)}`));
  });
  let end: RunView | undefined;
  try {
    for (let lives = 0; end === undefined && !detached.signal.aborted; lives++) {
      try {
        if (lives > 0) {
          await revive();
          watcher.restart();
        }
        end = await readOnce(cli, run, { logs, ...(revision ? { revision } : {}) }, answering, detached.signal);
      } catch (thrown) {
        if (!isLoss(thrown) || lives >= MOST_REVIVALS) throw thrown;
        watcher.note('The controller is gone; the nodes go on with what they have. Waiting for it.');
      }
    }
  } finally {
    stopListening();
    watcher.end(end);
  }
  if (end) return exitCodeOf(end);
  if (failure !== undefined) throw failure;
  cli.note(`Left alone: the run goes on. See it with \`kk-controller logs ${run} -f\`.`);
  return EXIT_CODE.cancelled;
}

async function readOnce(
  cli: Cli,
  run: string,
  wish: { logs: boolean; revision?: number },
  watcher: Pick<Watcher, 'line'>,
  signal: AbortSignal,
): Promise<RunView | undefined> {
  for await (const line of cli.client.follow(run, wish, signal)) {
    watcher.line(line);
    if (line.type === 'finished') return line.run;
  }
  if (signal.aborted) return undefined;
  throw new KkError({
    code: 'CONTROLLER_LOST',
    message: `The controller ended before the run ${run} did.`,
    remedy: `Start it again (\`kk-controller serve\`), then \`kk-controller logs ${run} -f\`.`,
  });
}

function isLoss(thrown: unknown): boolean {
  return thrown instanceof KkError && (thrown.code === 'CONTROLLER_LOST' || thrown.code === 'CONTROLLER_UNREACHABLE');
}

export function exitCodeOf(run: RunView): number {
  switch (run.status) {
    case 'done':
      return EXIT_CODE.done;
    case 'precheck_failed':
      return EXIT_CODE.precheck_failed;
    case 'cancelled':
      return EXIT_CODE.cancelled;
    default:
      return EXIT_CODE.failed;
  }
}

/** Lines as they are, for programs; notes beside them. */
export function rawWatcher(cli: Cli, format: 'json' | 'yaml'): Watcher {
  return {
    line: (line) => cli.showNext(format, line),
    note: (text) => cli.note(text),
    restart: () => cli.note('The stream starts over.'),
    end: () => {},
  };
}
