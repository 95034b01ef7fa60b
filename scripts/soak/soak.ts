/** `npm run soak`: a controller and hundreds of agents at work under constant trouble; is anything lost, does it grow? */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { errorText } from '../../shared/error-text.ts';
import { reportOf } from '../../shared/errors.ts';
import { Site } from '../fleet/site.ts';
import { Audit } from './audit.ts';
import { type Done, execLane, type LaneParts, planLane } from './lanes.ts';
import { type Sample, slopeOf } from './memory.ts';
import { makeTrouble, type Troubles } from './trouble.ts';

const HELP = `Usage: npm run soak -- [options]

Runs plans and commands without pause on simulated machines, while agents' processes and the controller's are killed
and started again and connections are cut. In the last three quarters the controller is left alive: over that life its
memory is judged. Exit code 1 when a step was lost or done twice, or memory grows by 1 MiB a minute or more.

  --minutes N      default 30
  --agents N       default 500
  --seed N         default 1
  --folder DIR     for all state; kept (default: a temporary one, removed)
  -o, --output     text (default) or json: one line at the end
  -h, --help`;

const LIMIT_MIB = 1;
const SAMPLE_MS = 5_000;
/** Of so many samples one is also taken of what is in use after a collection, and told. */
const LIVE_EVERY = 12;
const TELL_MEMORY = ['--expose-gc', '--import', new URL('tell-memory.ts', import.meta.url).href];
/** Part of the time in which the controller is killed, and part of its last life that counts as warming up. */
const KILLING = 0.25;
const WARM_UP = 0.25;
const AGENTS_OF_PROCESS = 125;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '30' },
      agents: { type: 'string', default: '500' },
      seed: { type: 'string', default: '1' },
      folder: { type: 'string' },
      output: { type: 'string', short: 'o', default: 'text' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  const [minutes, agents, seed] = [Number(values.minutes), Number(values.agents), Number(values.seed)];
  const site = await Site.open({
    ...{ agents, seed, work: { ms: [0, 0], fail: 0 }, processes: Math.ceil(agents / AGENTS_OF_PROCESS) },
    execArgv: TELL_MEMORY,
    ...(values.folder === undefined ? {} : { folder: values.folder }),
  });
  try {
    return await soak(site, { minutes, agents, seed, json: values.output === 'json' });
  } finally {
    await site.close();
  }
}

interface Wish {
  minutes: number;
  agents: number;
  seed: number;
  json: boolean;
}

async function soak(site: Site, { minutes, agents, seed, json }: Wish): Promise<number> {
  const begun = performance.now();
  const elapsed = (): number => performance.now() - begun;
  const totalMs = minutes * 60_000;
  const over = AbortSignal.timeout(totalMs);
  const audit = new Audit(site.fleet.ledgers(), seed);
  const done: Done = { runs: 0, execs: 0, cancelled: 0, steps: 0 };
  const troubles: Troubles = { agentKills: 0, controllerKills: 0, cuts: 0 };
  const samples: Samples = { resident: [], live: [] };
  const say = (text: string): void => void process.stderr.write(`${(elapsed() / 60_000).toFixed(1)} min: ${text}\n`);

  const parts: LaneParts = { site, audit, seed, done, over };
  const { names } = site.fleet;
  const half = Math.ceil(names.length / 2);
  const sampling = sample(site, samples, over, (live, resident) =>
    say(
      `controller ${mib(live)} in use, ${mib(resident)} resident; ${done.runs} runs, ${done.execs} execs, ${done.steps} steps checked, ` +
        `${audit.findings.lost} lost, ${audit.findings.twice} twice; kills: ${troubles.agentKills} of agents' processes, ` +
        `${troubles.controllerKills} of the controller; ${troubles.cuts} cuts; ${site.fleet.connected} connected`,
    ),
  );
  const mayKillController = (): boolean => elapsed() < KILLING * totalMs;
  await Promise.all([
    planLane('left', names.slice(0, half), parts),
    planLane('right', names.slice(half), parts),
    execLane(parts),
    makeTrouble(site, { seed, over, mayKillController }, troubles),
    sampling,
  ]);
  await site.fleet.whenConnected();
  await audit.read();

  const slope = slopeOf(samples.live, WARM_UP);
  const residentSlope = slopeOf(samples.resident, WARM_UP);
  const { lost, twice, examples } = audit.findings;
  for (const example of examples) say(example);
  const disk = { controllerBytes: bytesOf(site.controller.folder), machinesBytes: bytesOf(site.folder) };
  const ok = lost === 0 && twice === 0 && slope !== undefined && slope.mibPerMinute < LIMIT_MIB;
  const memoryMib = samples.live.map(({ bytes }) => Math.round(bytes / 2 ** 20));
  const result = {
    ok,
    minutes,
    agents,
    seed,
    ...done,
    ...troubles,
    lost,
    twice,
    slope,
    residentSlope,
    memoryMib,
    disk,
  };
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : `${JSON.stringify(result, undefined, 2)}\n`);
  return ok ? 0 : 1;
}

interface Samples {
  resident: Sample[];
  /** In use after a collection. */
  live: Sample[];
}

/** Looks at the controller's memory until it is over, and tells of it once a minute. */
async function sample(
  { controller }: Site,
  samples: Samples,
  over: AbortSignal,
  tell: (live: number, resident: number) => void,
): Promise<void> {
  for (let number = 0; !over.aborted; number += 1) {
    const life = controller.pid;
    try {
      const { rss } = controller.usage();
      samples.resident.push({ atMs: performance.now(), life, bytes: rss });
      const live = number % LIVE_EVERY === 0 ? await controller.liveMemory() : undefined;
      if (live !== undefined) {
        samples.live.push({ atMs: performance.now(), life, bytes: live });
        tell(live, rss);
      }
    } catch {
      // It is dead just now.
    }
    await sleep(SAMPLE_MS, undefined, { signal: over }).catch(() => {});
  }
}

function bytesOf(folder: string): number {
  return Number(execFileSync('du', ['-sb', folder], { encoding: 'utf8' }).split('\t')[0]);
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

try {
  process.exitCode = await main();
} catch (thrown) {
  process.stderr.write(errorText(reportOf(thrown)));
  // The other lanes would go on for ever without the site.
  process.exit(2);
}
