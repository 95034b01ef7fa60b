/** A process of the fleet: some hundreds of simulated machines. Started by fleet.ts, which also ends it. */
import { readdirSync } from 'node:fs';
import { reportOf } from '../../shared/errors.ts';
import { uniform } from './behaviour.ts';
import { Ledger, readLedger } from './ledger.ts';
import { SimulatedMachine } from './machine.ts';
import { type Answer, type Ask, type Crew, ledgerPath, type News, type Usage } from './talk.ts';

const machines = new Map<string, SimulatedMachine>();
const connected = new Set<string>();
let telling = false;

const silent = (): void => {};
const logger = { debug: silent, info: silent, warn: silent, error: silent };

function tell(news: News | Answer): void {
  if (process.connected) process.send?.(news);
}

/** At most once a turn of the event loop: a controller that dies takes hundreds of connections with it. */
function tellConnected(): void {
  if (telling) return;
  telling = true;
  setImmediate(() => {
    telling = false;
    tell({ connected: connected.size });
  });
}

function take(crew: Crew): void {
  const { folder, nodes, seed, work } = crew;
  const path = ledgerPath(crew);
  const deeds = readLedger(path);
  const ledger = new Ledger(path);
  for (const node of nodes) {
    const machine = new SimulatedMachine(node, {
      ...{ folder, seed, work, ledger, logger },
      onFatal: (name, error) => tell({ node: name, fatal: reportOf(error) }),
      onLink(name, isConnected) {
        if (isConnected) connected.add(name);
        else connected.delete(name);
        tellConnected();
      },
    });
    machines.set(node, machine);
  }
  for (const deed of deeds) machines.get(deed.node)?.restore(deed);
}

/** A few at a time: each is a handshake and a signature on the other side. */
async function each(work: (machine: SimulatedMachine) => Promise<void>, atOnce: number): Promise<void> {
  const waiting = [...machines.values()];
  const one = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await work(next);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
}

function cut(count: number, draw: string): number {
  const names = [...connected].map((name) => ({ name, at: uniform(`${draw} ${name}`)[0] }));
  const chosen = names.sort((a, b) => a.at - b.at).slice(0, count);
  for (const { name } of chosen) machines.get(name)?.cut();
  return chosen.length;
}

function usage(): Usage {
  const { rss, heapUsed } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return { rss, heap: heapUsed, cpuSeconds: (user + system) / 1e6, descriptors: readdirSync('/proc/self/fd').length };
}

async function answer(ask: Ask): Promise<Usage | number | undefined> {
  switch (ask.ask) {
    case 'crew':
      take(ask.crew);
      return undefined;
    case 'join':
      await each((machine) => machine.join(ask.endpoint, ask.token), ask.atOnce);
      return undefined;
    case 'start':
      await each((machine) => machine.start(), 16);
      return undefined;
    case 'cut':
      return cut(ask.count, ask.draw);
    case 'usage':
      return usage();
    case 'stop':
      await each((machine) => machine.stop(), 16);
      setImmediate(() => process.disconnect());
      return undefined;
  }
}

process.on('message', ({ id, ...ask }: Ask & { id: number }) => {
  answer(ask as Ask).then(
    (value) => tell(value === undefined ? { id } : { id, value }),
    (thrown: unknown) => tell({ id, error: reportOf(thrown) }),
  );
});
// Ctrl-C reaches the whole group; the fleet says when to end, and how.
process.on('SIGINT', () => {});
// Without the fleet nobody would end this process.
process.once('disconnect', () => process.exit(0));
