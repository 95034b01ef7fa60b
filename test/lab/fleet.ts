import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { stringify } from 'yaml';
import type { NodeView, RunView } from '../../controller/views/types.ts';
import { stopController } from '../../scripts/demo/stage.ts';
import { type LabUp, labDestroy, labExec, labUp } from '../../scripts/lab/api.ts';
import { type Outcome, run, until } from '../../scripts/lab/commands.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const CONTROLLER = join(ROOT, 'controller', 'bin', 'kk-controller');
const PLANS = join(ROOT, 'test', 'fixtures', 'plans', 'lab');

/** Hosts of an inventory as a person writes them. */
export type Hosts = Record<string, { address: string; ssh: Record<string, unknown> | false }>;

/** How an apply ended. */
export interface Applied {
  code: number;
  stderr: string;
  /** The run as its last line tells it. */
  run: RunView;
}

/** A lab with a controller beside it: what a person does at a terminal, for a test. */
export class Fleet {
  readonly name: string;
  readonly folder: string;
  readonly #lab: LabUp;
  #controller: ChildProcess | undefined;
  /** Of the packaged agents that the next controller serves; undefined: the project's own. */
  agentFolder: string | undefined;

  private constructor(name: string, lab: LabUp) {
    this.name = name;
    this.#lab = lab;
    this.folder = folderOf(name);
  }

  /** From nothing: whatever a lab of this name left is destroyed first. */
  static async up(name: string, count: number): Promise<Fleet> {
    await clear(name);
    const fleet = new Fleet(name, await labUp({ name, count }));
    await mkdir(fleet.folder, { recursive: true, mode: 0o700 });
    await cp(PLANS, fleet.folder, { recursive: true });
    return fleet;
  }

  get endpoint(): string {
    return `https://${this.#lab.gateway}:9443`;
  }

  get sshKey(): string {
    return this.#lab.sshKey;
  }

  get stateFolder(): string {
    return join(this.folder, 'controller');
  }

  addressOf(node: string): string {
    const found = this.#lab.nodes.find(({ name }) => name === node);
    if (found === undefined) throw new Error(`no ${node} in the lab`);
    return found.address;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async file(name: string, content: string): Promise<string> {
    await writeFile(this.path(name), content, { mode: 0o600 });
    return this.path(name);
  }

  /** The controller, in the foreground of a terminal of its own. */
  async serve(): Promise<void> {
    await mkdir(this.stateFolder, { recursive: true, mode: 0o700 });
    const log = openSync(this.path('controller.log'), 'a', 0o600);
    const child = spawn(CONTROLLER, ['serve'], { stdio: ['ignore', log, log], env: this.#environment });
    closeSync(log);
    this.#controller = child;
    const ready = async (): Promise<boolean> => (await this.kk('status')).code === 0;
    if (await until(async () => child.exitCode !== null || (await ready()), 30_000, 200)) {
      if (child.exitCode === null) return;
    }
    throw new Error(`the controller did not start:\n${await readFile(this.path('controller.log'), 'utf8')}`);
  }

  /** Ends a controller that a command started by itself. */
  endStartedController(): Promise<void> {
    return stopController(this.stateFolder);
  }

  /** Ends the controller: KILL as a crash, TERM in order. */
  async endController(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#controller;
    this.#controller = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  get #environment(): NodeJS.ProcessEnv {
    const { PATH, HOME } = process.env;
    const listen = new URL(this.endpoint).host;
    return { PATH, HOME, KK_STATE: this.stateFolder, KK_LISTEN: listen, KK_AGENTS: this.agentFolder, NO_COLOR: '1' };
  }

  /** Another controller on the same state, with the packaged agents of another folder. */
  async serveAgents(folder: string | undefined): Promise<void> {
    await this.endController('SIGTERM');
    this.agentFolder = folder;
    await this.serve();
  }

  /** `kk-controller` with these arguments. */
  kk(...argv: string[]): Promise<Outcome> {
    return run([CONTROLLER, ...argv], { env: this.#environment });
  }

  apply(plan: string, ...options: string[]): Promise<Applied> {
    return this.applying(plan, ...options).ended;
  }

  /** An apply at a terminal, where Ctrl-C can be pressed. */
  applying(plan: string, ...options: string[]): { interrupt(): void; kill(): void; ended: Promise<Applied> } {
    const argv = ['apply', this.path(plan), '-o', 'json', ...options];
    const child = spawn(CONTROLLER, argv, { stdio: ['ignore', 'pipe', 'pipe'], env: this.#environment });
    const end = async (): Promise<Applied> => {
      const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
      const last = JSON.parse(stdout.trimEnd().split('\n').at(-1) || '{}');
      if (last.type !== 'finished') throw new Error(`apply ended with ${code}:\n${stderr}${stdout.slice(-2000)}`);
      return { code, stderr, run: last.run };
    };
    return { interrupt: () => void child.kill('SIGINT'), kill: () => void child.kill('SIGKILL'), ended: end() };
  }

  async nodes(): Promise<NodeView[]> {
    return JSON.parse((await this.kk('nodes', '-o', 'json')).stdout);
  }

  async connected(node: string): Promise<boolean> {
    return (await this.nodes()).some(({ name, connected }) => name === node && connected);
  }

  /** Runs a line of shell on a node as root, past every network; fails when it fails. */
  async on(node: string, line: string): Promise<string> {
    const { code, stdout, stderr } = await labExec(this.name, node, ['sh', '-c', line]);
    if (code !== 0) throw new Error(`on ${node}: ${line}\nended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** The same, whatever it answers. */
  try(node: string, line: string): Promise<Outcome> {
    return labExec(this.name, node, ['sh', '-c', line]);
  }

  /** Asks until the line of shell succeeds on the node; false when it never did. */
  eventually(node: string, line: string, timeoutMs = 30_000): Promise<boolean> {
    return until(async () => (await this.try(node, line)).code === 0, timeoutMs, 250);
  }

  async joinLine(...options: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.kk('join-command', '--endpoint', this.endpoint, ...options);
    if (code !== 0) throw new Error(`join-command ended with ${code}: ${stderr}`);
    return stdout.trim();
  }

  async inventory(name: string, hosts: Hosts): Promise<void> {
    await this.file(name, stringify({ hosts }));
  }

  /** A plan with one command that takes `seconds`, and leaves a line in `log` when it begins and when it ends. */
  longPlan(name: string, work: { hosts: string[]; seconds: number; log: string }): Promise<string> {
    const shell = `echo begun >> ${work.log}; sleep ${work.seconds}; echo ended >> ${work.log}`;
    return this.commandPlan(name, work.hosts, shell);
  }

  /** A plan with one line of shell. */
  async commandPlan(name: string, hosts: string[], shell: string): Promise<string> {
    const tasks = [{ id: 'work', name: 'Work for a while', command: { shell }, timeout: '5m' }];
    const plays = [{ name: 'long', hosts, tasks }];
    const spec = { inventory: { file: 'inventory.yaml' }, playbooks: [{ name: 'long', plays }] };
    await this.file(name, stringify({ apiVersion: 'kk.dev/v1', kind: 'Plan', metadata: { name: 'long' }, spec }));
    return name;
  }

  /** Brings nodes up that are down. */
  async bootAgain(node: string): Promise<void> {
    await labUp({ name: this.name, numbers: [Number(node.slice('node'.length))] });
  }

  async destroy(): Promise<void> {
    await this.endController('SIGTERM');
    await clear(this.name);
  }
}

/** Always the same for a lab, so that what a test that was killed left behind is found. */
function folderOf(name: string): string {
  return join(tmpdir(), `kk-lab-test-${name}`);
}

/** Ends the controller and the lab of this name, and forgets them. */
async function clear(name: string): Promise<void> {
  await stopController(join(folderOf(name), 'controller'));
  await labDestroy(name);
  await rm(folderOf(name), { recursive: true, force: true });
}
