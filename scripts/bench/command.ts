import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Site } from '../fleet/site.ts';
import { packageController } from '../package-controller.ts';
import { laps } from './compile.ts';
import { rounded } from './makespan.ts';

const run = promisify(execFile);
const ROUNDS = 11;
const NODES = 3;

export interface CommandFigures {
  /** `exec` on three machines on which a command takes no time: from its start to its exit, the median. */
  execMs: number;
  /** `node -e 0`, measured in turn with it: what no command of ours can be below. */
  nodeMs: number;
  ratio: number;
}

/** What a person waits for: the packaged command line against a controller that serves. Throws when a command fails. */
export async function benchCommand(site: Site): Promise<CommandFigures> {
  const main = join(await packageController(), 'main.js');
  const nodes = site.fleet.names.slice(0, NODES).join(',');
  const exec = [main, '--state', site.controller.folder, 'exec', nodes, '--', 'true'];
  const times: number[] = [];
  const bare: number[] = [];
  // The first one fills the cache of compiled code.
  await run(process.execPath, exec);
  for (let round = 0; round < ROUNDS; round += 1) {
    times.push(await timed(exec));
    bare.push(await timed(['-e', '0']));
  }
  const [execMs, nodeMs] = [median(times), median(bare)];
  return { execMs, nodeMs, ratio: rounded(execMs / nodeMs) };
}

async function timed(args: readonly string[]): Promise<number> {
  const lap = laps();
  await run(process.execPath, args);
  return lap();
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
