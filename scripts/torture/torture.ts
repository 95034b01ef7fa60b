/**
 * Torture: random plans on three real agents and a real controller, all of them killed with SIGKILL again and again, from
 * outside at any moment and from inside at crash points, with the connection cut in between. Afterwards every run must
 * have ended as its plan says, and every effect must be there exactly as often as it says. Exit code 0 only then.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { randomOf } from '../../test/support/media.ts';
import { audit, type Findings } from './audit.ts';
import { torturePlan } from './plans.ts';
import { Site } from './site.ts';

/** Plans under way at a time; those that share no node work at once. */
const UNDER_WAY = 3;
/** After the last kill everything must come to its end within this time. */
const CALM_MS = 180_000;

const USAGE = 'usage: npm run torture -- [--kills N] [--seed S] [-o text|json] [--keep]\n';

const OPTIONS = {
  help: { type: 'boolean', short: 'h', default: false },
  kills: { type: 'string', default: '300' },
  seed: { type: 'string', default: '1' },
  output: { type: 'string', short: 'o', default: 'text' },
  /** Folders and logs stay, also when all is well. */
  keep: { type: 'boolean', default: false },
} as const;

function stated() {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (thrown) {
    process.stderr.write(`${(thrown as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

const options = stated();
if (options.help) {
  process.stdout.write(USAGE);
  process.exit();
}
const wanted = Number(options.kills);
const seed = Number(options.seed);
if (!Number.isInteger(wanted) || wanted < 1 || !Number.isInteger(seed) || !/^(text|json)$/.test(options.output)) {
  process.stderr.write(USAGE);
  process.exit(2);
}

// Short: the path of a unix socket has 107 bytes.
const home = await mkdtemp(join(tmpdir(), 'kk-torture-'));
const site = new Site(home, randomOf(seed));
const places = { ledger: join(home, 'ledger'), files: home };
const planned = randomOf(seed + 1);
const began = performance.now();

let findings: Findings = { lost: 0, twice: 0, wrong: [], runs: 0 };
try {
  await site.build();
  const killing = site.killUntil(wanted, (kills) => {
    if (kills % 50 === 0)
      say(`${kills} kills, ${site.cable.cuts} cuts, ${Math.round((performance.now() - began) / 1000)} s`);
  });
  const plans = [];
  const under = new Set<Promise<void>>();
  while (site.kills < wanted && site.trouble === undefined) {
    const plan = torturePlan(`s${seed}p${plans.length + 1}`, places, planned);
    plans.push(plan);
    const run = site
      .apply(plan)
      .then((id) => site.untilEnded(id))
      .finally(() => under.delete(run));
    under.add(run);
    if (under.size >= UNDER_WAY) await Promise.race([...under, killing]);
  }
  await killing;
  if (site.trouble === undefined) await Promise.race([Promise.all(under), pause(CALM_MS, undefined, { ref: false })]);
  findings = await audit(site.client, plans, places);
  if (site.trouble !== undefined) findings.wrong.push(site.trouble);
} finally {
  await site.close();
}

for (const line of findings.wrong.slice(0, 20)) say(line);
const failed = findings.wrong.length > 0;
if (failed || options.keep)
  say(`Folders and logs are in ${home}; the same again: npm run torture -- --kills ${wanted} --seed ${seed}`);
else await rm(home, { recursive: true, force: true });
const { lost, twice, runs } = findings;
if (options.output === 'json')
  process.stdout.write(`${JSON.stringify({ kills: site.kills, lost, twice, runs, seed })}\n`);
else {
  const passed = Object.entries(site.deaths).map(([how, count]) => `${count} ${how}`);
  process.stdout.write(
    `${site.kills} kills (${passed.join(', ')}), ${site.cable.cuts} cuts, ${runs} runs in ${Math.round((performance.now() - began) / 1000)} s: ${lost} lost, ${twice} twice, ${findings.wrong.length} wrong.\n`,
  );
}
// Those that still wait for a run would go on asking.
process.exit(failed ? 1 : 0);

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
