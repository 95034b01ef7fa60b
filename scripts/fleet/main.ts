/** `npm run fleet`: simulated machines to try a controller with. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { errorText } from '../../shared/error-text.ts';
import { KkError, reportOf } from '../../shared/errors.ts';
import type { Work } from './behaviour.ts';
import { Fleet } from './fleet.ts';
import { chain, planText } from './plans.ts';
import { Site } from './site.ts';

const HELP = `Usage: npm run fleet -- [options]

Machines that are not there, with agents that are: link, executor, journal and identity are kk-agent's own; files,
commands and facts are simulated (scripts/fleet/README.md). Runs until Ctrl-C.

  --agents N        default 100
  --processes N     default: one for each 250 agents
  --seed N          durations, failures and facts follow from it (default 1)
  --ms A..B         how long a command takes that says nothing itself (default 50..500)
  --fail P          part of those commands that fail, 0 to 1 (default 0)
  --folder DIR      for all state; kept, and taken up by the next start (default: a temporary one, removed)
  --endpoint URL    a controller that is there; a join token with enough uses is read from stdin
                    (default: starts a controller of its own)
  -h, --help

Examples:
  npm run fleet -- --agents 1000
  kk-controller token create --uses 500 | npm run fleet -- --agents 500 --endpoint https://10.0.0.5:9443 --folder /tmp/f`;

interface Wish {
  agents: number;
  processes?: number;
  seed: number;
  work: Work;
  folder?: string;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      agents: { type: 'string', default: '100' },
      processes: { type: 'string' },
      seed: { type: 'string', default: '1' },
      ms: { type: 'string', default: '50..500' },
      fail: { type: 'string', default: '0' },
      folder: { type: 'string' },
      endpoint: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return say(HELP);
  const [shortest = 0, longest = shortest] = values.ms.split('..').map(Number);
  const wish: Wish = {
    agents: number('agents', values.agents, 1),
    seed: number('seed', values.seed, 0),
    work: {
      ms: [number('ms', String(shortest), 0), number('ms', String(longest), 0)],
      fail: number('fail', values.fail, 0),
    },
    ...(values.processes === undefined ? {} : { processes: number('processes', values.processes, 1) }),
    ...(values.folder === undefined ? {} : { folder: values.folder }),
  };
  if (values.endpoint === undefined) await withOwnController(wish);
  else await withController(wish, values.endpoint);
}

function number(option: string, given: string, least: number): number {
  const value = Number(given);
  if (given !== '' && value >= least) return value;
  throw new KkError({
    code: 'FLEET_USAGE',
    message: `--${option} ${given} is not a number of ${least} or more.`,
    remedy: 'See npm run fleet -- --help.',
  });
}

async function withOwnController(wish: Wish): Promise<void> {
  const site = await Site.open(wish);
  try {
    const plan = join(site.folder, 'plan.yaml');
    const plays = [chain('try', 10, 'ms=200..2000', 5)];
    await mkdir(site.folder, { recursive: true });
    await writeFile(plan, planText({ name: 'fleet', nodes: site.fleet.names, plays }));
    say(`${wish.agents} agents are connected to ${site.controller.endpoint}. In another terminal:

  kk-controller --state ${site.controller.folder} apply ${plan}

Ctrl-C ends them all.`);
    await interrupted();
  } finally {
    await site.close();
  }
}

async function withController({ folder, ...wish }: Wish, endpoint: string): Promise<void> {
  if (folder === undefined) {
    throw new KkError({
      code: 'FLEET_USAGE',
      message: 'Machines of a controller that is there need a --folder.',
      remedy: 'Name one: their identities are kept in it, and the controller knows them by these.',
    });
  }
  // Nobody shall read the token in the process list: it comes as kk-agent gets it.
  const token = (await text(process.stdin)).trim();
  const fleet = await Fleet.start({ ...wish, folder, endpoint, token });
  say(`${wish.agents} agents are connected to ${endpoint}. Ctrl-C ends them.`);
  await interrupted();
  await fleet.stop();
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  await main();
} catch (thrown) {
  process.stderr.write(errorText(reportOf(thrown)));
  process.exitCode = 1;
}
