import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import { systemClock } from '../../agent/clock.ts';
import type { Clock } from '../../agent/executor/ports.ts';
import { bootTimeMs } from '../../agent/host/clock.ts';
import { certificateOf, IdentityStore } from '../../agent/identity/identity-store.ts';
import { makeKeyAndCsr } from '../../agent/identity/keys.ts';
import { Link, type LinkState } from '../../agent/link/link.ts';
import { LiveLog } from '../../agent/link/live-log.ts';
import { Outbox } from '../../agent/link/outbox.ts';
import { dialWith } from '../../agent/link/transport.ts';
import type { Wish, Work, WorkMessage } from '../../agent/link/work.ts';
import { type Authority, openAuthority } from '../../controller/pki/authority.ts';
import { spiffeIdOf } from '../../shared/certificates.ts';
import { decodeToController, encodeToAgent } from '../../shared/protocol/codec.ts';
import { SUBPROTOCOL } from '../../shared/protocol/level.ts';
import type { DurableMessage, ForAgent, ToController, Welcome } from '../../shared/protocol/messages.ts';
import { FakeInstaller } from '../support/fake-installer.ts';

const DAY = 24 * 3_600_000;
const home = mkdtempSync(join(tmpdir(), 'kk-link-'));
t.teardown(() => rmSync(home, { recursive: true, force: true }));
const ours = await openAuthority(join(home, 'ours'), { clock: Date.now });
const theirs = await openAuthority(join(home, 'theirs'), { clock: Date.now, fleetId: ours.fleetId });

/** What an agent said, and a way to answer it. */
interface Visit {
  socket: WebSocket;
  frames: ToController[];
  /** Name in the certificate it showed. */
  node: string;
  send(message: ForAgent | { kind: 'none' }, ack?: number): void;
}

type Teardown = { teardown(fn: () => unknown): void };

type OnFrame = (visit: Visit, frame: ToController) => void;

/** A controller that answers as the test says. */
async function controller(t: Teardown, authority: Authority, onFrame: OnFrame) {
  const tls = createServer({
    ...authority.controllerTls(),
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
  });
  const sockets = new WebSocketServer({
    server: tls,
    path: '/agent/link',
    handleProtocols: (set) => (set.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  const visits: Visit[] = [];
  sockets.on('connection', (socket, request) => {
    const certificate = (request.socket as TLSSocket).getPeerX509Certificate();
    const id = certificate && spiffeIdOf(certificate);
    const visit: Visit = {
      socket,
      frames: [],
      node: id?.kind === 'node' ? id.name : '',
      send: (message, ack) => socket.send(encodeToAgent(message, ack)),
    };
    visits.push(visit);
    socket.on('error', () => {});
    socket.on('message', (data: Buffer) => {
      const frame = decodeToController(data);
      if (frame === undefined) return;
      visit.frames.push(frame);
      onFrame(visit, frame);
    });
  });
  await once(tls.listen(0, '127.0.0.1'), 'listening');
  const endpoint = `https://127.0.0.1:${(tls.address() as AddressInfo).port}`;
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate();
    tls.closeAllConnections();
    tls.close();
  });
  return { endpoint, visits };
}

function welcome(endpoints: string[], more: Partial<Welcome> = {}): ForAgent {
  return {
    kind: 'welcome',
    value: {
      level: 1,
      generation: { value: 3, mac: new Uint8Array([9]) },
      heartbeat_ms: 60_000,
      lease_ms: 1234,
      reconnect_cap_ms: 20,
      log_credit: 10,
      frame_limit: 1 << 20,
      bundle_pem: ours.bundlePem(),
      bundle_version: 1,
      endpoints,
      now_ms: Date.now(),
      fleet_id: ours.fleetId,
      name: 'n1',
      ...more,
    },
  };
}

const accepted = (run: string): DurableMessage => ({ kind: 'accepted', value: { run, revision: 1 } });

class FakeWork implements Work {
  out: { sequence: number; message: DurableMessage }[] = [];
  handled: WorkMessage[] = [];
  contacts: number[] = [];
  generation = 0;
  grow: () => void = () => {};
  wish: (wish: Wish) => void = () => {};

  held() {
    const generation = { value: this.generation, mac: new Uint8Array() };
    return {
      journalId: 'j1',
      lastSequence: this.out.at(-1)?.sequence ?? 0,
      generation,
      runs: [],
      blobs: ['b'],
      lives: [],
    };
  }
  running() {
    return 2;
  }
  handle(message: WorkMessage) {
    this.handled.push(message);
  }
  async outgoing(after: number) {
    return this.out.filter((one) => one.sequence > after);
  }
  acknowledge(sequence: number) {
    this.out = this.out.filter((one) => one.sequence > sequence);
  }
  welcomed(generation: { value: number }) {
    this.generation = generation.value;
  }
  contact(_atMs: number, leaseMs: number) {
    this.contacts.push(leaseMs);
  }
  onOutgoing(listener: () => void) {
    this.grow = listener;
  }
  onWish(listener: (wish: Wish) => void) {
    this.wish = listener;
  }
  add(...runs: string[]) {
    for (const run of runs) this.out.push({ sequence: (this.out.at(-1)?.sequence ?? 0) + 1, message: accepted(run) });
    this.grow();
  }
}

let agents = 0;

/** An agent's link with an identity of `issuer`, certified `age` ago. */
async function agent(t: Teardown, endpoints: string[], more: { age?: number } = {}) {
  agents += 1;
  const store = new IdentityStore(join(home, `agent-${agents}`));
  const { keyPem, csrPem } = await makeKeyAndCsr('n1');
  const { certificatePem } = await ours.signNode({ csrPem, name: 'n1', now: Date.now() - (more.age ?? 0) });
  const bundle = { bundlePem: ours.bundlePem(), bundleVersion: 1 };
  await store.save({ name: 'n1', fleetId: ours.fleetId, keyPem, certificatePem, ...bundle, endpoints });
  const work = new FakeWork();
  const states: LinkState[] = [];
  const waits: number[] = [];
  const real = systemClock({ bootTimeMs, nowMs: Date.now });
  // Long waits are only noted: a test does not sit them out.
  const clock: Clock = {
    ...real,
    after: (ms, then) => {
      waits.push(ms);
      return real.after(ms, then);
    },
  };
  const log = new LiveLog();
  const link = new Link({
    store,
    dial: dialWith(Date.now),
    self: { version: '0.1.0', machineId: 'm1', bootId: 'boot', arch: 'x64' },
    work,
    installer: new FakeInstaller(),
    log,
    shells: { connected: () => {}, disconnected: () => {}, handle: () => {} },
    clock,
    random: () => 0.002,
    logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    onState: (state) => states.push(state),
  });
  const ended = link.run();
  t.teardown(async () => {
    link.stop();
    await ended;
  });
  return { store, work, states, waits, link, log };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

t.test('Hello, Welcome, durable messages in order; after a cut only what is not acknowledged goes again', async (t) => {
  const sent: number[][] = [];
  const server = await controller(t, ours, (visit, frame) => {
    if (frame.kind === 'hello') {
      sent.push([]);
      visit.send(welcome([server.endpoint]), sent.length === 1 ? 0 : 2);
    }
    if (frame.sequence > 0) sent.at(-1)?.push(frame.sequence);
    if (frame.kind === 'heartbeat') visit.send({ kind: 'heartbeat_answer', value: { id: frame.value.id } });
  });
  const { work, log } = await agent(t, [server.endpoint]);
  work.add('a', 'b');
  await until(() => work.contacts.length === 1);
  work.add('c');
  await until(() => sent[0]?.length === 3);
  const [first] = server.visits;
  t.equal(first?.node, 'n1', 'it shows its certificate');
  t.match(first?.frames[0], {
    kind: 'hello',
    value: {
      level: 1,
      machine_id: 'm1',
      boot_id: 'boot',
      journal_id: 'j1',
      purpose: 'PURPOSE_WORK',
      arch: 'x64',
      blobs: ['b'],
    },
  });
  t.same(work.contacts, [1234], 'the answered heartbeat renews the lease of Welcome');
  t.equal(work.generation, 3);
  first?.send({ kind: 'hold', value: { run: 'a', reason: 'wait' } }, 1);
  await until(() => work.handled.length === 1);
  t.equal(work.out[0]?.sequence, 2, 'acknowledged up to 1');

  const chunk = { run: 'a', task: 0, item: 0, stream: 'STREAM_STDOUT' as const, offset: 0, at_ms: 1, attempt: 1 };
  log.add({ ...chunk, data: Buffer.from('12345678') });
  log.add({ ...chunk, data: Buffer.from('9 too much'), offset: 8 });
  work.wish({ kind: 'permit_wanted', value: { run: 'a', revision: 1, task: 4 } });
  await until(() => first?.frames.at(-1)?.kind === 'permit_wanted');
  t.equal(first?.frames.filter((frame) => frame.kind === 'log_chunk').length, 1, 'live output only within its credit');
  t.equal(log.dropped, 10);

  first?.socket.terminate();
  await until(() => sent.length === 2 && sent[1]?.length === 1);
  t.same(sent, [[1, 2, 3], [3]]);
});

t.test(
  'a controller that was set back is told everything that is left, each message with the one before',
  async (t) => {
    const left = [3, 4, 9, 10].map((sequence) => ({ sequence, message: accepted(`r${sequence}`) }));
    const work = {
      outgoing: async (after: number) => left.filter(({ sequence }) => sequence > after).slice(0, 2),
      acknowledge: () => {},
    };
    const toldTo = async (acked: number): Promise<number[][]> => {
      const told: number[][] = [];
      const outbox = new Outbox(work, acked, (frame) => {
        const { sequence, after } = decodeToController(frame) as ToController;
        told.push([sequence, after]);
      });
      outbox.pump();
      await until(() => told.at(-1)?.[0] === 10);
      return told;
    };
    t.same(
      await toldTo(3),
      [
        [4, 0],
        [9, 4],
        [10, 0],
      ],
      'as ever, but for what was forgotten in between',
    );
    t.same(
      await toldTo(1),
      [
        [3, 1],
        [4, 0],
        [9, 4],
        [10, 0],
      ],
      'acknowledged by an earlier Welcome',
    );
    t.same(
      await toldTo(0),
      [
        [3, 3],
        [4, 0],
        [9, 4],
        [10, 0],
      ],
      'there is none before the first',
    );
  },
);

t.test('garbage closes the connection with 1008, and the agent comes back', async (t) => {
  const codes: number[] = [];
  const server = await controller(t, ours, (visit, frame) => {
    if (frame.kind !== 'hello') return;
    visit.socket.on('close', (code) => codes.push(code));
    if (codes.length === 0) visit.socket.send(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    else if (codes.length === 1) visit.socket.send('text');
    else if (codes.length === 2) visit.send({ kind: 'forget', value: { run: 'x' } });
    else visit.send(welcome([server.endpoint]));
  });
  const { states, work } = await agent(t, [server.endpoint]);
  await until(() => states.some((state) => state.state === 'connected'));
  t.same(codes, [1008, 1008, 1008]);
  t.same(work.handled, [], 'nothing before Welcome has an effect');
  const codesTold = states.flatMap((state) => (state.state === 'away' ? [state.trouble.code] : []));
  t.match(codesTold[0], 'FRAME_MALFORMED');
  t.match(codesTold[2], 'WELCOME_MISSING');
});

t.test('a foreign controller hears nothing; the next endpoint is tried, and what Welcome names is kept', async (t) => {
  const foreign = await controller(t, theirs, () => {});
  const named: string[] = [];
  const server = await controller(t, ours, (visit, frame) => {
    if (frame.kind === 'hello') visit.send(welcome(named));
  });
  named.push(server.endpoint, 'https://127.0.0.1:1');
  const { states, store } = await agent(t, [foreign.endpoint, server.endpoint]);
  await until(() => states.some((state) => state.state === 'connected'));
  t.equal(foreign.visits.length, 0, 'not even an upgrade');
  let kept: readonly string[] = [];
  while (kept.length !== 2 || kept.includes(foreign.endpoint)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    kept = (await store.load())?.endpoints ?? [];
  }
  t.same(kept, named);

  const alone = await agent(t, [foreign.endpoint]);
  await until(() => alone.states.length > 0);
  t.match(alone.states[0], { state: 'away', trouble: { code: 'CONTROLLER_FOREIGN', remedy: /.+/ } });
});

t.test('nobody there, a port that hangs up, a final Closing: told with code and remedy, and waited for', async (t) => {
  const rude = createTcp((socket) => socket.destroy());
  await once(rude.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => rude.close());
  const { states } = await agent(t, [`https://127.0.0.1:${(rude.address() as AddressInfo).port}`]);
  await until(() => states.length > 0);
  t.match(states[0], { trouble: { code: 'CONTROLLER_UNREACHABLE', remedy: /firewall/ } });

  const why = { code: 'CERT_REVOKED', message: 'n1 was revoked', remedy: 'join again' };
  const server = await controller(t, ours, () => {});
  const strict = await agent(t, [server.endpoint]);
  await until(() => server.visits.length === 1);
  server.visits[0]?.send({ kind: 'closing', value: { ...why, final: true } });
  server.visits[0]?.socket.close(1008);
  await until(() => strict.states.length > 0);
  t.match(strict.states[0], { state: 'away', trouble: why });
  await until(() => Math.max(...strict.waits) >= 60_000);
  t.pass('comes back after a minute at the earliest');
});

t.test('at half life a new key is certified, tried, and only then kept', async (t) => {
  const purposes: string[] = [];
  let answers = 0;
  const server = await controller(t, ours, (visit, frame) => {
    if (frame.kind === 'hello') {
      purposes.push(frame.value.purpose);
      visit.send(welcome([server.endpoint]));
    }
    if (frame.kind !== 'renew_request') return;
    answers += 1;
    void ours.signNode({ csrPem: frame.value.csr_pem, name: 'n1', now: Date.now() }).then(({ certificatePem }) => {
      visit.send({
        kind: 'renewed',
        value: { certificate_pem: certificatePem, bundle_pem: '', error: new Uint8Array() },
      });
    });
  });
  const { store, states } = await agent(t, [server.endpoint], { age: 4 * DAY });
  await until(() => states.some((state) => state.state === 'connected'));
  t.same(purposes, ['PURPOSE_RENEW', 'PURPOSE_RENEW', 'PURPOSE_WORK'], 'asked for, tried, used');
  t.equal(answers, 1);
  const identity = await store.load();
  t.ok(identity && certificateOf(identity).validFromDate.getTime() > Date.now() - DAY);
  t.equal(await store.candidate(), undefined);
});
