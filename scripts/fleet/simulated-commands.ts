import type { Clock } from '../../agent/executor/ports.ts';
import type { CommandFound, CommandResult, CommandRunner, CommandSpec } from '../../agent/host/host.ts';
import { type Behaviour, behaviourOf, textOf, type Work } from './behaviour.ts';

/** A command that began on a simulated machine; `endsMs` and what follows are set in advance, only a cancel changes them. */
export interface CommandRecord {
  folder: string;
  boot: string;
  /** CLOCK_BOOTTIME. */
  begunMs: number;
  endsMs: number;
  code: number;
  output: number;
  ended?: 'cancelled' | 'timed out';
}

export interface CommandsParts {
  node: string;
  seed: number;
  work: Work;
  clock: Clock;
  bootId: string;
  /** Told before a command begins: what it does is done exactly as often as this is called. */
  onBegin?: (record: CommandRecord) => void;
  /** A cancel, a timeout: it ends otherwise than was set in advance. */
  onStop?: (record: CommandRecord) => void;
}

/** Of each machine so many of the last commands are remembered: more than can be at work when an agent dies. */
const KEPT = 64;

type Options = Parameters<CommandRunner['start']>[2];

/**
 * The commands of a simulated machine. As real ones they outlive the agent: a new agent on the same machine, or the same
 * one after {@link restore}, finds them running or ended.
 */
export class SimulatedCommands implements CommandRunner {
  readonly #parts: CommandsParts;
  readonly #known = new Map<string, CommandRecord>();

  constructor(parts: CommandsParts) {
    this.#parts = parts;
  }

  /** A command that an earlier life of the simulator told of. */
  restore(record: CommandRecord): void {
    this.#known.set(record.folder, record);
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value ?? '');
  }

  /** Names of the folders of commands directly below a folder. */
  list(folder: string): string[] {
    const names = [...this.#known.keys()].filter((path) => path.slice(0, path.lastIndexOf('/')) === folder);
    return names.map((path) => path.slice(folder.length + 1));
  }

  async start(folder: string, spec: CommandSpec, options: Options): Promise<CommandResult> {
    options.signal?.throwIfAborted();
    const { node, seed, work, clock, bootId, onBegin } = this.#parts;
    const behaviour = behaviourOf(textOf(spec.argv), { seed, node, step: stepOf(folder) }, work);
    const begunMs = clock.bootTimeMs();
    const record: CommandRecord = { folder, boot: bootId, begunMs, ...endOf(behaviour, begunMs, spec.timeoutMs) };
    onBegin?.(record);
    this.restore(record);
    return this.#follow(record, options);
  }

  async recover(folder: string, begunBootId: string, options: Options): Promise<CommandFound> {
    const record = this.#known.get(folder);
    const { bootId, clock } = this.#parts;
    if (record === undefined) return { state: begunBootId === bootId ? 'never-started' : 'lost' };
    const hasEnded = record.ended !== undefined || clock.bootTimeMs() >= record.endsMs;
    if (record.boot !== bootId && !hasEnded) return { state: 'lost' };
    const result = this.#follow(record, options);
    return hasEnded ? { state: 'ended', result: await result } : { state: 'running', result };
  }

  /** Until the end that was set, or a cancel. */
  #follow(record: CommandRecord, { onOutput, signal }: Options): Promise<CommandResult> {
    const { clock, onStop } = this.#parts;
    if (record.output > 0) onOutput?.('stdout', 0, Buffer.alloc(record.output, 'x'));
    return new Promise((resolve) => {
      const settle = (): void => {
        stopTimer();
        signal?.removeEventListener('abort', cancel);
        resolve(resultOf(record));
      };
      const cancel = (): void => {
        record.ended ??= 'cancelled';
        record.endsMs = Math.min(record.endsMs, clock.bootTimeMs());
        onStop?.(record);
        settle();
      };
      const left = record.endsMs - clock.bootTimeMs();
      const stopTimer = left > 0 ? clock.after(left, settle) : () => {};
      if (left <= 0) settle();
      else if (signal?.aborted) cancel();
      else signal?.addEventListener('abort', cancel);
    });
  }
}

function endOf(
  { durationMs, code, output }: Behaviour,
  begunMs: number,
  timeoutMs: number,
): Pick<CommandRecord, 'endsMs' | 'code' | 'output' | 'ended'> {
  if (timeoutMs > 0 && durationMs > timeoutMs) return { endsMs: begunMs + timeoutMs, code, output, ended: 'timed out' };
  return { endsMs: begunMs + durationMs, code, output };
}

function resultOf({ begunMs, endsMs, code, output, ended, folder }: CommandRecord): CommandResult {
  const stream = (bytes: number, name: string): CommandResult['stdout'] => ({
    head: Buffer.alloc(Math.min(bytes, 1024), 'x'),
    tail: Buffer.alloc(0),
    bytes,
    file: `${folder}/${name}`,
  });
  return {
    ...(ended === undefined ? { code } : { signal: 'SIGTERM' }),
    timedOut: ended === 'timed out',
    cancelled: ended === 'cancelled',
    durationMs: endsMs - begunMs,
    stdout: stream(output, 'stdout'),
    stderr: stream(0, 'stderr'),
  };
}

/** `<task>/<item>.<attempt>` of a command's folder (`<runs>/<run>/<task>/<item>.<attempt>/command-<n>`). */
export function stepOf(folder: string): string {
  const [task, attempt] = folder.split('/').slice(-3);
  if (task === undefined || attempt === undefined) throw new Error(`${folder} is not the folder of a step's command`);
  return `${task}/${attempt}`;
}
