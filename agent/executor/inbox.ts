import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import { bytesJson } from '../../shared/protocol/codec.ts';
import type { Push } from '../../shared/protocol/messages.ts';
import type { Common, Json, Share } from '../../shared/share.ts';
import type { Wish, WorkMessage } from '../link/work.ts';
import { checkRunId, readCommon, readShare, refusal } from './accept.ts';
import { type Blobs, sha256 } from './blobs.ts';
import type { Logger } from './ports.ts';
import type { NewRecord } from './records.ts';
import type { AgentState, RunRecord } from './state.ts';

export interface InboxPorts {
  state: AgentState;
  blobs: Blobs;
  logger: Logger;
  record(record: NewRecord): void;
  isAtWork(run: string): boolean;
  commonOf(run: string): Common | undefined;
  accepted(run: RunRecord, common: Common): void;
  cancelled(run: RunRecord, cancel: { graceMs: number; force: boolean }): void;
  /** A later revision of the run has come and waits. */
  replaced(run: RunRecord): void;
  forgotten(run: RunRecord): void;
  wish(wish: Wish): void;
  changed(): void;
}

/** Messages that find their run or are for none. */
type AboutRun = Exclude<WorkMessage, { kind: 'push' | 'blob_part' }>;

/** A document that comes in parts. */
interface Incoming {
  parts: Buffer[];
  size: number;
}

/** Messages about a run as a whole: they name no revision. */
const DESIRED: ReadonlySet<WorkMessage['kind']> = new Set(['hold', 'resume', 'cancel', 'forget']);

/** No document is larger: 64 MiB hold the tasks and inventory of far more than 5,000 nodes. */
const DOCUMENT_LIMIT = 64 * 1024 * 1024;

/**
 * Takes the controller's messages about work in, one after another: a gate that follows its push finds the share in
 * place. Every message may come twice (they are repeated after a reconnect) and has its effect once.
 */
export class Inbox {
  readonly #ports: InboxPorts;
  #queue: Promise<void> = Promise.resolve();
  /** Pushes not yet taken on: they wait for a document, or for the steps of an older revision to end; and what came after them. */
  readonly #waiting = new Map<string, { push: Push; after: AboutRun[] }>();
  readonly #incoming = new Map<string, Incoming>();

  constructor(ports: InboxPorts) {
    this.#ports = ports;
  }

  handle(message: WorkMessage): void {
    this.#enqueue(message.kind, () => this.#take(message));
  }

  #enqueue(kind: WorkMessage['kind'], work: () => Promise<void> | undefined): void {
    this.#queue = this.#queue
      .then(work)
      .catch((thrown) =>
        this.#ports.logger.error({ kind, report: reportOf(thrown) }, 'a message could not be dealt with'),
      );
  }

  /** Resolves when everything taken in so far was dealt with. */
  idle(): Promise<void> {
    return this.#queue;
  }

  /** The connection is new: documents under way are asked for again from where they stopped. */
  welcomed(): void {
    for (const [sha, { size }] of this.#incoming)
      this.#ports.wish({ kind: 'blob_wanted', value: { sha256: sha, offset: size } });
  }

  /** A later revision than this one has come, whether it was taken on or not. */
  isReplaced({ run, revision, replaced }: RunRecord): boolean {
    const waiting = this.#waiting.get(run);
    return replaced === true || (waiting !== undefined && waiting.push.revision > revision);
  }

  /** The revision was just taken on, and what came after it was not yet: nothing starts before a cancel or hold is known. */
  isSettling({ run, revision }: RunRecord): boolean {
    return this.#waiting.get(run)?.push.revision === revision;
  }

  /** A step has ended: a newer revision may have waited for it. */
  stepEnded(): void {
    for (const { push } of this.#waiting.values()) {
      if (this.#ports.isAtWork(push.run)) continue;
      this.#enqueue('push', () => (this.#waiting.get(push.run)?.push === push ? this.#takeOn(push) : undefined));
    }
  }

  async #take(message: WorkMessage): Promise<void> {
    if (message.kind === 'blob_part') return this.#blobPart(message.value);
    if (message.kind === 'push') return this.#push(message.value);
    const { run: id } = message.value;
    const run = this.#ports.state.runs.get(id);
    if (message.kind === 'forget') this.#waiting.delete(id);
    const waiting = this.#waiting.get(id);
    // What tells of the share is for the one that waits; what tells of the run is for both, and at once for the older.
    waiting?.after.push(message);
    if (run === undefined || (waiting !== undefined && !DESIRED.has(message.kind))) return;
    this.#apply(run, message);
    this.#ports.changed();
  }

  #apply(run: RunRecord, message: AboutRun): void {
    const { record } = this.#ports;
    const id = run.run;
    switch (message.kind) {
      case 'open_gate': {
        const { revision, gate, values } = message.value;
        if (revision !== run.revision || run.gates.has(gate)) return;
        record({
          type: 'gate',
          run: id,
          revision,
          gate,
          values: values.length === 0 ? null : (bytesJson(values) as Json),
        });
        return;
      }
      case 'close_gate': {
        const { revision, gate, cause } = message.value;
        if (revision !== run.revision || run.gates.has(gate)) return;
        record({ type: 'gate-closed', run: id, revision, gate, cause });
        return;
      }
      case 'permit': {
        const { revision, task } = message.value;
        if (revision !== run.revision || run.permits.has(task)) return;
        record({ type: 'permit', run: id, revision, task });
        return;
      }
      case 'hold':
        if (run.held !== message.value.reason) record({ type: 'hold', run: id, reason: message.value.reason });
        return;
      case 'resume':
        if (run.held !== undefined) record({ type: 'resume', run: id });
        return;
      case 'cancel':
        if (run.cancel === undefined || (message.value.force && !run.cancel.force)) {
          const { grace_ms: graceMs, force } = message.value;
          record({ type: 'cancel', run: id, graceMs, ...(force ? { force } : {}) });
          // Not when it is told again: what works by then has begun because of it.
          this.#ports.cancelled(run, { graceMs, force });
        }
        return;
      case 'forget':
        record({ type: 'forget', run: id, revision: run.revision });
        this.#ports.forgotten(run);
        return;
    }
  }

  async #push(push: Push): Promise<void> {
    const { state, commonOf } = this.#ports;
    const waiting = this.#waiting.get(push.run);
    if (waiting !== undefined && waiting.push.revision >= push.revision) return;
    const held = state.runs.get(push.run);
    const isOld = held !== undefined && held.revision > push.revision;
    const isHeld = held?.revision === push.revision && commonOf(push.run) !== undefined;
    if (isOld || isHeld || state.refused.has(`${push.run}/${push.revision}`)) return;
    if ((state.forgotten.get(push.run) ?? 0) >= push.revision) return this.#refuse(push, forgottenRun(push.run));
    this.#waiting.set(push.run, { push, after: [] });
    if (held !== undefined && held.revision < push.revision) this.#ports.replaced(held);
    await this.#takeOn(push);
  }

  /** Accepts or refuses a push that waits, then deals with what came after it; or leaves it to wait for what it needs. */
  async #takeOn(push: Push): Promise<void> {
    if (this.#ports.isAtWork(push.run)) return;
    try {
      checkRunId(push.run);
      const share = await this.#document(push.share_sha256, push.share);
      const common = await this.#document(push.common_sha256, push.common);
      if (share === undefined || common === undefined) return;
      await this.#accept(push, readShare(share), readCommon(common), common);
    } catch (thrown) {
      if (!(thrown instanceof KkError)) {
        this.#waiting.delete(push.run);
        throw thrown;
      }
      this.#refuse(push, thrown.report);
    }
    const run = this.#ports.state.runs.get(push.run);
    for (const message of this.#waiting.get(push.run)?.after ?? []) if (run !== undefined) this.#apply(run, message);
    this.#waiting.delete(push.run);
    this.#ports.changed();
  }

  async #accept(push: Push, share: Share, common: Common, bytes: Uint8Array): Promise<void> {
    const { state, record } = this.#ports;
    const why = refusal(share, common);
    if (why !== undefined) return this.#refuse(push, why);
    const { run: id, revision, common_sha256, lease_ms: leaseMs } = push;
    await this.#ports.blobs.write(common_sha256, bytes);
    // The same revision again (its document was lost): only the document was missing.
    if (state.runs.get(id)?.revision !== revision) {
      record({ type: 'push', run: id, revision, share, common: common_sha256, leaseMs });
      record({ type: 'accepted', run: id, revision });
    }
    const run = state.runs.get(id);
    if (run !== undefined) this.#ports.accepted(run, common);
  }

  #refuse({ run, revision }: Push, error: ErrorReport): void {
    this.#ports.logger.warn({ run, report: error }, 'a share was refused');
    this.#ports.record({ type: 'refused', run, revision, error });
  }

  /** The document's bytes: as they came, or cached; undefined: it was asked for. */
  async #document(digest: string, inline: Uint8Array): Promise<Uint8Array | undefined> {
    if (inline.length > 0) {
      if (digest === '' || sha256(inline) === digest) return inline;
      throw new KkError({
        code: 'BLOB_DIGEST',
        message: `A document of the controller has another content than its digest ${digest} says.`,
        remedy: 'Apply again; if it happens again, report it: this is a defect in kk.',
      });
    }
    const cached = await this.#ports.blobs.read(digest);
    if (cached === undefined && !this.#incoming.has(digest)) {
      this.#incoming.set(digest, { parts: [], size: 0 });
      this.#ports.wish({ kind: 'blob_wanted', value: { sha256: digest, offset: 0 } });
    }
    return cached;
  }

  /** Shares that wait for a document which will not come: waiting on would hold their run for ever. */
  #refuseFor(digest: string): void {
    for (const [run, { push }] of [...this.#waiting]) {
      if (push.share_sha256 !== digest && push.common_sha256 !== digest) continue;
      this.#waiting.delete(run);
      // Of a share that was accepted before only the document was lost: the next Push asks for it again.
      if (this.#ports.state.runs.get(run)?.revision === push.revision) continue;
      const message = `The controller did not hand out the document ${digest} that its own share needs.`;
      this.#refuse(push, { code: 'BLOB_MISSING', message, remedy: 'Apply again; see the log of kk-controller.' });
    }
  }

  async #blobPart(part: { sha256: string; offset: number; data: Uint8Array; total: number }): Promise<void> {
    const incoming = this.#incoming.get(part.sha256);
    if (incoming === undefined || part.offset !== incoming.size) return;
    if (part.total === 0 || part.total > DOCUMENT_LIMIT || part.data.length === 0) {
      this.#incoming.delete(part.sha256);
      this.#ports.logger.error(
        { sha256: part.sha256, total: part.total },
        'the controller does not hand out a document that its own share needs',
      );
      this.#refuseFor(part.sha256);
      return;
    }
    incoming.parts.push(Buffer.from(part.data));
    incoming.size += part.data.length;
    if (incoming.size < part.total) return;
    this.#incoming.delete(part.sha256);
    const bytes = Buffer.concat(incoming.parts);
    if (sha256(bytes) !== part.sha256) {
      this.#ports.logger.error({ sha256: part.sha256 }, 'a document came damaged; it is asked for again');
      this.#incoming.set(part.sha256, { parts: [], size: 0 });
      return this.#ports.wish({ kind: 'blob_wanted', value: { sha256: part.sha256, offset: 0 } });
    }
    await this.#ports.blobs.write(part.sha256, bytes);
    this.stepEnded();
  }
}

function forgottenRun(run: string): ErrorReport {
  return {
    code: 'RUN_FORGOTTEN',
    message: `This node has done its part of ${run} and was told to forget it; it does not do it a second time.`,
    remedy: 'The controller was probably restored from a backup of before: apply the plan again, as a new run.',
  };
}
