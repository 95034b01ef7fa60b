/** `npm run bench`: the first speed figures. No targets: they show a wrong data structure, and what a change costs. */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { errorText } from '../../shared/error-text.ts';
import { reportOf } from '../../shared/errors.ts';
import { namesOf } from '../fleet/fleet.ts';
import { chain } from '../fleet/plans.ts';
import { Site } from '../fleet/site.ts';
import { benchCommand } from './command.ts';
import { benchCompile, laps } from './compile.ts';
import { benchMakespan, rounded } from './makespan.ts';

const HELP = `Usage: npm run bench -- [options]

Measures, on this machine alone: joining, a command of a person, the makespan of a run against its critical path, shares against steps in
lockstep, and compiling. docs/bench.md says how to read it.

  --nodes N        simulated machines (default 1000)
  --steps N        steps of each (default 60)
  --ms A..B        duration of a step, drawn evenly by the seed (default 500..2500)
  --processes N    processes that simulate (default: one for each 250 machines)
  --seed N         default 1
  -o, --output     text (default) or json: one line at the end
  -h, --help`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '1000' },
      steps: { type: 'string', default: '60' },
      ms: { type: 'string', default: '500..2500' },
      processes: { type: 'string' },
      seed: { type: 'string', default: '1' },
      output: { type: 'string', short: 'o', default: 'text' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return say(HELP);
  const [agents, steps, seed] = [Number(values.nodes), Number(values.steps), Number(values.seed)];
  const json = values.output === 'json';
  const told = (text: string): void => (json ? undefined : say(text));

  const compile = benchCompile({
    name: 'large',
    nodes: namesOf(5000),
    plays: [chain('steps', 300, 'ms=1', 10)],
  });
  told(
    `compile 5000 nodes x 300 tasks: parse ${compile.parseMs} ms, compile ${compile.compileMs} ms, ` +
      `store ${compile.storeMs} ms (${mib(compile.bytes)}), restore ${compile.restoreMs} ms`,
  );

  const lap = laps();
  const processes = values.processes === undefined ? {} : { processes: Number(values.processes) };
  const site = await Site.open({ agents, seed, work: { ms: [0, 0], fail: 0 }, ...processes });
  try {
    const joinMs = lap();
    told(`join ${agents} agents: ${(joinMs / 1000).toFixed(1)} s from the start of the controller to the last Welcome`);
    const command = await benchCommand(site);
    told(`exec on 3 machines: ${command.execMs} ms, ${command.ratio} times the start of Node (${command.nodeMs} ms)`);
    const { names } = site.fleet;
    const plan = { name: 'makespan', nodes: names, plays: [chain('steps', steps, `ms=${values.ms}`, 15)] };
    const makespan = await benchMakespan(site, plan, seed);
    told(
      `makespan ${agents} nodes x ${steps} steps: ${seconds(makespan.makespanMs)} for a critical path of ` +
        `${seconds(makespan.criticalPathMs)}, ratio ${makespan.ratio}; ${makespan.stepsPerSecond} steps/s; ` +
        `controller ${makespan.controllerCpuSeconds} CPU seconds, at most ${mib(makespan.controllerPeakRss)}; ` +
        `simulator ${makespan.fleetCpuSeconds} CPU seconds; apply answered after ${makespan.applyMs} ms, ` +
        `the ended run was shown after ${makespan.viewMs} ms`,
    );
    const some = names.slice(0, 200);
    const words = 'ms=50..1000';
    const shares = await benchMakespan(site, { name: 'shares', nodes: some, plays: [chain('free', 20, words)] }, seed);
    const lockstep = await benchMakespan(
      site,
      { name: 'lockstep', nodes: some, plays: [chain('lock', 20, words, 1)] },
      seed,
    );
    const gain = rounded(lockstep.makespanMs / shares.makespanMs);
    told(
      `shares against lockstep, ${some.length} nodes x 20 steps: ${seconds(shares.makespanMs)} (ratio ${shares.ratio}) ` +
        `against ${seconds(lockstep.makespanMs)} (ratio ${lockstep.ratio}): ${gain} times as fast`,
    );
    const usage = await site.fleet.usage();
    const perAgent = Math.round(usage.reduce((sum, one) => sum + one.rss, 0) / agents / 1024);
    told(`simulator: ${usage.length} processes, ${perAgent} KiB resident for each agent`);
    const { length } = cpus();
    const machine = { cores: length, cpu: cpus()[0]?.model ?? '', node: process.version };
    if (json)
      say(JSON.stringify({ machine, seed, compile, joinMs, command, makespan, shares, lockstep, gain, perAgent }));
  } finally {
    await site.close();
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

try {
  await main();
} catch (thrown) {
  process.stderr.write(errorText(reportOf(thrown)));
  process.exitCode = 1;
}
