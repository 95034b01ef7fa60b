import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Hub } from '../../controller/operations/hub.ts';
import { Runs } from '../../controller/operations/runs.ts';
import { Runner } from '../../controller/run/runner.ts';
import { openDatabase } from '../../controller/store/database.ts';
import { eventLog } from '../../controller/store/event-log.ts';
import { runLogs } from '../../controller/store/run-logs.ts';
import type { StreamLine } from '../../controller/views/types.ts';
import { NOTHING_LOCAL } from '../support/local-parts.ts';
import { graphFrom } from '../support/plan-builder.ts';
import { HandClock, SimulatedFleet } from '../support/simulated-fleet.ts';

t.test('following a run', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'kk-follow-'));
  const database = await openDatabase(folder);
  t.teardown(async () => {
    await database.close();
    await rm(folder, { recursive: true });
  });
  const [archive, hub, clock] = [eventLog(database), new Hub(), new HandClock()];
  const fleet = new SimulatedFleet(['n0', 'n1'], clock);
  const runner = new Runner({
    local: NOTHING_LOCAL,
    ...{ log: archive, dispatcher: fleet, clock, watcher: hub, trouble: (error: unknown) => t.fail(String(error)) },
    options: { leaseMs: 1, leaseMarginMs: 1, connectTimeoutMs: 1, execTimeoutMs: 1 },
  });
  const logs = runLogs(join(folder, 'runs'));
  const isConnected = (node: string): boolean => fleet.isConnected(node);
  const runs = new Runs({ archive, runner, hub, logs, nowMs: clock.nowMs, isConnected });
  for (const name of ['n0', 'n1']) fleet.connect(runner, name);
  const plays = [{ name: 'p', nodes: ['n0', 'n1'], roles: ['a'] }];
  await runner.create(graphFrom({ nodes: ['n0', 'n1'], roles: { a: ['x', 'y'] }, plays }), { id: 'r1', by: 'me' });

  const never = new AbortController().signal;
  const read = async (signal = never): Promise<string[]> => {
    const lines: StreamLine[] = [];
    for await (const line of runs.follow('r1', { logs: true, live: true }, signal)) lines.push(line);
    return lines.map((line) => (line.type === 'ended' ? `ended ${line.node} ${line.task}` : line.type));
  };

  const quitter = runs.follow('r1', { logs: false, live: true }, never)[Symbol.asyncIterator]();
  await quitter.next();
  t.equal(hub.busy, true);
  await quitter.return?.(undefined);
  t.equal(hub.busy, false, 'a reader that goes away in the middle is forgotten');

  const stop = new AbortController();
  const stopped = read(stop.signal);
  const whole = read();
  const [later] = await Promise.all([
    (async () => {
      await fleet.settle(runner);
      return read();
    })(),
    Promise.resolve().then(() => stop.abort()),
  ]);
  const lines = await whole;
  t.equal((await stopped).includes('finished'), false, 'who was asked to stop does');
  t.equal(lines.at(-1), 'finished');
  const ends = lines.filter((line) => line.startsWith('ended'));
  t.strictSame([...ends].sort(), ['ended n0 p/a/x', 'ended n0 p/a/y', 'ended n1 p/a/x', 'ended n1 p/a/y'], 'each once');
  t.strictSame(later, lines, 'long after, the same');
  t.equal(hub.busy, false);
});
