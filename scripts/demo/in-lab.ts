import { mkdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { labDestroy, labExecCommand, labList, labUp, remove } from '../lab/api.ts';
import { runHere } from '../lab/commands.ts';
import { NODE_ENV } from '../lab/node-process.ts';
import { packageAgent } from '../package-agent.ts';
import { packageController } from '../package-controller.ts';
import { ending } from './ending.ts';
import { answerOf, kkController, say, startController, stopController, writePlan } from './stage.ts';

/** The lab's name when nobody says otherwise. */
export const DEMO = 'demo';
const NODES = 3;
/** Sparse; enough for the room that the prechecks advise. */
const DISK = '24G';
const PORT = 9443;

/** Not below the lab's own folder, so that a controller left behind can still be found and ended. */
const folderOf = (lab: string): string => `/var/lib/kk-${lab}`;
const stateOf = (lab: string): string => join(folderOf(lab), 'controller');

/** Ends what an earlier demo left: its controller and its lab. */
export async function tearDown(name: string): Promise<void> {
  await forgetController(name);
  await labDestroy(name);
}

async function forgetController(name: string): Promise<void> {
  await stopController(stateOf(name));
  await rm(folderOf(name), { recursive: true, force: true });
}

/** The demo on three machines of the lab `name`, each time from nothing; gives the exit code. */
export async function demoInLab(name: string): Promise<number> {
  await forgetController(name);
  const folder = folderOf(name);
  const state = stateOf(name);
  await mkdir(folder, { recursive: true, mode: 0o700 });

  say(`Bringing up ${NODES} machines, each with a systemd and an sshd of its own, and packaging both programs.`);
  const progress = (line: string): void => say(`  ${line}`);
  const [lab, agent] = await Promise.all([
    freshLab(name, progress),
    packageAgent({ arch: process.arch === 'arm64' ? 'arm64' : 'x64', onProgress: progress }),
    packageController(),
  ]);
  const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
  say(`The machines are up; the agent has ${megabytes(agent.binary.size)}, ${megabytes(agent.gz.size)} on the way.`);

  const port = (await isFree(lab.gateway, PORT)) ? PORT : 0;
  const controller = await startController(state, `${lab.gateway}:${port}`);
  say(`A controller serves the agents at ${controller.endpoint} (pid ${controller.pid}).`);

  const [node1, node2, node3] = lab.nodes.map(({ address }) => address);
  if (node1 === undefined || node2 === undefined || node3 === undefined) throw new Error('the lab has too few nodes');

  say('node3 shall join by itself. The line for that comes from `kk-controller join-command --name node3`:');
  const command = await answerOf(state, ['join-command', '--name', 'node3', '--endpoint', controller.endpoint]);
  process.stdout.write(`\n    ${command}\n\n`);
  say('Running it on node3:');
  const joined = await runHere(labExecCommand(name, 'node3', ['sh', '-c', command]), NODE_ENV);
  if (joined !== 0) {
    throw new KkError({
      code: 'DEMO_JOIN',
      message: `The join line ended with ${joined} on node3.`,
      remedy: `See what it said above, and \`npm run lab -- exec --name ${name} node3 journalctl -u kk-agent\`.`,
    });
  }

  const ssh = { private_key_file: lab.sshKey, known_hosts_file: join(folder, 'known_hosts') };
  const plan = await writePlan(folder, {
    node1: { address: node1, ssh },
    node2: { address: node2, ssh },
    node3: { address: node3, ssh: false },
  });
  say(`Applying ${plan}; node1 and node2 get their agent on the way, by one SSH step each.`);
  process.stdout.write('\n');
  const code = await kkController(state, ['apply', plan]);
  process.stdout.write('\n');
  const [run] = await controller.client.runs(1);
  if (run === undefined) return code;
  const { lines, reported } = ending(await controller.client.run(run.id));
  for (const line of lines) say(line);
  process.stdout.write(next(name, plan));
  return reported ? 0 : code || 1;
}

/** Nodes of an earlier demo are forgotten, disks and all; the base they stand on is kept. */
async function freshLab(lab: string, onProgress: (line: string) => void) {
  const old = await labList(lab);
  await Promise.all(old.map(({ name }) => remove(lab, name)));
  return labUp({ name: lab, count: NODES, disk: DISK, onProgress });
}

async function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ host, port }, () => server.close(() => resolve(true)));
  });
}

function next(lab: string, plan: string): string {
  const kk = 'controller/bin/kk-controller';
  return `
The machines and the controller stay up. To try next, in this folder:

  export KK_STATE=${stateOf(lab)}
  ${kk} status
  ${kk} nodes
  ${kk} exec all -- uptime
  ${kk} logs last
  ${kk} apply ${plan}      # again: no SSH this time
  npm run lab -- ssh --name ${lab} node1

When you are done, this takes all of it away:

  npm run demo -- --down${lab === DEMO ? '' : ` --name ${lab}`}

`;
}
