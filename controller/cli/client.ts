import type { Readable } from 'node:stream';
import { z } from 'zod';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
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
import {
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
import { type Ask, ask, askLines } from './http.ts';

const Started = z.object({ run: z.string() });
const StartedAdHoc = Started.extend({ nodes: z.number(), withoutFacts: z.array(z.string()) });
const Missing = z.object({ missing: z.array(z.string()) });
const StartedScan = Started.extend({ node: z.string() });
const Clusters = z.object({ clusters: z.array(z.string()) });
const Kubeconfig = z.object({ content: z.string() });
const Adopted = z.object({ runs: z.array(z.string()) });
const NewToken = z.object({ text: z.string(), token: TokenView });
const NewJoin = z.object({ command: z.string(), token: TokenView, userData: z.string().optional() });

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

  constructor(socket: string) {
    this.socket = socket;
  }

  status(): Promise<StatusView> {
    return this.get('/v1/status', StatusView);
  }

  apply(body: WithSources<ApplyBody>): Promise<{ run: string }> {
    return this.post('/v1/runs', body, Started);
  }

  resume(body: WithSources<ResumeBody>): Promise<RevisedView> {
    return this.post('/v1/resume', body, RevisedView);
  }

  retry(id: string, body: RetryBody): Promise<RevisedView> {
    return this.post(`${pathOf(id)}/retry`, body, RevisedView);
  }

  skip(id: string, body: SkipBody): Promise<RevisedView> {
    return this.post(`${pathOf(id)}/skip`, body, RevisedView);
  }

  exec(body: ExecBody): Promise<z.infer<typeof StartedAdHoc>> {
    return this.post('/v1/exec', body, StartedAdHoc);
  }

  gatherFacts(body: FactsBody): Promise<z.infer<typeof StartedAdHoc>> {
    return this.post('/v1/facts', body, StartedAdHoc);
  }

  scan(body: ScanBody): Promise<z.infer<typeof StartedScan>> {
    return this.post('/v1/scan', body, StartedScan);
  }

  knownFacts(selector: string[]): Promise<FactsView[]> {
    return this.post('/v1/facts/known', { selector }, z.array(FactsView));
  }

  /** Those of the digests whose file the controller does not have. */
  async missingBlobs(body: BlobsBody): Promise<string[]> {
    return (await this.post('/v1/blobs/missing', body, Missing)).missing;
  }

  /** Sends a file under its digest; `bytes` is read as the controller takes it. */
  async addBlob(sha256: string, bytes: Readable): Promise<void> {
    await this.call({ method: 'PUT', path: `/v1/blobs/${sha256}`, stream: bytes }, z.unknown());
  }

  copy(body: CopyBody): Promise<z.infer<typeof StartedAdHoc>> {
    return this.post('/v1/copy', body, StartedAdHoc);
  }

  runs(limit: number): Promise<RunSummary[]> {
    return this.get(`/v1/runs?limit=${limit}`, z.array(RunSummary));
  }

  run(id: string): Promise<RunView> {
    return this.get(pathOf(id), RunView);
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
    for await (const line of askLines(this.socket, { method: 'GET', path, signal })) yield understood(StreamLine, line);
  }

  rollback(id: string, body: RollbackBody): Promise<RollbackView> {
    return this.post(`/v1/runs/${encodeURIComponent(id)}/rollback`, body, RollbackView);
  }

  async cancel(id: string, body: CancelBody): Promise<void> {
    await this.post(`${pathOf(id)}/cancel`, body, z.unknown());
  }

  async confirm(id: string, body: ConfirmBody): Promise<void> {
    await this.post(`${pathOf(id)}/confirm`, body, z.unknown());
  }

  async clusters(): Promise<string[]> {
    return (await this.get('/v1/kubeconfigs', Clusters)).clusters;
  }

  async kubeconfig(cluster: string): Promise<string> {
    return (await this.get(`/v1/kubeconfigs/${encodeURIComponent(cluster)}`, Kubeconfig)).content;
  }

  async pause(id: string, body: AskBody): Promise<void> {
    await this.post(`${pathOf(id)}/pause`, body, z.unknown());
  }

  async unpause(id: string, body: AskBody): Promise<void> {
    await this.post(`${pathOf(id)}/unpause`, body, z.unknown());
  }

  async releasePermit(id: string, body: PermitBody): Promise<void> {
    await this.post(`${pathOf(id)}/permit-release`, body, z.unknown());
  }

  /** Ids of the runs that go on. */
  async adopt(body: AdoptBody): Promise<string[]> {
    return (await this.post('/v1/adopt', body, Adopted)).runs;
  }

  backup(body: BackupBody): Promise<BackupView> {
    return this.post('/v1/backup', body, BackupView);
  }

  nodes(): Promise<NodeView[]> {
    return this.get('/v1/nodes', z.array(NodeView));
  }

  revoke(name: string): Promise<NodeView> {
    return this.post(`/v1/nodes/${encodeURIComponent(name)}/revoke`, {}, NodeView);
  }

  remove(name: string, body: RemoveBody): Promise<RemovedView> {
    return this.post(`/v1/nodes/${encodeURIComponent(name)}/remove`, body, RemovedView);
  }

  approve(name: string, body: DecideBody): Promise<NodeView> {
    return this.post(`/v1/nodes/${encodeURIComponent(name)}/approve`, body, NodeView);
  }

  reject(name: string, body: DecideBody): Promise<NodeView> {
    return this.post(`/v1/nodes/${encodeURIComponent(name)}/reject`, body, NodeView);
  }

  async *upgrade(body: UpgradeBody, signal: AbortSignal): AsyncGenerator<UpgradeLine> {
    const lines = askLines(this.socket, { method: 'POST', path: '/v1/nodes/upgrade', body, signal });
    for await (const line of lines) yield line as UpgradeLine;
  }

  createToken(body: TokenBody): Promise<z.infer<typeof NewToken>> {
    return this.post('/v1/tokens', body, NewToken);
  }

  tokens(): Promise<TokenView[]> {
    return this.get('/v1/tokens', z.array(TokenView));
  }

  async deleteToken(id: string): Promise<void> {
    await this.call({ method: 'DELETE', path: `/v1/tokens/${encodeURIComponent(id)}` }, z.unknown());
  }

  joinCommand(body: JoinBody): Promise<z.infer<typeof NewJoin>> {
    return this.post('/v1/join-command', body, NewJoin);
  }

  async *bootstrap(body: WithSources<BootstrapBody>, signal: AbortSignal): AsyncGenerator<BootstrapLine> {
    const lines = askLines(this.socket, { method: 'POST', path: '/v1/bootstrap', body, signal });
    for await (const line of lines) yield line as BootstrapLine;
  }

  private get<S extends z.ZodType>(path: string, shape: S): Promise<z.output<S>> {
    return this.call({ method: 'GET', path }, shape);
  }

  private post<S extends z.ZodType>(path: string, body: unknown, shape: S): Promise<z.output<S>> {
    return this.call({ method: 'POST', path, body }, shape);
  }

  private async call<S extends z.ZodType>(wish: Ask, shape: S): Promise<z.output<S>> {
    return understood(shape, await ask(this.socket, wish));
  }
}

function pathOf(run: string): string {
  return `/v1/runs/${encodeURIComponent(run)}`;
}

function understood<S extends z.ZodType>(shape: S, value: unknown): z.output<S> {
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new KkError({
    code: 'CONTROLLER_ANSWER',
    message: 'The controller gave an answer that is not understood.',
    remedy: 'Use the same version for both: compare with `kk-controller version`.',
    evidence: z.prettifyError(parsed.error).slice(0, 1000),
  });
}
