import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { ending } from './ending.ts';
import { AGENT, kkController, say, startController, stopChild, writePlan } from './stage.ts';

const NODES = ['node1', 'node2', 'node3'];

const NEXT = `
Nothing of it is left. To try next, with machines of your own (Linux, and a key that lets you in as root by ssh):

  npm run package-agent && npm run package-controller
  $EDITOR examples/inventory.yaml                          # your addresses
  controller/bin/kk-controller plan examples/precheck.yaml     # what would run where
  controller/bin/kk-controller apply examples/precheck.yaml

`;

/**
 * The demo without a lab: three agents as processes of this machine, each with a state folder and an identity of its
 * own. Nothing is left of it; `onCleanup` is told how to end it early. Gives the exit code.
 */
export async function demoLocal(onCleanup: (cleanup: () => Promise<void>) => void): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'kk-demo-'));
  const stops: (() => Promise<void>)[] = [];
  let cleaned: Promise<void> | undefined;
  const cleanup = (): Promise<void> => {
    cleaned ??= (async () => {
      await Promise.all(stops.map((stop) => stop()));
      await rm(folder, { recursive: true, force: true });
    })();
    return cleaned;
  };
  onCleanup(cleanup);
  try {
    return await demo(folder, (stop) => stops.push(stop));
  } finally {
    await cleanup();
  }
}

async function demo(folder: string, began: (stop: () => Promise<void>) => void): Promise<number> {
  const stateFolder = join(folder, 'controller');
  const controller = await startController(stateFolder, '127.0.0.1:0');
  began(controller.stop);
  say(`A controller serves the agents at ${controller.endpoint} (pid ${controller.pid}).`);
  await Promise.all(
    NODES.map(async (name) => {
      const { text } = await controller.client.createToken({ ttlSeconds: 600, uses: 1, name });
      const state = join(folder, name);
      await mkdir(state, { mode: 0o700 });
      await joinFleet({ state, name, endpoint: controller.endpoint, token: text });
      const agent = await startAgent(state);
      began(() => stopChild(agent));
      say(`${name} has an identity of its own; its agent is process ${agent.pid}.`);
    }),
  );

  const addresses = ownAddresses();
  const hosts = NODES.map((name, i) => [name, { address: addresses[i] ?? '', ssh: false as const }]);
  const plan = await writePlan(join(folder, 'plan'), Object.fromEntries(hosts));
  say('Applying examples/precheck.yaml to them: this machine is judged three times.');
  process.stdout.write('\n');
  // The nodes are this machine itself: nothing is installed on it, and the disk that is measured is a folder of ours.
  const settings = [`etcd.data_dir=${join(folder, 'etcd')}`, 'precheck.install_fio=false'];
  const code = await kkController(stateFolder, ['apply', plan, ...settings.flatMap((text) => ['--set', text])]);
  process.stdout.write('\n');
  const [run] = await controller.client.runs(1);
  if (run === undefined) return code;
  const { lines, reported } = ending(await controller.client.run(run.id));
  for (const line of lines) say(line);
  process.stdout.write(NEXT);
  return reported ? 0 : code || 1;
}

async function joinFleet(node: { state: string; name: string; endpoint: string; token: string }): Promise<void> {
  const argv = ['join', '--state', node.state, '--name', node.name, '--endpoint', node.endpoint];
  const child = spawn(AGENT, argv, { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(node.token);
  const [code] = await once(child, 'close');
  if (code === 0) return;
  throw new KkError({
    code: 'DEMO_JOIN',
    message: `The agent of ${node.name} could not join.`,
    remedy: 'See what it said above.',
  });
}

async function startAgent(state: string): Promise<ChildProcess> {
  const log = await open(join(state, 'agent.log'), 'a', 0o600);
  const child = spawn(AGENT, ['run', '--state', state], { detached: true, stdio: ['ignore', log.fd, log.fd] });
  await once(child, 'spawn');
  await log.close();
  return child;
}

/** Addresses of this machine, of which each node gets one; made up on loopback when there are too few. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const usable = all.filter(({ address }) => !address.startsWith('fe80:')).map(({ address }) => address);
  return [...new Set([...usable, '127.0.0.1', '127.0.0.2', '127.0.0.3'])];
}
