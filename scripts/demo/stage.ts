import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { Client } from '../../controller/cli/client.ts';
import { isAnswering } from '../../controller/cli/daemon.ts';
import { logPath, SETTINGS, socketPath } from '../../controller/config/settings.ts';
import { KkError } from '../../shared/errors.ts';

export const ROOT = join(import.meta.dirname, '..', '..');
export const CONTROLLER = join(ROOT, 'controller', 'bin', 'kk-controller');
export const AGENT = join(ROOT, 'agent', 'bin', 'kk-agent');

const START_MS = 60_000;
const POLL_MS = 100;

/** Says what the demo is doing, with the seconds since it began. */
export function say(line: string): void {
  process.stdout.write(`[${(performance.now() / 1000).toFixed(1).padStart(5)} s] ${line}\n`);
}

/** A controller of the demo's own, on a state folder of its own. */
export interface DemoController {
  stateFolder: string;
  client: Client;
  /** What agents connect to. */
  endpoint: string;
  pid: number;
  /** Ends it and waits for that. */
  stop(): Promise<void>;
}

/**
 * Starts `kk-controller serve`, its log in the state folder. It goes on when the demo ends; whoever started it ends it.
 * Throws KkError DEMO_CONTROLLER with the end of its log.
 */
export async function startController(stateFolder: string, listen: string): Promise<DemoController> {
  await mkdir(stateFolder, { recursive: true, mode: 0o700 });
  const client = new Client(socketPath(stateFolder));
  const log = await open(logPath(stateFolder), 'a', 0o600);
  const child = spawn(CONTROLLER, ['serve', '--listen', listen], {
    env: environmentFor(stateFolder),
    detached: true, // Ctrl-C is for the demo, which decides what ends
    stdio: ['ignore', log.fd, log.fd],
  });
  const ended = new AbortController();
  for (const event of ['error', 'exit']) child.once(event, () => ended.abort());
  child.unref();
  await log.close();
  for (
    const until = performance.now() + START_MS;
    !ended.signal.aborted && performance.now() < until;
    await sleep(POLL_MS)
  ) {
    if (!(await isAnswering(client))) continue;
    const { endpoints, pid } = await client.status();
    return { stateFolder, client, endpoint: endpoints[0] ?? '', pid, stop: () => stopChild(child) };
  }
  throw new KkError({
    code: 'DEMO_CONTROLLER',
    message: 'The controller of the demo did not start.',
    remedy: `See its log, ${logPath(stateFolder)}.`,
    evidence: (await readFile(logPath(stateFolder), 'utf8')).trimEnd().split('\n').slice(-12).join('\n'),
  });
}

/** Ends a child process in order and waits until it has ended. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

/** Ends the controller of a state folder, if one runs, and waits until it has. */
export async function stopController(stateFolder: string): Promise<void> {
  const client = new Client(socketPath(stateFolder));
  if (!(await isAnswering(client))) return;
  const { pid } = await client.status();
  process.kill(pid, 'SIGTERM');
  for (const until = performance.now() + START_MS; performance.now() < until && isAlive(pid); ) await sleep(POLL_MS);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The settings of the person who runs the demo are for a controller of their own. */
function environmentFor(stateFolder: string): NodeJS.ProcessEnv {
  const settings = SETTINGS.filter(({ env }) => env.startsWith('KK_')).map(({ env }) => [env, undefined]);
  return { ...process.env, ...Object.fromEntries(settings), KK_STATE: stateFolder };
}

/** What `kk-controller` answers on standard output; what it says beside it comes to this terminal. */
export async function answerOf(stateFolder: string, argv: readonly string[]): Promise<string> {
  const child = spawn(CONTROLLER, argv, { stdio: ['ignore', 'pipe', 'inherit'], env: environmentFor(stateFolder) });
  const [answer, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (code === 0) return answer.trim();
  throw new KkError({
    code: 'DEMO_COMMAND',
    message: `\`kk-controller ${argv.join(' ')}\` ended with ${code}.`,
    remedy: 'See what it said above.',
  });
}

let foreground: Promise<unknown> = Promise.resolve();

/** Runs `kk-controller` as a person would, on this terminal; gives its exit code. */
export async function kkController(stateFolder: string, argv: readonly string[]): Promise<number> {
  const child = spawn(CONTROLLER, argv, { stdio: 'inherit', env: environmentFor(stateFolder) });
  const close = once(child, 'close');
  foreground = close.catch(() => {});
  const [code] = await close;
  return code ?? 1;
}

/** Settles when what {@link kkController} runs has ended: it has the terminal until then. */
export async function terminalIsFree(): Promise<void> {
  await foreground;
}

/** A host of the demo's inventory. */
export type DemoHost = { address: string; ssh: Readonly<Record<string, string>> | false };

/**
 * A copy of examples/precheck.yaml in `folder`, with an inventory beside it that has these hosts and the groups of the
 * example; gives its path.
 */
export async function writePlan(folder: string, hosts: Readonly<Record<string, DemoHost>>): Promise<string> {
  await mkdir(folder, { recursive: true });
  const names = Object.keys(hosts);
  const inventory = {
    apiVersion: 'kk.dev/v1',
    kind: 'Inventory',
    hosts,
    groups: { control_plane: names.slice(0, 1), etcd: names.slice(0, 1), worker: names.slice(1) },
  };
  await writeFile(join(folder, 'inventory.yaml'), stringify(inventory));
  const plan = join(folder, 'precheck.yaml');
  await cp(join(ROOT, 'examples', 'precheck.yaml'), plan);
  return plan;
}
