import t from 'tap';
import { fuzzAgent, fuzzController } from '../support/fuzz.ts';

/** Of both sides together; `npm run fuzz` sends a million. */
const FRAMES = Number(process.env['KK_TEST_FRAMES'] ?? 50_000);
const SEED = Number(process.env['KK_TEST_SEED'] ?? 1);
/** Above what either side needs for it, far below what a leak of every frame's own would leave. */
const MEMORY = 200 * 2 ** 20;

t.setTimeout(300_000);

t.test('wrong frames harm neither the controller nor the work of other nodes', async (t) => {
  const { frames, wrong, memory } = await fuzzController(FRAMES / 2, SEED);
  t.same(wrong, [], `KK_TEST_SEED=${SEED}, ${frames} frames`);
  t.ok(memory < MEMORY, `${memory} bytes in use`);
});

t.test('wrong frames harm no agent: it does next what a sound controller says', async (t) => {
  const { frames, wrong, memory } = await fuzzAgent(FRAMES / 2, SEED);
  t.same(wrong, [], `KK_TEST_SEED=${SEED}, ${frames} frames`);
  t.ok(memory < MEMORY, `${memory} bytes in use`);
});
