import type { Readable } from 'node:stream';
import type { z } from 'zod';
import type { ErrorReport } from '../../shared/errors.ts';
import { BUILD } from '../config/version.ts';
import type { Sources } from '../plan/index.ts';
import type {
  AdoptBody,
  ApplyBody,
  AskBody,
  BackupBody,
  BlobsBody,
  BootstrapBody,
  CancelBody,
  ConfirmBody,
  CopyBody,
  DecideBody,
  ExecBody,
  FactsBody,
  JoinBody,
  PermitBody,
  RemoveBody,
  ResumeBody,
  RetryBody,
  RollbackBody,
  ScanBody,
  SkipBody,
  TokenBody,
  UpgradeBody,
} from '../views/requests.ts';
import type {
  BackupView,
  FactsView,
  NodeView,
  RemovedView,
  RevisedView,
  RollbackView,
  RunSummary,
  RunView,
  StatusView,
  StreamLine,
  TokenView,
} from '../views/types.ts';
import type * as Answers from './answers.ts';
import { type Answer, type Ask, ask, askLines } from './http.ts';

/** The body with the sources as they were loaded: the same shape, read-only. */
type WithSources<B extends { sources: unknown }> = Omit<B, 'sources'> & { sources: Sources };

export interface BootstrapLine {
  node: string;
  phase: string;
  done: boolean;
  error?: ErrorReport;
}

export interface UpgradeLine extends BootstrapLine {
  /** With `done`: `newest`: it was; `left`: not begun, because an earlier one failed. */
  result?: 'upgraded' | 'newest' | 'failed' | 'left';
}

/**
 * The operator API over its unix socket. Every call throws KkError CONTROLLER_UNREACHABLE when nobody answers,
 * CONTROLLER_LOST when the answer breaks off, and else the error that the controller answered.
 */
export class Client {
  readonly socket: string;
  readonly #build: string;

  constructor(socket: string, build: string = BUILD) {
    this.socket = socket;
    this.#build = build;
  }

  /** Whether anybody answers, whatever. */
  async knock(): Promise<void> {
    await ask(this.socket, { method: 'GET', path: '/v1/status' });
  }

  status(): Promise<StatusView> {
    return this.get('/v1/status', ({ StatusView }) => StatusView);
  }

  apply(body: WithSources<ApplyBody>): Promise<{ run: string }> {
    return this.post('/v1/runs', body, ({ Started }) => Started);
  }

  resume(body: WithSources<ResumeBody>): Promise<RevisedView> {
    return this.post('/v1/resume', body, ({ RevisedView }) => RevisedView);
  }

  retry(id: string, body: RetryBody): Promise<RevisedView> {
    return this.post(`${pathOf(id)}/retry`, body, ({ RevisedView }) => RevisedView);
  }

  skip(id: string, body: SkipBody): Promise<RevisedView> {
    return this.post(`${pathOf(id)}/skip`, body, ({ RevisedView }) => RevisedView);
  }

  exec(body: ExecBody): Promise<z.infer<typeof Answers.StartedAdHoc>> {
    return this.post('/v1/exec', body, ({ StartedAdHoc }) => StartedAdHoc);
  }

  gatherFacts(body: FactsBody): Promise<z.infer<typeof Answers.StartedAdHoc>> {
    return this.post('/v1/facts', body, ({ StartedAdHoc }) => StartedAdHoc);
  }

  scan(body: ScanBody): Promise<z.infer<typeof Answers.StartedScan>> {
    return this.post('/v1/scan', body, ({ StartedScan }) => StartedScan);
  }

  knownFacts(selector: string[]): Promise<FactsView[]> {
    return this.post('/v1/facts/known', { selector }, ({ FactsViews }) => FactsViews);
  }

  /** Those of the digests whose file the controller does not have. */
  async missingBlobs(body: BlobsBody): Promise<string[]> {
    return (await this.post('/v1/blobs/missing', body, ({ Missing }) => Missing)).missing;
  }

  /** Sends a file under its digest; `bytes` is read as the controller takes it. */
  async addBlob(sha256: string, bytes: Readable): Promise<void> {
    await ask(this.socket, { method: 'PUT', path: `/v1/blobs/${sha256}`, stream: bytes });
  }

  copy(body: CopyBody): Promise<z.infer<typeof Answers.StartedAdHoc>> {
    return this.post('/v1/copy', body, ({ StartedAdHoc }) => StartedAdHoc);
  }

  runs(limit: number): Promise<RunSummary[]> {
    return this.get(`/v1/runs?limit=${limit}`, ({ RunSummaries }) => RunSummaries);
  }

  run(id: string): Promise<RunView> {
    return this.get(pathOf(id), ({ RunView }) => RunView);
  }

  /**
   * Every line of the run from its beginning (or that of a later `revision`), and (unless `live` is false) those to come until it has ended. Ends early,
   * without an error, when `signal` aborts.
   */
  async *follow(
    id: string,
    options: { logs: boolean; live?: boolean; revision?: number },
    signal: AbortSignal,
  ): AsyncGenerator<StreamLine> {
    const { logs, live = true, revision = 1 } = options;
    const path = `${pathOf(id)}/stream?logs=${logs ? 1 : 0}&live=${live ? 1 : 0}&revision=${revision}`;
    for await (const line of askLines(this.socket, { method: 'GET', path, signal }))
      yield await this.understood(line, ({ StreamLine }) => StreamLine);
  }

  rollback(id: string, body: RollbackBody): Promise<RollbackView> {
    return this.post(`/v1/runs/${encodeURIComponent(id)}/rollback`, body, ({ RollbackView }) => RollbackView);
  }

  async cancel(id: string, body: CancelBody): Promise<void> {
    await ask(this.socket, { method: 'POST', path: `${pathOf(id)}/cancel`, body });
  }

  async confirm(id: string, body: ConfirmBody): Promise<void> {
    await ask(this.socket, { method: 'POST', path: `${pathOf(id)}/confirm`, body });
  }

  async clusters(): Promise<string[]> {
    return (await this.get('/v1/kubeconfigs', ({ Clusters }) => Clusters)).clusters;
  }

  async kubeconfig(cluster: string): Promise<string> {
    return (await this.get(`/v1/kubeconfigs/${encodeURIComponent(cluster)}`, ({ Kubeconfig }) => Kubeconfig)).content;
  }

  async pause(id: string, body: AskBody): Promise<void> {
    await ask(this.socket, { method: 'POST', path: `${pathOf(id)}/pause`, body });
  }

  async unpause(id: string, body: AskBody): Promise<void> {
    await ask(this.socket, { method: 'POST', path: `${pathOf(id)}/unpause`, body });
  }

  async releasePermit(id: string, body: PermitBody): Promise<void> {
    await ask(this.socket, { method: 'POST', path: `${pathOf(id)}/permit-release`, body });
  }

  /** Ids of the runs that go on. */
  async adopt(body: AdoptBody): Promise<string[]> {
    return (await this.post('/v1/adopt', body, ({ Adopted }) => Adopted)).runs;
  }

  backup(body: BackupBody): Promise<BackupView> {
    return this.post('/v1/backup', body, ({ BackupView }) => BackupView);
  }

  nodes(): Promise<NodeView[]> {
    return this.get('/v1/nodes', ({ NodeViews }) => NodeViews);
  }

  revoke(name: string): Promise<NodeView> {
    return this.post(`/v1/nodes/${encodeURIComponent(name)}/revoke`, {}, ({ NodeView }) => NodeView);
  }

  remove(name: string, body: RemoveBody): Promise<RemovedView> {
    return this.post(`/v1/nodes/${encodeURIComponent(name)}/remove`, body, ({ RemovedView }) => RemovedView);
  }

  approve(name: string, body: DecideBody): Promise<NodeView> {
    return this.post(`/v1/nodes/${encodeURIComponent(name)}/approve`, body, ({ NodeView }) => NodeView);
  }

  reject(name: string, body: DecideBody): Promise<NodeView> {
    return this.post(`/v1/nodes/${encodeURIComponent(name)}/reject`, body, ({ NodeView }) => NodeView);
  }

  async *upgrade(body: UpgradeBody, signal: AbortSignal): AsyncGenerator<UpgradeLine> {
    const lines = askLines(this.socket, { method: 'POST', path: '/v1/nodes/upgrade', body, signal });
    for await (const { value } of lines) yield value as UpgradeLine;
  }

  createToken(body: TokenBody): Promise<z.infer<typeof Answers.NewToken>> {
    return this.post('/v1/tokens', body, ({ NewToken }) => NewToken);
  }

  tokens(): Promise<TokenView[]> {
    return this.get('/v1/tokens', ({ TokenViews }) => TokenViews);
  }

  async deleteToken(id: string): Promise<void> {
    await ask(this.socket, { method: 'DELETE', path: `/v1/tokens/${encodeURIComponent(id)}` });
  }

  joinCommand(body: JoinBody): Promise<z.infer<typeof Answers.NewJoin>> {
    return this.post('/v1/join-command', body, ({ NewJoin }) => NewJoin);
  }

  async *bootstrap(body: WithSources<BootstrapBody>, signal: AbortSignal): AsyncGenerator<BootstrapLine> {
    const lines = askLines(this.socket, { method: 'POST', path: '/v1/bootstrap', body, signal });
    for await (const { value } of lines) yield value as BootstrapLine;
  }

  private get<S extends z.ZodType>(path: string, shape: ShapeOf<S>): Promise<z.output<S>> {
    return this.call({ method: 'GET', path }, shape);
  }

  private post<S extends z.ZodType>(path: string, body: unknown, shape: ShapeOf<S>): Promise<z.output<S>> {
    return this.call({ method: 'POST', path, body }, shape);
  }

  private async call<S extends z.ZodType>(wish: Ask, shape: ShapeOf<S>): Promise<z.output<S>> {
    return this.understood(await ask(this.socket, wish), shape);
  }

  /** What this very build says is as it should be; to see whether another's is costs more than the answer. */
  private async understood<S extends z.ZodType>({ value, build }: Answer, shape: ShapeOf<S>): Promise<z.output<S>> {
    if (build !== '' && build === this.#build) return value as z.output<S>;
    const known = await answers();
    return known.understood(shape(known), value);
  }
}

type ShapeOf<S> = (answers: typeof Answers) => S;

/** Loaded when there is an answer to be read closely: it takes 40 ms of CPU, and what was asked for is under way by then. */
const answers = (): Promise<typeof Answers> => import('./answers.ts');

function pathOf(run: string): string {
  return `/v1/runs/${encodeURIComponent(run)}`;
}
