import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import t from 'tap';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import { makeKeyAndCsr } from '../../agent/identity/keys.ts';
import { helloOf } from '../../agent/link/hello.ts';
import { socketPath } from '../../controller/config/settings.ts';
import { type Authority, openAuthority } from '../../controller/pki/authority.ts';
import { KkError } from '../../shared/errors.ts';
import { decodeToController, encodeToController, jsonBytes } from '../../shared/protocol/codec.ts';
import { FRAME_LIMIT } from '../../shared/protocol/level.ts';
import type { FromAgent } from '../../shared/protocol/messages.ts';
import { standInAgent } from '../support/agent-stand-in.ts';
import { type Credentials, drained, knocker, openLink, openSocket, say } from '../support/knock.ts';
import { type Line, planOf, startLine } from '../support/line.ts';

const DAY = 24 * 3_600_000;
const SHA = 'f'.repeat(64);

/** Every route of every Fastify of this process, whoever adds it: told by Fastify itself. */
const apps: { tcp: boolean; routes: { method: string; url: string }[] }[] = [];
diagnostics.subscribe('fastify.initialization', (message) => {
  const { fastify } = message as { fastify: FastifyInstance };
  const routes: { method: string; url: string }[] = [];
  apps.push({ tcp: fastify.initialConfig.https !== undefined, routes });
  fastify.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) routes.push({ method: one, url });
  });
});

async function issue(authority: Authority, name: string, now: number): Promise<Required<Credentials>> {
  const { keyPem, csrPem } = await makeKeyAndCsr(name);
  return { key: keyPem, cert: (await authority.signNode({ csrPem, name, now })).certificatePem };
}

async function identityOf(line: Line, name: string): Promise<Required<Credentials>> {
  const identity = await new IdentityStore(join(line.folder, name, 'identity')).load();
  return { key: identity?.keyPem ?? '', cert: identity?.certificatePem ?? '' };
}

const hello = (journal = 'j', purpose?: 'PURPOSE_RENEW'): FromAgent => {
  const self = { version: 'test', machineId: 'm', bootId: 'b', arch: 'x64' };
  const held = {
    journalId: journal,
    lastSequence: 100,
    runs: [],
    blobs: [],
    lives: [],
    generation: { value: 0, mac: Buffer.of() },
  };
  return { kind: 'hello', value: helloOf(self, Date.now(), purpose ? undefined : held) };
};

const upgradeOf = (path: string): string =>
  [
    `GET ${path} HTTP/1.1`,
    'host: x',
    'connection: upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
    '\r\n',
  ].join('\r\n');

/** Small, seeded, good enough to make garbage (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

t.test('the port of the agents', async (t) => {
  const agents = t.testdir();
  const { manifest, gzPath } = standInAgent(agents);
  await mkdir(join(agents, 'linux-x64'));
  await writeFile(join(agents, 'linux-x64/manifest.json'), JSON.stringify(manifest));
  await copyFile(gzPath, join(agents, 'linux-x64/kk-agent.gz'));
  const line = await startLine({ agentFolder: agents, patience: { helloMs: 400, requestMs: 1_000 } }, -8 * DAY);
  t.teardown(() => line.close());
  const port = Number(new URL(line.endpoint).port);
  const ours = await openAuthority(join(line.folder, 'controller/pki'), { clock: Date.now });
  const { fleetId } = ours;
  const theirs = await openAuthority(join(line.folder, 'theirs'), { clock: () => Date.now() - 60 * DAY, fleetId });
  const now = Date.now();

  await line.join('late');
  line.clock.offsetMs = 0;
  // n1 is a healthy agent that must not notice any of this; `valid` is a node of which only the test knows the key.
  await line.agent('n1');
  for (const name of ['valid', 'revoked', 'renewed']) await line.join(name);
  await line.client.revoke('revoked');
  const superseded = await identityOf(line, 'renewed');
  await line.join('renewed', { replace: true });
  const valid = await identityOf(line, 'valid');
  const stolenName: Required<Credentials> = await issue(ours, 'n1', now);
  const peers: Record<string, { who: Credentials; code: string }> = {
    'no certificate': { who: {}, code: 'CERT_MISSING' },
    'a foreign CA': { who: await issue(theirs, 'n1', now), code: 'CERT_FOREIGN_CA' },
    expired: { who: await issue(ours, 'valid', now - 30 * DAY), code: 'CERT_EXPIRED' },
    'expired and foreign': { who: await issue(theirs, 'valid', now - 30 * DAY), code: 'CERT_FOREIGN_CA' },
    revoked: { who: await identityOf(line, 'revoked'), code: 'CERT_REVOKED' },
    "another node's name": { who: stolenName, code: 'CERT_SUPERSEDED' },
    'a name that nobody has': { who: await issue(ours, 'nobody', now), code: 'CERT_UNKNOWN_NODE' },
    'a superseded serial': { who: superseded, code: 'CERT_SUPERSEDED' },
    'the controller itself': { who: ours.controllerTls(), code: 'CERT_WRONG_NAME' },
    'expired while away': { who: await identityOf(line, 'late'), code: 'NOT_ALLOWED' },
    'a node': { who: valid, code: 'NOT_ALLOWED' },
  };

  const tcp = apps.filter((app) => app.tcp).flatMap((app) => app.routes);
  const unix = apps.filter((app) => !app.tcp).flatMap((app) => app.routes);
  const filled = (url: string): string => url.replace(/:sha256\(.*\)/, SHA).replace(/:\w+|\*/g, 'x');
  const open = new Set(['GET /join.sh', `GET /agent/${SHA}`, 'POST /enrol']);
  const link = 'GET /agent/link';
  /** What a node may ask for, if its shares name it. */
  const own = new Map([
    [`GET /blob/${SHA}`, 'BLOB_NOT_NAMED'],
    ['PUT /fetched', 'REQUEST_INVALID'],
    ['GET /secret/x/x', 'SECRET_NOT_NAMED'],
  ]);

  await t.test('the route tables are what ENGINE 4.9 names', async (t) => {
    t.same(new Set(tcp.map(({ method, url }) => `${method} ${filled(url)}`)), new Set([...open, link, ...own.keys()]));
    t.ok(unix.length > 10, 'the operator API was seen, too');
  });

  const odd = [
    ...['/', '/x', '/agent', '/agent/', '/agent/link/', '//agent/link', '/agent//link', '/agent/../agent/link'],
    ...[
      '/agent/%6Cink',
      '/agent%2Flink',
      '/AGENT/LINK',
      '/agent/link%00',
      '/agent/link;x',
      '/%zz',
      '/agent/%',
      '/enrol/',
    ],
    ...[
      '/join.sh/',
      '//join.sh',
      '/./join.sh',
      '/agent/link?x=/join.sh',
      '/v1',
      '*',
      `/${'a'.repeat(500)}`,
      '/__proto__',
    ],
  ];
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'];
  const wishes = [
    ...tcp.flatMap(({ url }) => methods.map((method) => [method, filled(url)] as const)),
    ...unix.map(({ method, url }) => [method, filled(url)] as const),
    ...odd.map((path) => ['GET', path] as const),
    ['POST', '/agent/link'] as const,
  ];
  for (const [what, { who, code }] of Object.entries(peers)) {
    await t.test(`for ${what}`, async (t) => {
      const door = knocker(port, who);
      t.teardown(() => door.close());
      for (const [method, path] of wishes) {
        const wish = `${method} ${path}`;
        if (open.has(wish)) continue;
        const { status, body, ...answer } = await door.ask(method, path);
        if (method === 'HEAD') {
          t.equal(status, 403, wish);
          continue;
        }
        // Who shows a certificate learns from the link itself what is wrong with it; a plain request never gets that far.
        const isLink = code !== 'CERT_MISSING' && status === 426;
        const mine = what === 'a node' ? own.get(wish) : undefined;
        const refused = { status: mine === 'REQUEST_INVALID' ? 400 : 403, code: mine ?? code };
        const expected = isLink ? { status: 426, code: 'UPGRADE_REQUIRED' } : refused;
        if (isLink) t.match(path, /^\/agent\/(link|%6Cink)(\?|$)/);
        t.match({ status, code: answer.code }, expected, `${wish} ${body}`);
        t.match(JSON.parse(body), { message: /\S/, remedy: String }, wish);
      }
      t.equal((await door.ask('GET', '/join.sh')).status, 200);
      t.match(await door.ask('GET', `/agent/${SHA}`), { status: 404, code: 'AGENT_UNKNOWN' });
      t.equal((await door.ask('GET', `/agent/${manifest.gz.sha256}`)).status, 200);
      const json = { 'content-type': 'application/json' };
      t.match(await door.ask('POST', '/enrol', '{}', json), { status: 400, code: 'REQUEST_INVALID' });
      t.match(await door.ask('POST', '/enrol', '{', json), { status: 400, code: 'REQUEST_INVALID' });
      t.match(await door.ask('POST', '/enrol', '{}'), { status: 415, code: 'REQUEST_INVALID' });

      for (const path of ['/', '/v1/status', '/agent/link/', '/join.sh', '//agent/link']) {
        const answer = await say(port, who, upgradeOf(path));
        t.match(answer, { status: 403, code, protocol: 'TLSv1.3' }, `upgrade of ${path}, closed after the answer`);
      }
      if (code === 'CERT_MISSING') await t.rejects(openLink(port, who), { message: 'status 403' });
      else if (code !== 'NOT_ALLOWED') {
        const refused = await openLink(port, who);
        // Neither does it matter what a refused peer says: not a frame, and not garbage.
        refused.web.send(encodeToController(hello()));
        t.equal(await refused.closed, code);
        t.same(
          refused.frames.map(({ kind }) => kind),
          ['closing'],
        );
      }
    });
  }

  await t.test('the operator API is a socket of its owner', async (t) => {
    t.equal((await stat(socketPath(join(line.folder, 'controller')))).mode & 0o777, 0o600);
    t.equal((await stat(join(line.folder, 'controller'))).mode & 0o777, 0o700);
  });

  await t.test('TLS 1.2 is refused', async (t) => {
    await t.rejects(openSocket(port, { maxVersion: 'TLSv1.2' }), { code: /PROTOCOL_VERSION/ });
  });

  await t.test('requests are bounded in size and time', async (t) => {
    const head = 'POST /enrol HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
    const [large, long, chunked, slow, silent, half] = await Promise.all([
      say(port, {}, `${head}x: ${'y'.repeat(100_000)}\r\n\r\n`),
      say(port, {}, `${head}connection: close\r\ncontent-length: 9000000\r\n\r\n${' '.repeat(20_000)}`),
      say(port, {}, `${head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n4000\r\n${' '.repeat(0x4000)}\r\n`),
      say(port, {}, `${head}content-length: 100\r\n\r\n{"token":`),
      say(port, {}, ''),
      say(port, {}, 'GET /join.sh HTT'),
    ]);
    t.equal(large.status, 431);
    t.match(long, { status: 413, code: 'REQUEST_INVALID' });
    t.match(chunked, { status: 413, code: 'REQUEST_INVALID' });
    t.equal(slow.status, 408, 'a body that does not come');
    t.equal(half.status, 408, 'headers that do not come');
    t.equal(silent.status, 408, 'a connection that says nothing');
    const garbage = await say(port, {}, '\x16\x03\x01 nothing of this is HTTP\r\n\r\n');
    t.equal(garbage.status, 400);
  });

  await t.test('a link that does not keep to the protocol is closed, with the reason', async (t) => {
    const after = async (...frames: (FromAgent | string | Buffer)[]): Promise<string> => {
      const { web, closed } = await openLink(port, valid);
      for (const frame of frames) {
        web.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : encodeToController(frame));
      }
      return closed;
    };
    const ended = (task: number, sequence: number, before = 0): Buffer =>
      Buffer.from(encodeToController({ kind: 'accepted', value: { run: `r${task}`, revision: 1 } }, sequence, before));
    const csr = (await makeKeyAndCsr('valid')).csrPem;
    const heartbeat: FromAgent = { kind: 'heartbeat', value: { id: 1, running: 0 } };
    t.equal(await after('text'), 'FRAME_MALFORMED', 'a text frame');
    t.equal(await after(Buffer.from('\xff\xff\xff')), 'FRAME_MALFORMED');
    t.equal(await after(), 'HELLO_MISSING', 'no Hello in time');
    t.equal(await after(Buffer.from([0xfa, 0x3e, 0x00])), 'HELLO_MISSING', 'an unknown message is no Hello');
    t.equal(await after(heartbeat), 'HELLO_MISSING');
    t.equal(await after(ended(1, 101)), 'HELLO_MISSING');
    t.equal(await after({ kind: 'renew_request', value: { csr_pem: csr } }), 'HELLO_MISSING', 'nor a new certificate');
    t.equal(await after(hello(), hello()), 'HELLO_REPEATED');
    t.equal(await after(hello('j', 'PURPOSE_RENEW'), hello()), 'HELLO_REPEATED', 'a renewal does not become work');
    t.equal(await after(hello('j', 'PURPOSE_RENEW'), heartbeat), 'HELLO_MISSING');
    t.equal(await after(hello('gap'), ended(1, 1), ended(2, 3)), 'SEQUENCE_GAP');
    t.equal(await after(hello('lost'), ended(1, 1), ended(2, 7, 4)), 'SEQUENCE_GAP', 'what came before did not come');
    const anew = [ended(1, 4, 4), ended(2, 7, 4), ended(1, 4, 4), ended(3, 8)];
    t.equal(
      await after(hello('skip'), ...anew, hello()),
      'HELLO_REPEATED',
      'numbers are skipped where the agent says so',
    );
    t.equal(await after({ ...hello(), value: { ...hello().value, level: 0 } } as FromAgent), 'PROTOCOL_LEVEL');
    t.equal(await after(Buffer.alloc(FRAME_LIMIT + 1)), '1009', 'a frame over the limit');
    const bytes = await openSocket(port, { ...valid, ALPNProtocols: ['http/1.1'] });
    bytes.write(upgradeOf('/agent/link'));
    await once(bytes, 'data');
    bytes.write('this is no WebSocket frame');
    await drained(bytes);
  });

  await t.test('revocation is seen by a link that was open before, and by a resumed TLS session', async (t) => {
    await line.join('quick');
    const quick = await identityOf(line, 'quick');
    const first = await openSocket(port, { ...quick, ALPNProtocols: ['http/1.1'] });
    const [session] = (await once(first, 'session')) as [Buffer];
    first.destroy();
    const before = await openLink(port, { ...quick, session });
    t.equal(before.resumed, true);
    const waiting = await openLink(port, quick);
    const renewing = await openLink(port, quick);
    renewing.web.send(encodeToController(hello('j', 'PURPOSE_RENEW')));
    await renewing.got('welcome');
    before.web.send(encodeToController(hello()));
    await before.got('welcome');
    await line.client.revoke('quick');
    t.equal(await before.closed, 'CERT_REVOKED', 'a session at work is closed at once');
    waiting.web.send(encodeToController(hello()));
    t.equal(await waiting.closed, 'CERT_REVOKED', 'Hello after the revocation');
    renewing.web.send(encodeToController({ kind: 'renew_request', value: { csr_pem: '' } }));
    t.equal(await renewing.closed, 'CERT_REVOKED', 'nor a renewal');
    const again = await openLink(port, { ...quick, session });
    t.equal(await again.closed, 'CERT_REVOKED');
  });

  await t.test('thousands of broken messages end their own connections and nothing else', async (t) => {
    const random = seeded(20_260);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const junk = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256)));
    const result = jsonBytes({ output: 1 });
    const honest: FromAgent[] = [
      hello('fuzz'),
      { kind: 'accepted', value: { run: 'r', revision: 1 } },
      { kind: 'refused', value: { run: 'r', revision: 1, error: result } },
      { kind: 'begun', value: { run: 'r', task: 0, attempt: 1, items: 0, at_ms: 1 } },
      { kind: 'facts', value: { run: 'r', version: 1, facts: result } },
      { kind: 'permit_wanted', value: { run: 'r', task: 9, names: ['x'] } },
      { kind: 'blob_wanted', value: { run: 'r', sha256: SHA, offset: 3 } },
      { kind: 'renew_request', value: { csr_pem: 'x' } },
      { kind: 'heartbeat', value: { id: 2 ** 40, running: 1 } },
    ] as FromAgent[];
    const mutant = (): Buffer => {
      const bytes = Buffer.from(encodeToController(pick(honest), Math.floor(random() * 5)));
      for (let flips = Math.floor(random() * 4); flips > 0; flips--) {
        if (bytes.length > 0) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      }
      return random() < 0.2 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
    };
    for (let i = 0; i < 3_000; i++) {
      const frame = i % 2 === 0 ? junk(Math.floor(random() * 64)) : mutant();
      try {
        decodeToController(frame);
      } catch (thrown) {
        if (!(thrown instanceof KkError)) t.fail(`${frame.toString('hex')}: ${String(thrown)}`);
      }
    }
    const ends = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const { web, closed, got } = await openLink(port, valid);
      const greeted = i % 3 > 0;
      if (greeted) web.send(encodeToController(hello(`fuzz ${i}`)));
      if (greeted) await got('welcome').catch(() => {});
      for (let frames = 0; frames < 30; frames++) web.send(random() < 0.3 ? junk(Math.floor(random() * 40)) : mutant());
      web.close();
      ends.add(await closed);
    }
    t.ok(ends.has('FRAME_MALFORMED'), [...ends].join());
    t.notOk(ends.has('INTERNAL'), [...ends].join());
    const left = line.said.filter(({ who, message }) => who === '' && message === 'agent disconnected');
    t.notOk(
      left.some(({ details }) => details['node'] === 'n1'),
      'the other agent has noticed nothing',
    );
    const tasks = 'tasks: [{name: say, debug: well}]';
    const { view } = await line.apply(planOf(['n1'], `        - {name: after, hosts: all, ${tasks}}\n`));
    t.equal(view.status, 'done');
  });
});
