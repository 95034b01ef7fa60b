import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { clearCgroups } from './cgroups.ts';
import { lastLines, must, type Outcome, type RunOptions, run, until } from './commands.ts';
import { addressOf, type Lab, type NodeNames } from './names.ts';
import { PROGRAMS } from './prepare.ts';

/** What systemd of a node says of itself, or `down` when the node has no PID 1. */
export type NodeState = 'running' | 'degraded' | 'starting' | 'stopping' | 'down' | 'unknown';

const SUPERVISOR = join(PROGRAMS, 'supervise.sh');
/** systemd's signal for an orderly power-off: SIGRTMIN+4, and SIGRTMIN is 34 with glibc. */
const POWER_OFF = 38;
const BOOT_MS = 90_000;
const POWER_OFF_MS = 60_000;
const DIE_MS = 10_000;

/** What a new node is made of. */
export interface NodeRecipe {
  net: string;
  /** Folder of the base filesystem. */
  base: string;
  /** Size of its disk as truncate(1) reads it; sparse, so it costs what is written. */
  disk: string;
}

/** Numbers of the nodes the lab has, in order. */
export function nodeNumbers(lab: Lab): number[] {
  const folder = join(lab.stateDir, 'nodes');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((name) => Number(name.slice('node'.length)))
    .sort((a, b) => a - b);
}

/** Start a node (a new one from `recipe`, an old one from its own disk); its boot is awaited by {@link awaitBoot}. */
export function startNode(lab: Lab, node: NodeNames, recipe: NodeRecipe): void {
  if (supervisorOf(node) !== undefined) return;
  mkdirSync(node.dir, { recursive: true });
  const console = openSync(join(node.dir, 'console.log'), 'a');
  const child = spawn('unshare', ['--mount', '--propagation', 'private', SUPERVISOR, node.dir], {
    detached: true,
    stdio: ['ignore', console, console],
    cwd: '/',
    env: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      NODE: node.name,
      MACHINE: node.machine,
      NETNS: node.netns,
      ADDRESS: addressOf(recipe.net, node.number),
      BASE: baseOf(node, recipe.base),
      DISK: recipe.disk,
      KEY: `${lab.sshKey}.pub`,
      CGROUP: node.cgroup,
    },
  });
  child.on('error', () => {}); // no supervisor appears then, and awaitBoot says so
  child.unref();
  closeSync(console);
}

/** The base a node stands on is the one it was made with: another one below its own files would be nonsense. */
function baseOf(node: NodeNames, current: string): string {
  const file = join(node.dir, 'base');
  if (!existsSync(file)) writeFileSync(file, current);
  const base = readFileSync(file, 'utf8');
  if (existsSync(base)) return base;
  throw new KkError({
    code: 'LAB_BASE_GONE',
    message: `${node.name} was made on ${base}, which is no longer there.`,
    remedy: `Make it anew: \`lab rm ${node.name}\`, then \`lab up ${node.name}\`.`,
  });
}

/**
 * Wait until systemd of the node has finished booting.
 * @throws KkError LAB_NO_BOOT with the end of its console
 */
export async function awaitBoot(node: NodeNames): Promise<NodeState> {
  let state = await nodeState(node);
  let seen = false;
  await until(
    async () => {
      const alive = supervisorOf(node) !== undefined;
      const ended = seen && !alive;
      seen ||= alive;
      state = await nodeState(node);
      return ended || isBooted(state);
    },
    BOOT_MS,
    150,
  );
  if (isBooted(state)) return state;
  throw new KkError({
    code: 'LAB_NO_BOOT',
    message: `${node.name} did not boot (${state}).`,
    node: node.name,
    evidence: lastLines(readFileSync(join(node.dir, 'console.log'), 'utf8'), 12),
    remedy: `Look at ${join(node.dir, 'console.log')}; \`lab rm ${node.name}\` clears it away.`,
  });
}

function isBooted(state: NodeState): boolean {
  return state === 'running' || state === 'degraded';
}

/** Whether the node has booted, as its systemd sees it. */
export async function nodeState(node: NodeNames): Promise<NodeState> {
  const pid = initOf(node);
  if (pid === undefined) return 'down';
  const { stdout } = await run(inside(pid, ['systemctl', 'is-system-running']));
  const word = stdout.trim();
  if (word === 'running' || word === 'degraded' || word === 'stopping') return word;
  return word === 'initializing' || word === 'starting' || word === '' ? 'starting' : 'unknown';
}

/**
 * The command that runs `argv` in a node, as root but never able to set the clock, which is the whole machine's:
 * nsenter alone would take the host's capabilities along.
 */
export function inside(pid: number, argv: readonly string[]): string[] {
  const drop = 'setpriv --bounding-set=-sys_time,-sys_module,-sys_boot --';
  return [...drop.split(' '), 'nsenter', '-t', `${pid}`, '-a', '--', ...argv];
}

/** The environment of a command run in a node: a fresh login's, nothing of the caller's. */
export const NODE_ENV: NodeJS.ProcessEnv = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  USER: 'root',
  SHELL: '/bin/bash',
  LANG: 'C.UTF-8',
  TERM: 'xterm-256color',
};

export async function execInNode(node: NodeNames, argv: readonly string[], options: RunOptions): Promise<Outcome> {
  return run(inside(requireInit(node), argv), {
    ...options,
    env: options.env ?? NODE_ENV,
  });
}

/**
 * The node's PID 1 as the host numbers it.
 * @throws KkError LAB_NODE_DOWN
 */
export function requireInit(node: NodeNames): number {
  const pid = initOf(node);
  if (pid !== undefined) return pid;
  throw new KkError({
    code: 'LAB_NODE_DOWN',
    message: `${node.name} is down.`,
    node: node.name,
    remedy: `Start it with \`lab up ${node.name}\`; \`lab ls\` shows the nodes there are.`,
  });
}

/** The node's PID 1 as the host numbers it, once systemd-nspawn has made it. */
export function initOf(node: NodeNames): number | undefined {
  const supervisor = supervisorOf(node);
  const nspawn = supervisor && childrenOf(supervisor).find((pid) => proc(pid, 'comm').trim() === 'systemd-nspawn');
  // systemd-nspawn's first child while it sets up is not the node yet: only the node's is number 1 to itself.
  return nspawn ? childrenOf(nspawn).find((pid) => /^NSpid:.*\s1$/m.test(proc(pid, 'status'))) : undefined;
}

/** The process that keeps the node; checked by its command line, as numbers are given out again. */
export function supervisorOf(node: NodeNames): number | undefined {
  const file = join(node.dir, 'pid');
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8'));
  return proc(pid, 'cmdline').split('\0').includes(node.dir) ? pid : undefined;
}

/** The base filesystem the node stands on, by its folder's name; empty for a node that was never started. */
export function baseName(node: NodeNames): string {
  const file = join(node.dir, 'base');
  return existsSync(file) ? basename(readFileSync(file, 'utf8')) : '';
}

/** Processes of the host that keep the lab's nodes: supervisors and systemd-nspawn. */
export function processesOf(lab: Lab): number[] {
  const keeps = (pid: number) => {
    const argv = proc(pid, 'cmdline').split('\0');
    const supervises = argv.includes(SUPERVISOR) && argv.some((arg) => arg.startsWith(`${lab.stateDir}/nodes/`));
    return supervises || argv.some((arg) => arg.startsWith(`--machine=${lab.machinePrefix}`));
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(keeps);
}

/** Power the node off in order, as `systemctl poweroff` does. */
export async function shutDown(node: NodeNames): Promise<void> {
  const pid = initOf(node);
  if (pid === undefined) return killNode(node);
  process.kill(pid, POWER_OFF);
  if (!(await until(() => supervisorOf(node) === undefined, POWER_OFF_MS))) {
    throw new KkError({
      code: 'LAB_NO_POWER_OFF',
      message: `${node.name} did not power off within ${POWER_OFF_MS / 1000} s.`,
      node: node.name,
      remedy: `See what hangs in ${join(node.dir, 'console.log')}, or \`lab kill ${node.name}\`.`,
    });
  }
  await clearCgroups(node.cgroup);
}

/** End every process of the node at once; what it wrote stays, synced or not. */
export async function killNode(node: NodeNames): Promise<void> {
  const supervisor = supervisorOf(node);
  if (supervisor !== undefined) {
    const init = initOf(node);
    const family = [supervisor, ...childrenOf(supervisor), ...(init === undefined ? [] : [init])];
    for (const pid of family) kill(pid);
    await until(() => family.every((pid) => proc(pid, 'cmdline') === ''), DIE_MS);
    rmSync(join(node.dir, 'pid'), { force: true });
  }
  await until(async () => (await loopDevices(node.dir)).length === 0, DIE_MS);
  await clearCgroups(node.cgroup);
}

/** As when the plug is pulled: what was not synced is lost, and every process ends. */
export async function losePower(node: NodeNames): Promise<void> {
  const init = requireInit(node);
  await must(['perl', join(PROGRAMS, 'lose-power.pl'), `/proc/${init}/root/disk`]);
  await killNode(node);
}

/** Kill the node and forget its disk. */
export async function eraseNode(node: NodeNames): Promise<void> {
  await killNode(node);
  rmSync(node.dir, { recursive: true, force: true });
  rmSync(`/run/systemd/nspawn/propagate/${node.machine}`, {
    recursive: true,
    force: true,
  });
}

/** Loop devices whose file lies under `dir`. */
export async function loopDevices(dir: string): Promise<string[]> {
  const { stdout } = await run(['losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE']);
  return stdout.split('\n').filter((line) => line.includes(`${dir}/`));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

function childrenOf(pid: number): number[] {
  return proc(pid, `task/${pid}/children`).split(' ').filter(Boolean).map(Number);
}

/** A file of /proc; empty when the process is gone. */
function proc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
