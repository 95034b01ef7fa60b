/**
 * What an operator reaches for, on machines of a lab of its own: each action done, done again and undone; terminals; how agents
 * come and go. `npm run test:lab`, as root on Linux.
 */
import t from 'tap';
import { labAvailable } from '../../scripts/lab/api.ts';
import { packageAgent } from '../../scripts/package-agent.ts';
import { fileStories } from './file-stories.ts';
import { Fleet } from './fleet.ts';
import { joiningStories } from './joining-stories.ts';
import { packageStories } from './package-stories.ts';
import { shellStories } from './shell-stories.ts';
import { systemStories } from './system-stories.ts';

const LAB = 'e2h';
const NODES = ['node1', 'node2', 'node3', 'node4'];
const available = labAvailable();
/** Well above the six minutes it may take on a machine that has nothing else to do. */
const LIMIT_MS = 1_200_000;

t.setTimeout(LIMIT_MS);
t.test('hands in the lab', { skip: available.ok ? false : available.why, timeout: LIMIT_MS }, async (t) => {
  await packageAgent();
  const fleet = await Fleet.up(LAB, NODES.length);
  t.teardown(() => fleet.destroy());
  await fleet.serve();
  const hosts = NODES.map((node) => [node, { address: fleet.addressOf(node), ssh: false as const }] as const);
  await fleet.inventory('inventory.yaml', Object.fromEntries(hosts));
  for (const node of ['node1', 'node2']) {
    const joined = await fleet.try(node, await fleet.joinLine('--name', node));
    t.equal(joined.code, 0, joined.stderr);
  }
  await shellStories(t, fleet);
  await fileStories(t, fleet);
  await systemStories(t, fleet);
  await packageStories(t, fleet);
  await joiningStories(t, fleet, ['node3', 'node4']);
});
