import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { KkError } from '../../shared/errors.ts';
import { keyFingerprint } from '../../shared/identity.ts';
import type { AgentManifest } from '../bootstrap/agent-package.ts';
import { cloudConfig } from '../bootstrap/cloud-init.ts';
import { joinCommand } from '../bootstrap/join-script.ts';
import { compile, DEFAULT_COMPILE_OPTIONS } from '../compile/compile.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { graphFromJson } from '../compile/serialise.ts';
import type { Fleet } from '../dispatch/fleet.ts';
import type { Authority } from '../pki/authority.ts';
import { revoked } from '../pki/ledger.ts';
import type { SealKey } from '../pki/seal-key.ts';
import { mintToken } from '../pki/tokens.ts';
import { parsePlan, unpinned } from '../plan/index.ts';
import type { Inventory, Plan } from '../plan/types.ts';
import { type ActiveRun, nodesWithSteps } from '../run/active-run.ts';
import type { Confirmations } from '../run/local/confirmations.ts';
import type { Clock } from '../run/ports.ts';
import { runNotActive } from '../run/run-errors.ts';
import type { Runner } from '../run/runner.ts';
import type { BootstrapLine, NewToken, Operations } from '../server/operations.ts';
import { writeBackup } from '../store/backup.ts';
import type { BlobStore } from '../store/blobs.ts';
import type { RunArchive } from '../store/event-log.ts';
import type { FactsStore } from '../store/facts.ts';
import type { Identities } from '../store/identities.ts';
import type { Kubeconfigs } from '../store/kubeconfigs.ts';
import type { NodeRecord, Nodes } from '../store/nodes.ts';
import type { Pendings } from '../store/pendings.ts';
import type { Tokens } from '../store/tokens.ts';
import { nodeView, pendingView, tokenView } from '../views/node-view.ts';
import { runSummary } from '../views/run-view.ts';
import { iso } from '../views/times.ts';
import type { NodeView } from '../views/types.ts';
import type { Arrivals } from './arrivals.ts';
import type { Blobs } from './blobs.ts';
import type { Bootstrapper, Bringable } from './bootstrapper.ts';
import { copyPlan } from './copy-plan.ts';
import { execPlan, factsPlan, scanPlan } from './exec-plan.ts';
import type { Generations } from './generations.ts';
import type { Installations } from './installations.ts';
import { addressesOf } from './network.ts';
import { queueOf } from './queue.ts';
import { nodeUnknown, removeNode } from './removal.ts';
import { revisions } from './revisions.ts';
import type { Rollbacks } from './rollbacks.ts';
import { newRunId } from './run-id.ts';
import type { Runs } from './runs.ts';
import { readsFacts, selectNodes } from './select-nodes.ts';
import type { Shells } from './shells.ts';
import { upgradeNodes } from './upgrader.ts';

export interface OperationsParts {
  version: string;
  stateFolder: string;
  startedMs: number;
  generations: Generations;
  pid: number;
  authority: Authority;
  identities: Identities;
  tokens: Tokens;
  pendings: Pendings;
  nodes: Nodes;
  archive: RunArchive;
  facts: FactsStore;
  seal: SealKey;
  kubeconfigs: Kubeconfigs;
  confirmations: Confirmations;
  runner: Runner;
  runs: Runs;
  /** The files that plans name. */
  files: Blobs;
  blobs: BlobStore;
  fleet: Fleet;
  arrivals: Arrivals;
  installations: Installations;
  /** Of the packages that the agents' port serves. */
  manifests: readonly AgentManifest[];
  /** So long after its start a controller waits for nodes that are to be upgraded. */
  connectTimeoutMs: number;
  bootstrapper: Bootstrapper;
  /** Brings the nodes of a run that are not there. */
  bring(run: ActiveRun): void;
  rollbacks: Rollbacks;
  shells: Shells;
  clock: Clock;
  endpoints(): readonly string[];
  /** Every join waits for a person. */
  approve: boolean;
  /** Who was let in, by whose word. */
  audit(what: string, details: object): void;
  /** Aborts when the controller stops. */
  stop: AbortSignal;
}

/** What an operator can ask of this controller. */
export function operations(parts: OperationsParts): Operations {
  const { runner, runs, clock, fleet, identities, tokens, generations } = parts;

  const { resume, retry, skip } = revisions({ ...parts, sealKey: parts.seal.publicKey });

  const nodeViewOf = (name: string, record: NodeRecord | undefined): NodeView => {
    const identity = identities.node(name);
    return nodeView(
      {
        name,
        joinedMs: record?.joinedMs,
        certificateEndsMs: record?.certificateEndsMs,
        revoked: identity?.revoked ?? false,
        machineId: record?.machineId ?? '',
        version: record?.version ?? '',
        arch: record?.arch ?? '',
        lastSeenMs: record?.lastSeenMs,
        groups: identity?.groups,
      },
      {
        connected: fleet.isConnected(name),
        address: fleet.get(name)?.remote,
        held: parts.arrivals.heldFor(name),
        release: parts.installations.of(name)?.release,
      },
    );
  };

  const mint = async (wish: NewToken) => {
    const { text, record } = mintToken({
      ...wish,
      now: clock.nowMs(),
      caHash: parts.authority.caHash,
      random: randomBytes,
    });
    await tokens.add(record);
    parts.audit('token created', { ...tokenView(record) });
    return { text, token: tokenView(record) };
  };

  const selected = async (selector: readonly string[]) => {
    const inventory = await knownInventory(parts);
    // Those of a large fleet take a while to read.
    const told = selector.some(readsFacts) ? await parts.facts.all() : [];
    return { inventory, ...selectNodes(inventory, selector, new Map(told.map(({ node, facts }) => [node, facts]))) };
  };

  const startAdHoc = async (plan: Plan, by: string): Promise<{ run: string }> => {
    const compiled = compile(plan, { ...DEFAULT_COMPILE_OPTIONS, kind: 'exec' });
    if ('problems' in compiled) throw new Error('an ad-hoc plan does not compile');
    await parts.files.check(compiled.graph);
    generations.checkNew();
    const run = await runner.create(compiled.graph, { id: newRunId(clock.nowMs()), by });
    return { run: run.record.id };
  };

  return {
    async status() {
      return {
        version: parts.version,
        fleetId: parts.authority.fleetId,
        generation: generations.value,
        pid: parts.pid,
        stateFolder: parts.stateFolder,
        endpoints: [...parts.endpoints()],
        ...(parts.approve ? { approve: true } : {}),
        started: iso(parts.startedMs),
        nodes: { known: identities.all().filter((i) => !i.revoked).length, connected: fleet.size },
        ...(runner.heldBehind === undefined ? {} : { held: runner.heldBehind }),
        runs: [...runner.active.values()].map((run) => runSummary(run.record, clock.nowMs())),
      };
    },

    async apply(sources, options) {
      const parsed = parsePlan(sources, { runVars: options.runVars });
      if ('problems' in parsed) return parsed;
      const open = unpinned(parsed.plan);
      if (open.length > 0) return { problems: open };
      const kind = options.check ? 'check' : 'plan';
      const compiled = compile(parsed.plan, { ...options, kind, sealKey: parts.seal.publicKey });
      if ('problems' in compiled) return compiled;
      const { graph } = compiled;
      await parts.files.check(graph);
      generations.checkNew();
      if (options.check) checkJoined(graph, identities);
      if (!options.wait) checkFree(graph, runner);
      const id = newRunId(clock.nowMs());
      if (options.autoRollback) await parts.rollbacks.arrange(id, options.by);
      const run = await runner.create(graph, { id, by: options.by });
      if (options.autoRollback) void parts.rollbacks.watch(id, options.by);
      parts.bring(run);
      return { run: run.record.id };
    },
    async resume(sources, options) {
      generations.checkNew();
      return resume(sources, options);
    },
    async retry(id, wish) {
      generations.checkNew();
      return retry(id, wish);
    },
    async skip(id, wish) {
      generations.checkNew();
      return skip(id, wish);
    },
    async rollback(id, { start, by, ...wish }) {
      if (start) generations.checkNew();
      return parts.rollbacks.roll(id, wish, { start, by });
    },

    async exec(request) {
      const { inventory, nodes, withoutFacts } = await selected(request.selector);
      return {
        ...(await startAdHoc(execPlan(inventory, nodes, request), request.by)),
        nodes: nodes.length,
        withoutFacts,
      };
    },
    async gatherFacts({ selector, by }) {
      const { inventory, nodes, withoutFacts } = await selected(selector);
      return { ...(await startAdHoc(factsPlan(inventory, nodes), by)), nodes: nodes.length, withoutFacts };
    },
    async scan({ network, ports, timeoutSeconds, from, by }) {
      const addresses = addressesOf(network);
      const { inventory, nodes } = await selected([from ?? 'all']);
      const node = from === undefined ? nodes.find((name) => fleet.isConnected(name)) : nodes[0];
      if (node === undefined) throw nobodyThere(nodes);
      const plan = scanPlan(inventory, node, { addresses, ports, timeoutSeconds });
      return { ...(await startAdHoc(plan, by)), node };
    },
    async facts(selector) {
      const { nodes } = await selected(selector);
      const told = new Map((await parts.facts.all()).map((known) => [known.node, known]));
      return nodes.map((node) => {
        const known = told.get(node);
        return { node, ...(known ? { at: iso(known.atMs), facts: known.facts } : {}) };
      });
    },

    async copy(request) {
      const { inventory, nodes, withoutFacts } = await selected(request.selector);
      const started = await startAdHoc(copyPlan(inventory, nodes, request), request.by);
      return { ...started, nodes: nodes.length, withoutFacts };
    },
    missingBlobs: (digests) => parts.blobs.missing(digests),
    addBlob: (sha256, bytes) => parts.blobs.add(sha256, bytes),

    shell: (wish, screen) => parts.shells.begin(wish, screen),

    async runs(limit) {
      return (await parts.archive.list(limit)).map((record) => runSummary(record, clock.nowMs()));
    },
    run: (id) => runs.view(id),
    follow: (id, options, signal) => runs.follow(id, options, AbortSignal.any([signal, parts.stop])),
    async cancel(id, { by, force }) {
      runner.cancel(await runs.idOf(id), by, force);
      await runner.flush();
    },
    async confirm(id, answer) {
      parts.confirmations.answer(await runs.idOf(id), answer);
      // What follows from it is on its way once all that waited for it had its turn.
      await setImmediate();
      await runner.flush();
    },
    clusters: () => parts.kubeconfigs.names(),
    kubeconfig: (cluster) => parts.kubeconfigs.read(cluster),
    async pause(id, by) {
      runner.pause(await runs.idOf(id), by);
      await runner.flush();
    },
    async unpause(id, by) {
      runner.unpause(await runs.idOf(id), by);
      await runner.flush();
    },
    async releasePermit(id, { name, by }) {
      runner.releasePermit(await runs.idOf(id), name, by);
      await runner.flush();
    },
    async adopt(id) {
      const one = id === undefined ? undefined : await runs.idOf(id);
      if (one !== undefined && !runner.active.has(one)) throw runNotActive(one);
      await generations.adopt(one);
      await runner.flush();
      // Runs that are behind their nodes have begun a revision.
      await runner.flush();
      return one === undefined ? [...runner.active.keys()] : [one];
    },

    async backup(file, logs) {
      const about = { version: parts.version, created: iso(clock.nowMs()), logs };
      const { format: _, ...made } = await writeBackup(parts.stateFolder, file, about);
      return made;
    },

    async nodes() {
      const records = new Map((await parts.nodes.all()).map(({ name, record }) => [name, record]));
      const names = identities.all().map((identity) => identity.name);
      const nodes = names.sort().map((name) => nodeViewOf(name, records.get(name)));
      return [...nodes, ...(await parts.pendings.all(clock.nowMs())).map(pendingView)];
    },
    async decideJoin(name, { what, fingerprint, by }) {
      const pending = await parts.pendings.find(name);
      if (pending === undefined || keyFingerprint(pending.keyHash) !== fingerprint) throw joinNotPending(name);
      const decision = { what, by };
      if (!(await parts.pendings.decide(pending, decision, clock.nowMs()))) throw joinNotPending(name);
      parts.audit(`join ${what}`, { node: name, fingerprint, by });
      return pendingView({ ...pending, decision });
    },
    async revoke(name) {
      const known = identities.node(name);
      if (!known) throw nodeUnknown(name);
      if (!known.revoked && !(await identities.replace(known, revoked(known)))) {
        throw new KkError({
          code: 'STATE_CONFLICT',
          message: `Node ${name} was changed at the same moment.`,
          remedy: 'Revoke it again.',
        });
      }
      fleet.get(name)?.close(
        {
          code: 'CERT_REVOKED',
          message: `The certificates of ${name} were revoked.`,
          remedy: `To let it come back, run on it the line of \`kk-controller join-command --replace ${name}\`.`,
        },
        true,
      );
      return nodeViewOf(name, (await parts.nodes.get(name)).record);
    },

    removeNode: (name, wish) => removeNode(parts, name, wish),
    async *upgrade({ selector, ...wish }, signal) {
      const { nodes } = await selected(selector.length === 0 ? ['all'] : selector);
      const awaitMs = Math.max(0, parts.startedMs + parts.connectTimeoutMs - clock.nowMs());
      yield* upgradeNodes({ ...parts, awaitMs }, nodes, wish, AbortSignal.any([signal, parts.stop]));
    },

    createToken: mint,
    async tokens() {
      return (await tokens.list()).map(tokenView);
    },
    async deleteToken(id) {
      if (await tokens.remove(id)) return parts.audit('token deleted', { token: id });
      throw new KkError({
        code: 'TOKEN_UNKNOWN',
        message: `There is no token "${id}".`,
        remedy: 'See `kk-controller token list`.',
      });
    },
    async joinCommand({ endpoint, cloudInit, ...wish }) {
      const { text, token } = await mint(wish);
      const name = wish.name ?? wish.replace;
      const line = {
        endpoint: endpoint ?? parts.endpoints()[0] ?? '',
        pin: parts.authority.controllerKeyPin,
        token: text,
      };
      const who = {
        ...(name === undefined ? {} : { name }),
        ...(wish.replace === undefined ? {} : { replace: true as const }),
      };
      const whole = { ...line, ...who };
      return { command: joinCommand(whole), token, ...(cloudInit ? { userData: cloudConfig(whole) } : {}) };
    },

    async *bootstrap(sources, names, signal) {
      const parsed = parsePlan(sources);
      if ('problems' in parsed)
        throw new KkError(
          parsed.problems[0] ?? {
            code: 'PLAN_TYPE',
            message: 'The plan is not valid.',
            remedy: 'Check it with `kk-controller plan`.',
          },
        );
      const wanted = parsed.plan.inventory.nodes.filter((node) => names.length === 0 || names.includes(node.name));
      yield* bootstrapLines(parts, wanted, AbortSignal.any([signal, parts.stop]));
    },
  };
}

async function* bootstrapLines(
  parts: OperationsParts,
  nodes: readonly Bringable[],
  signal: AbortSignal,
): AsyncIterable<BootstrapLine> {
  const queue = queueOf<BootstrapLine>();
  for (const node of nodes) {
    if (parts.fleet.isConnected(node.name)) queue.push({ node: node.name, phase: 'connected already', done: true });
    else if (!node.ssh) {
      const error = {
        code: 'NO_SSH',
        message: `${node.name} has no ssh settings.`,
        remedy: `Run the line of \`kk-controller join-command --name ${node.name}\` on it.`,
        node: node.name,
      };
      queue.push({ node: node.name, phase: 'failed', done: true, error });
    }
  }
  const progress = {
    phase: (node: string, phase: string) => queue.push({ node, phase, done: false }),
    done: (node: string, error: BootstrapLine['error']) =>
      queue.push({ node, phase: error ? 'failed' : 'connected', done: true, ...(error ? { error } : {}) }),
  };
  void parts.bootstrapper
    .bring(
      nodes.filter((node) => node.ssh),
      progress,
      signal,
    )
    .finally(() => queue.end());
  yield* queue.items;
}

function joinNotPending(name: string): KkError {
  return new KkError({
    code: 'JOIN_NOT_PENDING',
    message: `No machine waits for approval as "${name}" with the key that was shown.`,
    remedy: 'See `kk-controller nodes` for those that wait; one that has waited for a day has to join again.',
  });
}

/** A dry run looks by agents that are there; it puts none anywhere. Throws KkError NODE_NOT_JOINED. */
function checkJoined(graph: TaskGraph, identities: Identities): void {
  const missing = [...nodesWithSteps(graph)].filter((name) => identities.node(name)?.revoked ?? true);
  const [first] = missing;
  if (first === undefined) return;
  const all =
    missing.length > 10 ? `${missing.slice(0, 10).join(', ')} and ${missing.length - 10} more` : missing.join(', ');
  throw new KkError({
    code: 'NODE_NOT_JOINED',
    message: `A dry run needs an agent on each node; these have not joined: ${all}.`,
    remedy: `Put agents there with \`kk-controller bootstrap\` and the plan, or by the line of \`kk-controller join-command --name ${first}\`.`,
    node: first,
  });
}

function nobodyThere(nodes: readonly string[]): KkError {
  return new KkError({
    code: 'NODES_AWAY',
    message: `None of the nodes is connected: ${nodes.slice(0, 10).join(', ')}.`,
    remedy: 'See `kk-controller nodes`; start kk-agent on one of them.',
  });
}

/** Throws KkError NODE_LOCKED when a run holds a node of this one. */
function checkFree(graph: TaskGraph, runner: Runner): void {
  const nodes = nodesWithSteps(graph);
  const [other] = runner.blockersOf({ record: { kind: graph.kind }, nodes });
  if (!other) return;
  const { id, name, by, createdMs } = other.record;
  const shared = [...nodes].filter((node) => other.nodes.has(node));
  throw new KkError({
    code: 'NODE_LOCKED',
    message: `Run ${id} (${name}, by ${by} since ${iso(createdMs)}) holds ${shared.slice(0, 5).join(', ')}${shared.length > 5 ? ` and ${shared.length - 5} more` : ''}.`,
    remedy: `Wait for it (\`kk-controller logs ${id} -f\`), or leave --no-wait out: then this one is queued behind it.`,
  });
}

/** The nodes the fleet knows, with the groups of the newest plan that named them. */
async function knownInventory(parts: OperationsParts): Promise<Inventory> {
  const [last] = (await parts.archive.list(50)).filter((record) => record.kind === 'plan');
  const stored = last && (await parts.archive.find(last.id));
  const planned = stored ? graphFromJson(stored.graphJson).common : undefined;
  const names = parts.identities
    .all()
    .filter((identity) => !identity.revoked)
    .map((identity) => identity.name)
    .sort();
  const at = { file: 'fleet', line: 0, column: 0 };
  const groupsOf = new Map(
    parts.identities
      .all()
      .map(({ name, groups = [] }) => [name, [...(planned?.nodes[name]?.groups ?? ['all']), ...groups]]),
  );
  const named = new Set([...Object.keys(planned?.groups ?? {}), ...[...groupsOf.values()].flat()]);
  const groups = [...named].map((name) => [
    name,
    {
      name,
      nodes: names.filter((node) => planned?.groups[name]?.nodes.includes(node) || groupsOf.get(node)?.includes(name)),
      children: [],
      vars: {},
    },
  ]);
  return {
    nodes: names.map((name) => ({
      name,
      address: planned?.nodes[name]?.address ?? parts.fleet.get(name)?.remote ?? '',
      ssh: undefined,
      vars: {},
      groups: [...new Set(groupsOf.get(name))],
      at,
    })),
    groups: { ...Object.fromEntries(groups), all: { name: 'all', nodes: names, children: [], vars: {} } },
    vars: {},
  };
}
