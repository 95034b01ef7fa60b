import type { X509Certificate } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import websocket from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import { validityOf } from '../../shared/certificates.ts';
import { crash } from '../../shared/crash.ts';
import { KkError, reportOf } from '../../shared/errors.ts';
import { decodeToController, encodeToAgent as encode, jsonBytes } from '../../shared/protocol/codec.ts';
import { FRAME_LIMIT, SUBPROTOCOL } from '../../shared/protocol/level.ts';
import { type Hello, isDurable, type ToAgentBodies, type ToController } from '../../shared/protocol/messages.ts';
import { judgePeer, type PeerVerdict } from '../pki/judge-peer.ts';
import { seenWith } from '../pki/ledger.ts';
import type { Fleet } from './fleet.ts';
import type { GatewayParts, Timer } from './ports.ts';
import { closeWith, Session } from './session.ts';
import { isShellAnswer } from './shells.ts';
import { commonLevel, welcomeFor } from './welcome.ts';

/** As many heartbeats missing and the agent is gone, whatever TCP believes: it judges us by the same number. */
const MISSED_HEARTBEATS = 3;
/** Troubles that pass: the agent comes back at once and finds out. After all others it waits a minute. */
const PASSING: ReadonlySet<string> = new Set(['SEQUENCE_GAP', 'DISK_FULL', 'STORE_FAILED', 'STATE_CONFLICT']);
/** Bytes of one BlobPart. */
const BLOB_PART = 256 * 1024;

/** Judges the certificate of a connection, new or resumed, as the first thing of every request that needs one. */
export function peerOf(
  parts: Pick<GatewayParts, 'authority' | 'ledger' | 'clock'>,
  request: FastifyRequest,
): PeerVerdict {
  const certificate = certificateOf(request);
  return judgePeer({ certificate, trust: parts.authority.trust(), now: parts.clock.nowMs(), ledger: parts.ledger });
}

function certificateOf(request: FastifyRequest): X509Certificate | undefined {
  const socket = request.raw.socket;
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
}

/** Fastify plugin: accepts the agents' sockets at GET /agent/link. */
export async function gateway(
  app: FastifyInstance,
  { parts, fleet }: { parts: GatewayParts; fleet: Fleet },
): Promise<void> {
  await app.register(websocket, {
    options: {
      maxPayload: FRAME_LIMIT,
      perMessageDeflate: false,
      handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    },
  });
  app.route({
    method: 'GET',
    url: '/agent/link',
    config: { access: 'link' },
    handler: (_request, reply) => reply.code(426).header('upgrade', 'websocket').send(linkOnly().report),
    wsHandler(socket, request) {
      const certificate = certificateOf(request);
      const ends = certificate ? validityOf(certificate).notAfter : 0;
      new Conversation(
        { socket, remote: request.ip, judge: () => peerOf(parts, request), certificateEndsMs: ends },
        parts,
        fleet,
      ).start();
    },
  });
}

type Admitted = Exclude<PeerVerdict, { kind: 'refused' }>;

/** One connection from its upgrade to its close. A misbehaving peer closes its connection, never the process. */
export class Conversation {
  private session: Session | undefined;
  private greeted = false;
  private helloTimer: Timer | undefined;
  /** Begins anew with each frame. */
  private silence: Timer | undefined;
  /** Messages are handled in order; Hello takes time, so later ones wait in this chain. */
  private chain: Promise<void> = Promise.resolve();
  private readonly socket: WebSocket;
  private readonly remote: string;
  /** As of now: a certificate can be revoked between the upgrade and Hello. */
  private readonly judge: () => PeerVerdict;
  private readonly certificateEndsMs: number;
  private readonly parts: GatewayParts;
  private readonly fleet: Fleet;

  constructor(
    link: { socket: WebSocket; remote: string; judge: () => PeerVerdict; certificateEndsMs: number },
    parts: GatewayParts,
    fleet: Fleet,
  ) {
    this.socket = link.socket;
    this.remote = link.remote;
    this.judge = link.judge;
    this.certificateEndsMs = link.certificateEndsMs;
    this.parts = parts;
    this.fleet = fleet;
  }

  start(): void {
    this.socket.on('error', () => this.socket.terminate());
    if (!this.admitted()) return;
    this.helloTimer = this.parts.timer(this.parts.helloMs, () => this.refuse(helloMissing()));
    this.socket.on('message', (data: Buffer, isBinary: boolean) => {
      this.silence?.refresh();
      this.chain = this.chain.then(() => this.onFrame(data, isBinary)).catch((thrown: unknown) => this.refuse(thrown));
    });
    this.socket.on('close', () => {
      this.helloTimer?.cancel();
      this.silence?.cancel();
      this.onClose();
    });
  }

  /** Who the peer is now; a refused one is told why and closed. */
  private admitted(): Admitted | undefined {
    const peer = this.judge();
    if (peer.kind !== 'refused') return peer;
    const { code, detail, remedy, name, serial } = peer;
    this.parts.audit('link refused', { code, message: detail, node: name, serial, from: this.remote });
    closeWith(this.socket, { code, message: detail, remedy }, true);
    return undefined;
  }

  private onSilence(node: string): void {
    this.parts.audit('link silent', { node, from: this.remote });
    this.socket.terminate();
  }

  private onClose(): void {
    if (!this.session) return;
    this.session.shells.cut();
    const current = this.fleet.get(this.session.node) === this.session;
    this.fleet.remove(this.session);
    if (current) this.parts.left(this.session.node);
  }

  private refuse(thrown: unknown): void {
    const report = reportOf(thrown);
    this.parts.audit('link closed', {
      code: report.code,
      message: report.message,
      node: this.session?.node,
      from: this.remote,
    });
    closeWith(this.socket, report, !PASSING.has(report.code));
  }

  private async onFrame(data: Buffer, isBinary: boolean): Promise<void> {
    if (this.socket.readyState !== this.socket.OPEN) return;
    if (!isBinary)
      throw new KkError({
        code: 'FRAME_MALFORMED',
        message: 'A text message came over the link.',
        remedy: 'Check what is connecting to this port.',
      });
    const message = decodeToController(data);
    if (!message) return;
    if (message.kind === 'hello') return this.onHello(message.value);
    if (!this.greeted) throw helloMissing();
    if (message.kind === 'renew_request') return this.onRenew(message.value.csr_pem);
    if (!this.session) throw helloMissing();
    this.onMessage(this.session, message);
  }

  private async onHello(hello: Hello): Promise<void> {
    const { parts } = this;
    if (this.greeted) throw helloRepeated();
    const peer = this.admitted();
    if (!peer) return;
    commonLevel(hello);
    this.greeted = true;
    this.helloTimer?.cancel();
    if (hello.purpose === 'PURPOSE_RENEW') {
      this.socket.send(encode({ kind: 'welcome', value: welcomeFor(parts, peer.name, hello) }));
      return;
    }
    if (peer.kind === 'renew-only') {
      throw new KkError({
        code: 'CERT_EXPIRED',
        message: `The certificate of ${peer.name} expired at ${new Date(peer.expiredAt).toISOString()}.`,
        remedy: 'The agent renews it by itself: run `kk-agent renew` on the node if it does not.',
      });
    }
    await this.noteSerial(peer.name, peer.serial);
    const older = this.fleet.get(peer.name);
    const { acked } = await parts.arrived(peer.name, hello, this.certificateEndsMs, older?.machine);
    crash.at('controller.hello.noted');
    if (this.socket.readyState !== this.socket.OPEN || !this.admitted()) return;
    this.session = new Session({
      node: peer.name,
      hello,
      serial: peer.serial,
      remote: this.remote,
      acked,
      socket: this.socket,
    });
    const welcome = welcomeFor(parts, peer.name, hello);
    this.session.sendFrame(encode({ kind: 'welcome', value: welcome }, acked));
    this.fleet.add(this.session);
    this.silence = parts.timer(MISSED_HEARTBEATS * welcome.heartbeat_ms, () => this.onSilence(peer.name));
    parts.connected(peer.name, hello);
  }

  /** A renewed certificate that shows up has worked: the one before is superseded now (ENGINE 4.3). */
  private async noteSerial(name: string, serial: string): Promise<void> {
    const known = this.parts.ledger.node(name);
    if (!known) return;
    const next = seenWith(known, serial);
    if (next !== known) await this.parts.ledger.replace(known, next);
  }

  private async onRenew(csrPem: string): Promise<void> {
    const peer = this.admitted();
    if (!peer) return;
    let value: ToAgentBodies['renewed'] = { certificate_pem: '', bundle_pem: '', error: new Uint8Array() };
    try {
      const renewal = await this.parts.renew(peer.name, csrPem);
      value = { ...value, certificate_pem: renewal.certificatePem, bundle_pem: renewal.bundlePem };
      this.parts.audit('certificate renewed', { node: peer.name, expired: peer.kind === 'renew-only' });
    } catch (thrown) {
      value = { ...value, error: jsonBytes(reportOf(thrown)) };
    }
    this.socket.send(encode({ kind: 'renewed', value }));
  }

  private onMessage(session: Session, message: ToController): void {
    const { parts } = this;
    if (isDurable(message)) {
      this.onDurable(session, message);
      return;
    }
    if (isShellAnswer(message)) {
      session.shells.take(message);
      return;
    }
    switch (message.kind) {
      case 'heartbeat':
        session.send({ kind: 'heartbeat_answer', value: { id: message.value.id } });
        this.fleet.answered(session.node);
        return;
      case 'installation':
        parts.installation(session.node, message.value);
        return;
      case 'permit_wanted':
        parts.permitWanted(session.node, message.value);
        return;
      case 'log_chunk':
        parts
          .log(session.node, message.value)
          // Live output is a courtesy, the result has it all: no room for it is no reason to end the work.
          .catch((thrown: unknown) => parts.audit('live output not kept', { node: session.node, why: String(thrown) }))
          .then(() => session.send({ kind: 'log_credit', value: { bytes: message.value.data.length } }));
        return;
      case 'blob_wanted':
        void this.fleet.transfers.take(() => this.sendBlob(session, message.value));
        return;
    }
  }

  /** In order and without a gap (kk.proto, ToController.after); a repeated one was stored before and is acknowledged again. */
  private onDurable(session: Session, message: ToController): void {
    const { sequence, after } = message;
    if (!isDurable(message)) return;
    if (sequence <= session.received) {
      session.ack(session.acked);
      return;
    }
    const before = after === 0 ? sequence - 1 : after;
    if (before > session.received && before !== sequence) {
      throw new KkError({
        code: 'SEQUENCE_GAP',
        message: `Message ${sequence} of ${session.node} came after ${before}, and ${session.received} is the last that came.`,
        remedy: 'The agent connects again by itself and sends what is missing.',
        node: session.node,
      });
    }
    session.received = sequence;
    this.parts.durable(session.node, session.journal, sequence, message, (error) => this.refuse(error));
  }

  /** Part after part as the peer takes them, and to a few peers at once: a whole fleet asks in the same second. */
  private async sendBlob(session: Session, { sha256, offset }: { sha256: string; offset: number }): Promise<void> {
    const blob = this.parts.blob(session.node, sha256);
    if (!blob || offset > blob.length) {
      session.send({ kind: 'blob_part', value: { sha256, offset, data: new Uint8Array(), total: 0 } });
      return;
    }
    for (let at = offset; at < blob.length; at += BLOB_PART) await session.flush(partOf(blob, sha256, at));
  }
}

/** Encoded parts of documents that whole fleets ask for, as long as their run holds them. */
const encodedParts = new WeakMap<Uint8Array, Map<number, Uint8Array>>();

/** The frame of a part, encoded once for all that ask (ENGINE 2.8). */
function partOf(blob: Uint8Array, sha256: string, offset: number): Uint8Array {
  const known = encodedParts.get(blob) ?? new Map<number, Uint8Array>();
  encodedParts.set(blob, known);
  const data = blob.subarray(offset, offset + BLOB_PART);
  const made = known.get(offset) ?? encode({ kind: 'blob_part', value: { sha256, offset, data, total: blob.length } });
  // Whoever goes on after a cut asks for an odd offset: nobody else will.
  if (offset % BLOB_PART === 0) known.set(offset, made);
  return made;
}

function linkOnly(): KkError {
  return new KkError({
    code: 'UPGRADE_REQUIRED',
    message: 'Only an agent that opens its link is answered here.',
    remedy: 'Look at the controller with the commands of kk-controller, on its own machine.',
  });
}

function helloRepeated(): KkError {
  return new KkError({
    code: 'HELLO_REPEATED',
    message: 'A second Hello came over the same connection.',
    remedy: 'Check what is connecting to this port.',
  });
}

function helloMissing(): KkError {
  return new KkError({
    code: 'HELLO_MISSING',
    message: 'The connection did not begin with Hello.',
    remedy: 'Check what is connecting to this port.',
  });
}
