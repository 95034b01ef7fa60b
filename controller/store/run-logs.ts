import { createReadStream } from 'node:fs';
import { appendFile, mkdir, stat, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { isSystemError } from '../../shared/errors.ts';

/** One piece of a command's live output. `offset`: byte offset in its stream, so that a gap shows. */
export interface LogLine {
  at: number;
  node: string;
  task: number;
  /** The revision whose graph `task` points into; absent: the first. */
  revision?: number;
  stream: 'stdout' | 'stderr';
  offset: number;
  text: string;
}

/** Live output is kept in files, a node of a run each: logs are files, not rows (ENGINE 3.2). */
export interface RunLogs {
  append(run: string, line: LogLine): Promise<void>;
  /** What was kept of a run, node after node, each in order of arrival. */
  read(run: string, nodes: readonly string[]): AsyncIterable<LogLine>;
}

/** Bytes kept per node and run; what comes after is on the node only. */
const FILE_LIMIT = 64 * 1024 * 1024;

export function runLogs(folder: string): RunLogs {
  const pathOf = (run: string, node: string): string => join(folder, run, `${node}.ndjson`);
  return {
    async append(run, line) {
      const path = pathOf(run, line.node);
      const size = await stat(path).then(
        (s) => s.size,
        () => -1,
      );
      if (size < 0) await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      if (size >= FILE_LIMIT) return;
      try {
        await appendFile(path, `${JSON.stringify(line)}\n`, { mode: 0o600 });
      } catch (thrown) {
        // Half a line would spoil the next one.
        await truncate(path, Math.max(0, size)).catch(() => {});
        throw thrown;
      }
    },
    async *read(run, nodes) {
      for (const node of nodes) yield* linesOf(pathOf(run, node));
    },
  };
}

async function* linesOf(path: string): AsyncIterable<LogLine> {
  try {
    for await (const text of createInterface({ input: createReadStream(path, 'utf8') })) {
      const line = lineOf(text);
      if (line) yield line;
    }
  } catch (thrown) {
    if (!isSystemError(thrown, 'ENOENT')) throw thrown;
  }
}

/** Undefined for what a controller that was killed left of a line, which the next one may have been added to. */
function lineOf(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}
