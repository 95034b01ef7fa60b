/** Wrong frames against both sides, many of them (test/support/fuzz.ts). Exit code 0: no defect, and the memory stayed. */

import { parseArgs } from 'node:util';
import { fuzzAgent, fuzzController } from '../../test/support/fuzz.ts';
import { liveMemory } from '../../test/support/live-memory.ts';

/** So many frames make a world of their own, with a seed that gives it again. */
const ROUND = 20_000;
/** The heap after a round, over that after the first ones. */
const GROWTH = 48 * 2 ** 20;

const { values: options } = parseArgs({
  options: {
    frames: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
  },
});
const frames = Number(options.frames);
const first = Number(options.seed);
if (!Number.isInteger(frames) || frames < 1 || !Number.isInteger(first)) {
  process.stderr.write('usage: npm run fuzz -- [--frames N] [--seed S]\n');
  process.exit(2);
}

let done = 0;
let seed = first;
let before: number | undefined;
const wrong: string[] = [];
for (; done < frames && wrong.length === 0; seed += 1) {
  const size = Math.min(ROUND, Math.ceil((frames - done) / 2));
  for (const [side, fuzz] of Object.entries({ controller: fuzzController, agent: fuzzAgent })) {
    const found = await fuzz(size, seed);
    done += found.frames;
    wrong.push(...found.wrong.map((text) => `${side}, --frames ${2 * size} --seed ${seed}: ${text}`));
  }
  const now = liveMemory();
  before ??= now;
  if (now > before + GROWTH) wrong.push(`the heap has grown from ${before} to ${now} bytes`);
  process.stderr.write(`${done} frames, ${Math.round(now / 2 ** 20)} MiB\n`);
}
for (const text of wrong.slice(0, 10)) process.stderr.write(`${text}\n`);
process.stdout.write(`${JSON.stringify({ frames: done, wrong: wrong.length, seed: first, rounds: seed - first })}\n`);
process.exitCode = wrong.length === 0 ? 0 : 1;
