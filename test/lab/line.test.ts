/**
 * The whole line on machines with a systemd and an sshd of their own: `npm run test:lab`, as root on Linux. One story
 * after the other on one lab, from nothing; each is told as it passes.
 */
import t from 'tap';
import { labAvailable } from '../../scripts/lab/api.ts';
import { packageAgent } from '../../scripts/package-agent.ts';
import { calamityStories } from './calamity-stories.ts';
import { Fleet } from './fleet.ts';
import { lineStories } from './line-stories.ts';
import { restoreStories } from './restore-stories.ts';
import { measured } from './story.ts';
import { survivalStories } from './survival-stories.ts';
import { troubleStories } from './trouble-stories.ts';
import { upkeepStories } from './upkeep-stories.ts';
import { verbStories } from './verb-stories.ts';

const LAB = 'e2e';
const available = labAvailable();
/** Well above the six minutes it may take on a machine that has nothing else to do. */
const LIMIT_MS = 1_200_000;

t.setTimeout(LIMIT_MS);
t.test('the line in the lab', { skip: available.ok ? false : available.why, timeout: LIMIT_MS }, async (t) => {
  const agent = await packageAgent();
  measured(t, `agent ${(agent.binary.size / 1e6).toFixed(1)} MB, ${(agent.gz.size / 1e6).toFixed(1)} MB as gzip`);
  const fleet = await Fleet.up(LAB, 4);
  t.teardown(() => fleet.destroy());
  await fleet.serve();
  await lineStories(t, fleet);
  await survivalStories(t, fleet);
  await calamityStories(t, fleet);
  await verbStories(t, fleet);
  await restoreStories(t, fleet);
  await upkeepStories(t, fleet);
  await troubleStories(t, fleet);
});
