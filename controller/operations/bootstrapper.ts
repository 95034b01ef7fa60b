import { setTimeout as delay } from 'node:timers/promises';
import { type ErrorReport, reportOf } from '../../shared/errors.ts';
import { type AgentPackage, readAgentPackages } from '../bootstrap/agent-package.ts';
import { bootstrapNode } from '../bootstrap/ssh-step.ts';
import type { Authority } from '../pki/authority.ts';
import type { IdentityReader } from '../pki/ports.ts';
import { mintToken, type TokenWish } from '../pki/tokens.ts';
import type { InventoryNode } from '../plan/types.ts';
import type { Clock, Dispatcher } from '../run/ports.ts';
import type { Tokens } from '../store/tokens.ts';

/** A node whose agent connects within this time gets no SSH (ENGINE 4.6). */
const GRACE_MS = 5_000;
/** How long an installed agent may take to connect before the step counts as failed. */
const CONNECT_WAIT_MS = 60_000;
/** SSH steps at once; a handshake is the machine's own work, so a few per core. */
const PARALLEL = 30;
const TOKEN_TTL_SECONDS = 30 * 60;
const POLL_MS = 50;

/** What must be known of a node to put an agent there. */
export type Bringable = Pick<InventoryNode, 'name' | 'ssh'>;

export interface BootstrapperParts {
  authority: Authority;
  ledger: IdentityReader;
  tokens: Tokens;
  dispatcher: Dispatcher;
  clock: Clock;
  random: TokenWish['random'];
  agentFolder: string;
  port(): number;
  endpoints(): readonly string[];
  environment: Readonly<Record<string, string | undefined>>;
}

export interface BootstrapProgress {
  /** In a few words; several per node. */
  phase(node: string, phase: string): void;
  done(node: string, error: ErrorReport | undefined): void;
}

/** Puts agents on nodes that have none, by one SSH step each, many at once. */
export class Bootstrapper {
  private readonly parts: BootstrapperParts;
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(parts: BootstrapperParts) {
    this.parts = parts;
  }

  /** Sees to it that the nodes connect; nodes without ssh settings join by themselves, and their `phase` says so. */
  async bring(nodes: readonly Bringable[], progress: BootstrapProgress, signal: AbortSignal): Promise<void> {
    const absent = nodes.filter((node) => !this.parts.dispatcher.isConnected(node.name));
    let packages: Promise<AgentPackage[]> | undefined;
    await Promise.all(
      absent.map(async (node) => {
        const known = this.parts.ledger.node(node.name);
        if (!node.ssh) return progress.phase(node.name, this.waitsFor(node.name));
        // A person shut it out; only a person lets it in again.
        if (known?.revoked) return progress.done(node.name, nodeRevoked(node.name));
        try {
          // Who was admitted before may be about to connect; a stranger cannot.
          if (known && (await this.connects(node.name, GRACE_MS, signal))) return progress.done(node.name, undefined);
          packages ??= readAgentPackages(this.parts.agentFolder);
          const error = await this.limited(node, await packages, progress, signal);
          if (!signal.aborted) progress.done(node.name, error);
        } catch (thrown) {
          // A controller that stops says nothing of its nodes: the next one looks for them again.
          if (!signal.aborted) progress.done(node.name, { ...reportOf(thrown), node: node.name });
        }
      }),
    );
  }

  /** A run waits minutes for such a node: whoever watches must learn what it waits for, and what to do. */
  private waitsFor(node: string): string {
    const known = this.parts.ledger.node(node);
    if (known && !known.revoked) return 'its agent is away (there: journalctl -u kk-agent); waiting';
    const option = known ? '--replace' : '--name';
    return `not a node yet: run on it the line of kk-controller join-command ${option} ${node}`;
  }

  private async limited(
    node: Bringable,
    agents: AgentPackage[],
    progress: BootstrapProgress,
    signal: AbortSignal,
  ): Promise<ErrorReport | undefined> {
    if (this.running < PARALLEL) this.running += 1;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await this.step(node, agents, progress, signal);
    } finally {
      // Whoever waits takes the place over.
      const next = this.waiting.shift();
      if (next) next();
      else this.running -= 1;
    }
  }

  private async step(
    node: Bringable,
    agents: AgentPackage[],
    progress: BootstrapProgress,
    signal: AbortSignal,
  ): Promise<ErrorReport | undefined> {
    const { parts } = this;
    if (!node.ssh) return undefined;
    const { text, record } = mintToken({
      now: parts.clock.nowMs(),
      ttlSeconds: TOKEN_TTL_SECONDS,
      uses: 1,
      name: node.name,
      ssh: true,
      caHash: parts.authority.caHash,
      random: parts.random,
    });
    await parts.tokens.add(record);
    progress.phase(node.name, `ssh ${node.ssh.user}@${node.ssh.host}`);
    const result = await bootstrapNode({
      name: node.name,
      ssh: node.ssh,
      token: text,
      port: parts.port(),
      endpoints: parts.endpoints(),
      pin: parts.authority.controllerKeyPin,
      agents,
      environment: parts.environment,
      clock: () => parts.clock.nowMs(),
      onProgress: (line) => progress.phase(node.name, line),
      signal,
    });
    await parts.tokens.remove(record.id);
    if (!result.ok) return result.error;
    progress.phase(node.name, 'agent installed, connecting');
    if (await this.connects(node.name, CONNECT_WAIT_MS, signal)) return undefined;
    return {
      code: 'AGENT_SILENT',
      message: `The agent was installed on ${node.name} but did not connect within ${CONNECT_WAIT_MS / 1000} s.`,
      remedy: `On ${node.name}: journalctl -u kk-agent. Check that it reaches ${parts.endpoints().join(' or ')}.`,
      node: node.name,
    };
  }

  private async connects(node: string, withinMs: number, signal: AbortSignal): Promise<boolean> {
    const end = this.parts.clock.monotonicMs() + withinMs;
    while (!signal.aborted && this.parts.clock.monotonicMs() < end) {
      if (this.parts.dispatcher.isConnected(node)) return true;
      await delay(POLL_MS);
    }
    return this.parts.dispatcher.isConnected(node);
  }
}

function nodeRevoked(node: string): ErrorReport {
  return {
    code: 'NODE_REVOKED',
    message: `${node} was revoked.`,
    remedy: `To let it back in, run on it the line of \`kk-controller join-command --replace ${node}\`; else take it out of the inventory.`,
    node,
  };
}
