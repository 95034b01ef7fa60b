/**
 * The single SSH step (ENGINE 4.6): one connection that puts the agent on a node and hands it its token. Everything
 * that is not an ssh option goes over stdin of that connection, each piece only when the other end has asked for it, so
 * that no byte can end up in the wrong reader.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorReport, isSystemError, reportOf } from '../../shared/errors.ts';
import type { SshSettings } from '../plan/types.ts';
import { type AgentPackage, openAgent } from './agent-package.ts';
import { renderNodeScript } from './render.ts';
import { askpassEnvironment, sshArguments } from './ssh-command.ts';
import { classifySshFailure, clientError } from './ssh-errors.ts';
import { runSsh } from './ssh-session.ts';

const ASKPASS = join(import.meta.dirname, 'askpass.sh');
/** From the login to the script's first sign: PAM, slow name look-ups, sudo. */
const READY_MARGIN_MS = 30_000;
/** For the whole step, 42 MB over a slow line included. */
const STEP_LIMIT_MS = 15 * 60_000;

/** What a bootstrap works with. */
export interface BootstrapInput {
  /** Name of the node; becomes its name in the fleet. */
  name: string;
  ssh: SshSettings;
  /** A token made for this very step. */
  token: string;
  /** TCP port of the controller, tried at the address from which the node sees us come. */
  port: number;
  /** Further endpoints, tried after that one. */
  endpoints: readonly string[];
  /** base64 of the sha256 of the controller's public key. */
  pin: string;
  agents: readonly AgentPackage[];
  /** Environment for ssh: PATH, SSH_AUTH_SOCK. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Epoch milliseconds. */
  clock: () => number;
  /** Hears what is going on, in a few words. */
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

/** How a bootstrap ended; `address` is the node's own address as its sshd saw it. */
export type BootstrapResult = { ok: true; address: string | undefined } | { ok: false; error: ErrorReport };

/** Puts the agent on one node. Never throws: every failure is a report with code, evidence and remedy. */
export async function bootstrapNode(input: BootstrapInput): Promise<BootstrapResult> {
  try {
    return await step(input);
  } catch (error) {
    return { ok: false, error: { ...reportOf(error), node: input.name } };
  }
}

async function step(input: BootstrapInput): Promise<BootstrapResult> {
  const { name, ssh } = input;
  const password = await passwordOf(ssh.passwordFile);
  const sudoPassword = ssh.user === 'root' ? undefined : ((await passwordOf(ssh.sudoPasswordFile)) ?? password);
  const script = renderNodeScript(
    'remote.sh',
    { endpoints: input.endpoints, pin: input.pin, agents: input.agents.map(({ manifest }) => manifest) },
    { KK_PORT: input.port, KK_NAME: name, KK_NOW: Math.floor(input.clock() / 1000) },
  );
  const stepLimit = AbortSignal.timeout(STEP_LIMIT_MS);
  const outcome = await runSsh({
    argv: ['ssh', ...sshArguments(ssh)],
    environment: { ...input.environment, LC_ALL: 'C', ...askpassEnvironment(ssh, ASKPASS) },
    script,
    token: input.token,
    sudoPassword,
    agent: (arch) => {
      const agent = input.agents.find(({ manifest }) => manifest.arch === arch);
      return agent && openAgent(agent);
    },
    secrets: [input.token, password, sudoPassword].filter((secret) => secret !== undefined),
    readyWithinMs: ssh.connectTimeout * 1000 + READY_MARGIN_MS,
    onProgress: input.onProgress ?? (() => {}),
    signal: input.signal === undefined ? stepLimit : AbortSignal.any([input.signal, stepLimit]),
  });
  if (outcome.end === 'done') return { ok: true, address: outcome.address };
  if (input.signal?.aborted) {
    throw clientError('CANCELLED', `Bootstrapping ${name} was cancelled.`, 'Run it again: what is there is kept.');
  }
  if (outcome.end === 'no-client') {
    throw clientError('SSH_CLIENT_MISSING', 'There is no ssh on this machine.', 'Install the OpenSSH client here.');
  }
  if (outcome.end === 'late') throw tooSlow(ssh, true);
  if (stepLimit.aborted) throw tooSlow(ssh, false);
  return { ok: false, error: classifySshFailure(outcome, ssh, name) };
}

function tooSlow(ssh: SshSettings, atLogin: boolean): Error {
  return clientError(
    'SSH_TIMEOUT',
    `${ssh.host}:${ssh.port} took too long${atLogin ? ' to run a first command' : ''}.`,
    `Log in by hand (ssh -p ${ssh.port} ${ssh.user}@${ssh.host}) and see what takes so long or asks something.`,
  );
}

/** First line of a password file. */
async function passwordOf(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return (await readFile(path, 'utf8')).split(/\r?\n/, 1)[0] ?? '';
  } catch (error) {
    const why = isSystemError(error, 'ENOENT') ? 'does not exist' : 'cannot be read';
    throw clientError('PASSWORD_FILE', `The password file ${path} ${why}.`, 'Correct the path; its first line counts.');
  }
}
