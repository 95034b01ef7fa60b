/**
 * `npm run demo`: kk as a new user sees it. As root on Linux three machines of the lab are checked, two of them joined
 * by SSH and one by the join line; elsewhere, or with KK_DEMO=local, three agents that are processes of this machine.
 * `npm run demo -- --down` takes the lab's machines and the controller away; `--name` is for a lab beside the first.
 */
import { parseArgs } from 'node:util';
import { errorText } from '../shared/error-text.ts';
import { reportOf } from '../shared/errors.ts';
import { DEMO, demoInLab, tearDown } from './demo/in-lab.ts';
import { demoLocal } from './demo/local.ts';
import { say, terminalIsFree } from './demo/stage.ts';
import { labAvailable } from './lab/api.ts';

const INTERRUPTED = 130;

const { values } = parseArgs({
  options: { down: { type: 'boolean', default: false }, name: { type: 'string', default: DEMO } },
});

function whyLocal(): string | undefined {
  if (process.env['KK_DEMO'] === 'local') return 'KK_DEMO=local says so';
  const lab = labAvailable();
  return lab.ok ? undefined : lab.why;
}

/** Ctrl-C reaches `apply` as well, which cancels its run and tells; then nothing more is begun here. */
function onInterrupt(leave: () => Promise<void>): void {
  const end = async (): Promise<void> => {
    await terminalIsFree();
    await leave();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => void end().finally(() => process.exit(INTERRUPTED)));
  }
}

async function main(): Promise<number> {
  const why = whyLocal();
  if (values.down) {
    if (why === undefined) await tearDown(values.name);
    return 0;
  }
  if (why !== undefined) {
    say(`No lab here (${why}): three agents run as processes of this machine instead.`);
    let cleanup = async (): Promise<void> => {};
    onInterrupt(() => cleanup());
    return demoLocal((how) => {
      cleanup = how;
    });
  }
  onInterrupt(async () => {
    say('Stopped. Machines that are up stay up: `npm run demo` starts anew, `npm run demo -- --down` removes them.');
  });
  return demoInLab(values.name);
}

try {
  process.exitCode = await main();
} catch (thrown) {
  process.stderr.write(errorText(reportOf(thrown)));
  process.exitCode = 1;
}
