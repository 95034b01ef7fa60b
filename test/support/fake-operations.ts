import { compile, DEFAULT_COMPILE_OPTIONS } from '../../controller/compile/compile.ts';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { parsePlan, type Sources } from '../../controller/plan/index.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import type { RunRecord } from '../../controller/run/ports.ts';
import { replay } from '../../controller/run/revise.ts';
import type {
  ApplyOptions,
  BootstrapLine,
  ExecRequest,
  NewToken,
  Operations,
  ResumeOptions,
  RetryWish,
  RollbackWish,
  ScanWish,
  ShellKeys,
  ShellScreen,
  ShellWish,
  SkipWish,
  Started,
  UpgradeLine,
  UpgradeWish,
} from '../../controller/server/operations.ts';
import { nodeView, pendingView, tokenView, type WaitingJoin } from '../../controller/views/node-view.ts';
import { runSummary, runView } from '../../controller/views/run-view.ts';
import { streamLines } from '../../controller/views/stream-lines.ts';
import type { FactsView, RevisedView, RollbackView, RunView, StreamLine } from '../../controller/views/types.ts';
import { KkError, KkErrors } from '../../shared/errors.ts';

export const NOW = Date.UTC(2030, 0, 1, 12, 0, 0);
const MINUTE = 60_000;

/** The graph of a plan's text; its problems as KkErrors. */
export function graphOf(sources: Sources): TaskGraph {
  const parsed = parsePlan(sources);
  if ('problems' in parsed) throw new KkErrors(parsed.problems);
  const compiled = compile(parsed.plan, DEFAULT_COMPILE_OPTIONS);
  if ('problems' in compiled) throw new KkErrors(compiled.problems);
  return compiled.graph;
}

export interface FakeRun {
  record: RunRecord;
  graph: TaskGraph;
  events: RunEvent[];
  logs?: Extract<StreamLine, { type: 'log' }>[];
}

export function fakeRun(id: string, graph: TaskGraph, events: RunEvent[]): FakeRun {
  const record: RunRecord = {
    id,
    name: graph.name,
    kind: graph.kind,
    status: 'running',
    revision: 1,
    createdMs: NOW - MINUTE,
    endedMs: events.some(({ kind }) => kind === 'finished') ? NOW : undefined,
    by: 'ada',
  };
  return { record, graph, events };
}

export function viewOf({ record, graph, events }: FakeRun): RunView {
  const state = replay(graph, events);
  return runView(record, graph, state, { events, nowMs: NOW, waitingFor: [] });
}

/** A controller that has what a test gives it, and notes what it is asked. */
export class FakeOperations implements Operations {
  readonly asked: unknown[] = [];
  /** The kubeconfig that is kept. */
  kept: string | undefined;
  readonly runsById = new Map<string, FakeRun>();
  /** What apply and exec start. */
  next: FakeRun | undefined;
  bootstrapLines: BootstrapLine[] = [];
  /** Called before the end of a live stream: tests hold it there. */
  beforeEnd: (signal: AbortSignal) => Promise<void> = async () => {};
  /** What a shell does. */
  onShell: (screen: ShellScreen) => ShellKeys = () => ({ type: () => {}, resize: () => {}, close: () => {} });
  /** The stream breaks off so many times in its middle. */
  breaks = 0;

  async status() {
    return {
      version: '0.1.0',
      fleetId: 'f1',
      generation: 3,
      pid: 42,
      stateFolder: '/srv/kk',
      endpoints: ['https://10.0.0.5:9443'],
      started: new Date(NOW - 90 * MINUTE).toISOString(),
      nodes: { known: 2, connected: 1 },
      runs: [...this.runsById.values()].map(({ record }) => runSummary(record, NOW)),
    };
  }

  async apply(sources: Sources, options: ApplyOptions) {
    this.asked.push({ apply: Object.keys(sources.texts), options });
    return this.#start();
  }

  async copy(): Promise<Started> {
    return { ...this.#start(), nodes: this.next?.graph.nodes.length ?? 0, withoutFacts: [] };
  }

  async missingBlobs(): Promise<string[]> {
    return [];
  }

  async addBlob(): Promise<void> {}

  shell(wish: ShellWish, screen: ShellScreen): ShellKeys {
    this.asked.push({ shell: wish });
    return this.onShell(screen);
  }

  async exec(request: ExecRequest) {
    this.asked.push({ exec: request });
    return { ...this.#start(), nodes: this.next?.graph.nodes.length ?? 0, withoutFacts: this.withoutFacts };
  }

  /** Of which an expression in a selector knew no facts. */
  withoutFacts: string[] = [];

  async gatherFacts(wish: { selector: string[]; by: string }) {
    this.asked.push({ gatherFacts: wish });
    return { ...this.#start(), nodes: this.next?.graph.nodes.length ?? 0, withoutFacts: this.withoutFacts };
  }

  async scan(wish: ScanWish) {
    this.asked.push({ scan: wish });
    return { ...this.#start(), node: 'cp1' };
  }

  known: FactsView[] = [];

  async facts(selector: string[]) {
    this.asked.push({ facts: selector });
    return this.known;
  }

  #start(): { run: string } {
    if (!this.next)
      throw new KkError({ code: 'SELECTOR_UNKNOWN', message: 'There is no node "x".', remedy: 'See nodes.' });
    this.runsById.set(this.next.record.id, this.next);
    return { run: this.next.record.id };
  }

  async runs(limit: number) {
    return [...this.runsById.values()].slice(0, limit).map(({ record }) => runSummary(record, NOW));
  }

  async run(id: string) {
    return viewOf(this.#find(id));
  }

  async *follow(
    id: string,
    options: { logs: boolean; live: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<StreamLine> {
    const run = this.#find(id);
    yield { type: 'run', run: viewOf({ ...run, events: [] }) };
    const lines = run.events.flatMap((event) => streamLines(run.graph, event));
    if (this.breaks > 0) {
      this.breaks -= 1;
      yield* lines.slice(0, lines.length / 2);
      return;
    }
    yield* lines;
    if (options.logs) yield* run.logs ?? [];
    if (!options.live) return;
    await this.beforeEnd(signal);
    if (!signal.aborted) yield { type: 'finished', run: viewOf(run) };
  }

  onCancel: () => void = () => {};

  async cancel(id: string, wish: { by: string; force: boolean }) {
    this.asked.push({ cancel: id, ...wish });
    this.onCancel();
  }

  /** What the next revision of `next` does anew. */
  again: RevisedView['again'] = [];

  async resume(sources: Sources, options: ResumeOptions) {
    this.asked.push({ resume: Object.keys(sources.texts), options });
    return this.#revise();
  }

  async retry(id: string, wish: RetryWish) {
    this.asked.push({ retry: id, ...wish });
    return this.#revise();
  }

  async skip(id: string, wish: SkipWish) {
    this.asked.push({ skip: id, ...wish });
    return this.#revise();
  }

  /** What a rollback undoes; the run that does it is `next`. */
  undoing: Omit<RollbackView, 'run' | 'of'> = { undoes: [], cannot: [] };

  async rollback(id: string, wish: RollbackWish): Promise<RollbackView> {
    this.asked.push({ rollback: id, ...wish });
    return { of: id, ...this.undoing, ...(wish.start ? this.#start() : {}) };
  }

  #revise(): RevisedView {
    const { run } = this.#start();
    return { run, revision: 2, again: this.again };
  }

  async confirm(id: string, answer: { yes: boolean; by: string; task?: string }) {
    this.asked.push({ confirm: id, ...answer });
  }
  async clusters() {
    return ['lab'];
  }
  async kubeconfig(cluster: string) {
    return this.kept ?? `of ${cluster}\n`;
  }
  async pause(id: string, by: string) {
    this.asked.push({ pause: id, by });
  }

  async unpause(id: string, by: string) {
    this.asked.push({ unpause: id, by });
  }

  async adopt(id: string | undefined, by: string) {
    this.asked.push({ adopt: id, by });
    return id === undefined ? [...this.runsById.keys()] : [id];
  }

  async releasePermit(id: string, wish: { name: string; by: string }) {
    this.asked.push({ releasePermit: id, ...wish });
  }

  async backup(file: string, logs: boolean) {
    this.asked.push({ backup: file, logs });
    return { version: '0.1.0', fleetId: 'f1', created: new Date(NOW).toISOString(), logs };
  }

  async nodes() {
    const known = { joinedMs: NOW - 25 * 60 * MINUTE, certificateEndsMs: NOW + 5 * 24 * 60 * MINUTE, machineId: 'm' };
    const node = { ...known, revoked: false, version: '0.1.0', arch: 'x64' };
    return [
      nodeView({ ...node, name: 'cp1', lastSeenMs: NOW }, { connected: true, address: '10.0.0.1' }),
      nodeView({ ...node, name: 'w1', lastSeenMs: NOW - 3 * MINUTE }, { connected: false }),
    ];
  }

  async revoke(name: string) {
    const node = (await this.nodes()).find((known) => known.name === name);
    if (!node)
      throw new KkError({ code: 'NODE_UNKNOWN', message: `There is no node "${name}".`, remedy: 'See nodes.' });
    return { ...node, connected: false, revoked: true };
  }

  upgradeLines: UpgradeLine[] = [];

  async *upgrade(wish: UpgradeWish): AsyncGenerator<UpgradeLine> {
    this.asked.push({ upgrade: wish });
    yield* this.upgradeLines;
  }

  async removeNode(node: string, wish: { force: boolean; by: string }) {
    this.asked.push({ remove: node, ...wish });
    return { node, uninstalled: !wish.force };
  }

  async decideJoin(name: string, decision: { what: 'approved' | 'rejected'; fingerprint: string; by: string }) {
    this.asked.push({ decide: name, ...decision });
    return pendingView({ ...this.pending, name, decision });
  }

  pending: WaitingJoin = {
    ...{ name: 'w9', keyHash: 'ab'.repeat(32), tokenId: 't1', askedAt: NOW - MINUTE, expiresAt: NOW + 60 * MINUTE },
    address: '10.0.0.9',
    machine: {
      ...{ hostname: 'w9', os: 'Debian 12', kernel: '6.1', arch: 'x64', version: '0.1.0' },
      ...{ cpus: 4, memory: 8 * 2 ** 30 },
    },
  };

  async createToken(wish: NewToken) {
    this.asked.push({ token: wish });
    const token = { id: 't1', createdAt: NOW, expiresAt: NOW + wish.ttlSeconds * 1000, usesLeft: wish.uses };
    return { text: 'kk1.t1.secret', token: tokenView({ ...token, ...wish }) };
  }

  async tokens() {
    return [tokenView({ id: 't1', createdAt: NOW, expiresAt: NOW + 10 * MINUTE, usesLeft: 3 })];
  }

  async deleteToken(id: string) {
    this.asked.push({ deleted: id });
  }

  async joinCommand(wish: { ttlSeconds: number; uses: number; endpoint?: string }) {
    const { token } = await this.createToken(wish);
    return { command: `curl ${wish.endpoint ?? 'https://10.0.0.5:9443'}/join.sh | sh`, token };
  }

  async *bootstrap(_sources: Sources, nodes: string[]): AsyncGenerator<BootstrapLine> {
    this.asked.push({ bootstrap: nodes });
    yield* this.bootstrapLines;
  }

  #find(id: string): FakeRun {
    const run = id === 'last' ? [...this.runsById.values()].at(-1) : this.runsById.get(id);
    if (!run) throw new KkError({ code: 'RUN_UNKNOWN', message: `There is no run "${id}".`, remedy: 'See runs.' });
    return run;
  }
}
