import t from 'tap';
import { type Parts, Story } from '../support/journal-story.ts';
import { onMedia } from '../support/media-fs.ts';

/** Moments of a power cut, each with what of the unsynced gets through. */
const POINTS = Number(process.env['KK_TEST_POINTS'] ?? 15_000);
const SEED = Number(process.env['KK_TEST_SEED'] ?? 1);

t.setTimeout(300_000);

onMedia('/agent/durable/');
const parts: Parts = {
  ...(await import('../../agent/executor/journal.ts')),
  ...(await import('../../agent/durable/disk.ts')),
};

t.test('whatever a power cut leaves: all that was synced is there, in order, and nothing else', async (t) => {
  let points = 0;
  for (let seed = SEED; points < POINTS; seed += 1) {
    const story = new Story(parts, seed);
    for (let life = 0; life < 6; life += 1) {
      const { points: more, wrong } = await story.live();
      points += more;
      if (wrong.length > 0) {
        t.same(wrong.slice(0, 5), [], `KK_TEST_SEED=${seed} (life ${life}, ${wrong.length} of ${more})`);
        return;
      }
    }
  }
  t.ok(points >= POINTS, `${points} power cuts`);
});
