import t from 'tap';
import { type Parts, type Resting, restingJournal, Story, stateOf } from '../support/journal-story.ts';
import { onMedia } from '../support/media-fs.ts';

/** Moments of a power cut, each with what of the unsynced gets through. */
const POINTS = Number(process.env['KK_TEST_POINTS'] ?? 16_000);
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

t.test('whatever byte of a journal at rest is flipped: the same state, or JOURNAL_CORRUPT', async (t) => {
  let flips = 0;
  for (const history of ['new', 'in batches', 'rewritten']) {
    const image = await restingJournal(parts, history as Resting);
    const before = await stateOf(parts, image);
    for (let at = 0; at < image.length; at += 1) {
      for (const mask of [0x01, 0x20, 0x80, 0xff]) {
        const hurt = Buffer.from(image);
        hurt[at] = (hurt[at] ?? 0) ^ mask;
        const after = await stateOf(parts, hurt);
        flips += 1;
        if (after !== before && after !== 'JOURNAL_CORRUPT') t.equal(after, before, `${history}: byte ${at} ^ ${mask}`);
      }
    }
  }
  t.ok(flips > 5_000, `${flips} flips`);
});
