import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { JoinInput } from '../../agent/identity/enrol.ts';
import { enrol } from '../../agent/identity/enrol.ts';
import { certificateOf, IdentityStore } from '../../agent/identity/identity-store.ts';
import { joinPatiently } from '../../agent/identity/join-patiently.ts';
import { makeKeyAndCsr } from '../../agent/identity/keys.ts';
import { colorsFor } from '../../controller/cli/output/colors.ts';
import { nodeRows } from '../../controller/cli/output/nodes-text.ts';
import type { Authority } from '../../controller/pki/authority.ts';
import { openAuthority } from '../../controller/pki/authority.ts';
import type { Enrolment } from '../../controller/pki/enrol.ts';
import { enrolNode } from '../../controller/pki/enrol.ts';
import { judgePeer } from '../../controller/pki/judge-peer.ts';
import { revoked } from '../../controller/pki/ledger.ts';
import { renewNode } from '../../controller/pki/renew.ts';
import type { TokenWish } from '../../controller/pki/tokens.ts';
import { judgeToken, mintToken } from '../../controller/pki/tokens.ts';
import { nodeView } from '../../controller/views/node-view.ts';
import { isNodeName, keyFingerprint, parseSpiffeUri, parseToken } from '../../shared/identity.ts';
import { MemoryLedger, MemoryPendings } from '../support/memory-ledger.ts';

const HOUR = 60 * 60 * 1000;
const START = Date.UTC(2030, 0, 1);
const FACTS = { machineId: 'm1', bootId: 'b1' };

const mint = (wish: Partial<TokenWish> = {}) =>
  mintToken({ now: START, ttlSeconds: 3600, uses: 1, caHash: 'ab'.repeat(32), random: randomBytes, ...wish });

t.test('names and ids as text', async (t) => {
  for (const good of ['a', 'node1', 'node-1.rack2', '10.0.0.1', 'x'.repeat(63)]) t.ok(isNodeName(good), good);
  for (const bad of ['', 'A', 'a_b', 'a.', '.a', 'a-', 'a/b', 'a\n', 'x'.repeat(64)]) t.notOk(isNodeName(bad), bad);
  const fleet = '11111111-2222-3333-4444-555555555555';
  t.same(parseSpiffeUri(`spiffe://${fleet}/node/n1`), { kind: 'node', fleetId: fleet, name: 'n1' });
  t.same(parseSpiffeUri(`spiffe://${fleet}/controller`), { kind: 'controller', fleetId: fleet });
  for (const bad of [
    '/node/',
    '/node/a/b',
    '/controller/x',
    '',
    '/node/A',
    `/controller, URI:spiffe://${fleet}/node/a`,
  ]) {
    t.equal(parseSpiffeUri(`spiffe://${fleet}${bad}`), undefined, bad);
  }
});

t.test('tokens', async (t) => {
  const { text, record } = mint({ name: 'n1', groups: ['worker'] });
  const parts = parseToken(` ${text}\n`);
  if (!parts) return t.fail('unreadable');
  t.notOk(JSON.stringify(record).includes(parts.secret), 'the secret is not on record');
  const codeFor = (given: Parameters<typeof judgeToken>[0], secret: string, now: number, name = 'n1') => {
    const verdict = judgeToken(given, secret, { now, name, address: '10.0.0.7' });
    return verdict.ok ? 'ok' : verdict.report.code;
  };
  t.equal(codeFor(record, parts.secret, START + HOUR - 1), 'ok');
  t.equal(codeFor(record, parts.secret, START + HOUR), 'TOKEN_EXPIRED');
  t.equal(codeFor(record, `${parts.secret.slice(1)}A`, START + HOUR), 'TOKEN_UNKNOWN', 'a guess learns nothing else');
  t.equal(codeFor(undefined, parts.secret, START), 'TOKEN_UNKNOWN');
  t.equal(codeFor({ ...record, usesLeft: 0 }, parts.secret, START), 'TOKEN_USED');
  t.equal(codeFor(record, parts.secret, START, 'n2'), 'TOKEN_NAME_MISMATCH');
  for (const bad of ['', 'kk1.x.y.z', text.slice(0, -1), text.replace('kk1', 'kk2')])
    t.equal(parseToken(bad), undefined);
  for (const wish of [
    { uses: 0 },
    { uses: 1.5 },
    { ttlSeconds: 0 },
    { name: 'a', uses: 2 },
    { name: 'a', replace: 'b' },
  ]) {
    t.throws(() => mint(wish), { code: 'TOKEN_WISH_INVALID' }, JSON.stringify(wish));
  }
  t.throws(() => mint({ names: 'worker*', name: 'n1' }), { code: 'TOKEN_WISH_INVALID' });
  t.throws(() => mint({ names: 'worker[0-9]' }), { code: 'TOKEN_WISH_INVALID', message: /pattern/ });
  t.throws(() => mint({ cidrs: ['10.0.0.0/8', '10.0'] }), { code: 'TOKEN_WISH_INVALID', message: /"10\.0"/ });
  t.throws(() => mint({ groups: ['all'] }), { code: 'TOKEN_WISH_INVALID' });
  const rule = (wish: Partial<TokenWish>, name: string, address = '10.1.2.3'): string => {
    const made = mint({ uses: 5, ...wish });
    const verdict = judgeToken(made.record, parseToken(made.text)?.secret ?? '', { now: START, name, address });
    return verdict.ok ? 'ok' : verdict.report.code;
  };
  for (const [pattern, good, bad] of [
    ['worker*', ['worker', 'worker7'], ['aworker7', 'control1']],
    ['w?.rack*1', ['w1.rack1', 'w2.rack21'], ['w.rack1', 'w1.rack2']],
    ['*', ['anything'], []],
    [`${'*a'.repeat(20)}b`, [], ['a'.repeat(60)]],
  ] as const) {
    for (const name of good) t.equal(rule({ names: pattern }, name), 'ok', `${pattern} ${name}`);
    for (const name of bad) t.equal(rule({ names: pattern }, name), 'TOKEN_NAME_MISMATCH', `${pattern} ${name}`);
  }
  const cidrs = ['10.0.0.0/8', 'fd00::/8'];
  t.equal(rule({ cidrs }, 'n1'), 'ok');
  t.equal(rule({ cidrs }, 'n1', '::ffff:10.9.9.9'), 'ok', 'IPv4 over an IPv6 socket');
  t.equal(rule({ cidrs }, 'n1', 'fd12::1'), 'ok');
  t.equal(rule({ cidrs }, 'n1', '192.168.0.1'), 'TOKEN_ADDRESS_MISMATCH');
  t.equal(rule({ cidrs }, 'n1', 'fe80::1%eth0'), 'TOKEN_ADDRESS_MISMATCH');
  t.throws(() => mint({ name: 'Bad Name' }), { code: 'NODE_NAME_INVALID' });
});

/** The enrol route over real TLS; `drop` loses the next answer on its way, after the work is done. */
async function serve(
  t: { teardown(fn: () => unknown): void },
  authority: Authority,
  ledger: MemoryLedger,
  tls: { key: string; cert: string } = authority.controllerTls(),
) {
  const pendings = new MemoryPendings(ledger);
  const seen = {
    drop: false,
    bodies: [] as string[],
    outcomes: [] as Enrolment[],
    now: START,
    from: '10.1.0.7',
    approve: false,
    pendings,
  };
  const server = createServer({ ...tls, minVersion: 'TLSv1.3' }, async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    seen.bodies.push(body);
    const tokens = ledger;
    const ports = {
      authority,
      ledger,
      tokens,
      pendings,
      approve: seen.approve,
      clock: () => seen.now,
      endpoints: () => ['https://10.0.0.9:7443'],
    };
    const outcome = await enrolNode(JSON.parse(body), seen.from, ports);
    seen.outcomes.push(outcome);
    if (seen.drop) return response.destroy();
    response.writeHead(outcome.ok ? 200 : 403, { 'content-type': 'application/json' });
    response.end(JSON.stringify(outcome.ok ? outcome.answer : outcome.report));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  return { seen, endpoint: `https://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

t.test('joining over TLS 1.3', async (t) => {
  const home = t.testdir();
  const authority = await openAuthority(join(home, 'ca'), { clock: () => START });
  const foreign = await openAuthority(join(home, 'other'), { clock: () => START, fleetId: authority.fleetId });
  const ledger = new MemoryLedger();
  const { seen, endpoint } = await serve(t, authority, ledger);
  const token = (wish: Partial<TokenWish> = {}) => {
    const made = mint({ caHash: authority.caHash, ...wish });
    ledger.tokens.set(made.record.id, made.record);
    return made.text;
  };
  let folders = 0;
  const join1 = (input: Partial<JoinInput>) =>
    enrol({
      endpoint,
      token: '',
      name: 'node1',
      facts: FACTS,
      store: new IdentityStore(join(home, `node${folders++}`)),
      clock: () => START,
      ...input,
    });

  t.test('a node joins, and is who it says', async (t) => {
    const store = new IdentityStore(join(home, 'node1'));
    t.equal(await store.load(), undefined);
    const text = token();
    const identity = await join1({ token: text, store });
    t.match(identity, { name: 'node1', fleetId: authority.fleetId, endpoints: ['https://10.0.0.9:7443'] });
    t.same(await store.load(), identity);
    t.same(await readdir(store.folder), ['identity.json'], 'nothing of the token is left behind');
    t.equal((await stat(join(store.folder, 'identity.json'))).mode & 0o777, 0o600);
    const certificate = certificateOf(identity);
    t.match(judgePeer({ certificate, trust: authority.trust(), now: START, ledger }), { kind: 'node', name: 'node1' });
    await t.rejects(join1({ token: text, name: 'node9' }), { code: 'TOKEN_USED' });
  });

  t.test('refusals reach the person as the controller said them', async (t) => {
    await t.rejects(join1({ token: token(), name: 'node1' }), { code: 'NAME_TAKEN', remedy: /--replace node1/ });
    await t.rejects(join1({ token: token({ name: 'n7' }), name: 'n8' }), { code: 'TOKEN_NAME_MISMATCH' });
    await t.rejects(join1({ token: token({ now: START - 2 * HOUR }), name: 'n8' }), { code: 'TOKEN_EXPIRED' });
    await t.rejects(join1({ token: token(), name: 'N8' }), { code: 'NODE_NAME_INVALID' });
    await t.rejects(join1({ token: mint({ caHash: authority.caHash }).text, name: 'n8' }), { code: 'TOKEN_UNKNOWN' });
    await t.rejects(join1({ token: 'kk1.oops', name: 'n8' }), { code: 'TOKEN_MALFORMED' });
    t.equal(ledger.nodes.has('n8'), false);
    const kept = token({ uses: 1 });
    await t.rejects(join1({ token: kept, name: 'node1' }), { code: 'NAME_TAKEN' });
    t.equal((await join1({ token: kept, name: 'spare' })).name, 'spare', 'a refusal does not use the token up');
  });

  t.test('the token is sent to nobody but its controller', async (t) => {
    const elsewhere = await serve(t, foreign, ledger);
    await t.rejects(join1({ endpoint: elsewhere.endpoint, token: token() }), { code: 'CONTROLLER_FOREIGN' });
    const { keyPem, csrPem } = await makeKeyAndCsr('node1');
    const leaf = await authority.signNode({ csrPem, name: 'node1', now: START });
    const asNode = { key: keyPem, cert: leaf.certificatePem + authority.rootPem() };
    const poser = await serve(t, authority, ledger, asNode);
    await t.rejects(join1({ endpoint: poser.endpoint, token: token() }), { code: 'CONTROLLER_WRONG_NAME' });
    const sent = seen.bodies.length;
    const ahead = join1({ token: token(), clock: () => START + 100 * 24 * HOUR });
    await t.rejects(ahead, { code: 'CLOCK_SKEW', message: /2030-04-11.*2029-12-31.*2030-04-01/ });
    t.equal(elsewhere.seen.bodies.length + poser.seen.bodies.length + seen.bodies.length - sent, 0);
    const foreignToken = mint({ caHash: foreign.caHash }).text;
    const { csrPem: csr } = await makeKeyAndCsr('n8');
    const ports = {
      authority,
      ledger,
      tokens: ledger,
      pendings: seen.pendings,
      approve: false,
      clock: () => START,
      endpoints: () => [],
    };
    const outcome = await enrolNode({ token: foreignToken, name: 'n8', csr, ...FACTS }, '10.1.0.7', ports);
    t.match(outcome, { ok: false, report: { code: 'TOKEN_FOREIGN' } });
  });

  t.test('a lost answer costs nothing', async (t) => {
    const store = new IdentityStore(join(home, 'lost'));
    const text = token();
    seen.drop = true;
    await t.rejects(join1({ token: text, name: 'lost', store }), { code: 'ENROL_FAILED', remedy: /same token/ });
    seen.drop = false;
    t.notOk((await readFile(join(store.folder, 'joining.json'), 'utf8')).includes(text), 'the token is not on disk');
    t.equal((await join1({ token: text, name: 'lost', store })).name, 'lost', 'same token, same key');
    await t.rejects(join1({ token: text, name: 'lost' }), { code: 'TOKEN_USED' }, 'another key has to have its own');
  });

  t.test('replacing a node, revoked or not', async (t) => {
    const first = certificateOf(await join1({ token: token(), name: 'worker1' }));
    const judge = (certificate = first) => judgePeer({ certificate, trust: authority.trust(), now: START, ledger });
    const known = ledger.nodes.get('worker1');
    if (!known) return t.fail('not on record');
    ledger.nodes.set('worker1', revoked(known));
    await t.rejects(join1({ token: token(), name: 'worker1' }), { code: 'NAME_TAKEN', message: /revoked/ });
    const second = certificateOf(await join1({ token: token({ replace: 'worker1' }), name: 'worker1' }));
    t.match(judge(second), { kind: 'node', name: 'worker1' });
    t.match(judge(), { code: 'CERT_SUPERSEDED' }, 'the old machine is out');
    t.match(seen.outcomes.at(-1), { ok: true, replaced: true });
    await join1({ token: token({ ssh: true, name: 'worker1' }), name: 'worker1' });
    t.match(judge(second), { code: 'CERT_SUPERSEDED' }, 'the SSH step may replace, too');
  });

  t.test('two at once with one use: one joins', async (t) => {
    const text = token();
    const both = await Promise.allSettled(['twin1', 'twin2'].map((name) => join1({ token: text, name })));
    t.same(both.map((one) => one.status).sort(), ['fulfilled', 'rejected']);
    const same = await Promise.allSettled([0, 1].map(() => join1({ token: token(), name: 'twin3' })));
    t.same(same.map((one) => one.status).sort(), ['fulfilled', 'rejected'], 'nor two keys under one name');
  });

  t.test('renewal on trial', async (t) => {
    const store = new IdentityStore(join(home, 'node1'));
    const old = await store.load();
    if (!old) return t.fail('no identity');
    const { keyPem, csrPem } = await makeKeyAndCsr('node1');
    const ports = { authority, ledger, clock: () => START };
    const renewal = await renewNode({ name: 'node1', csrPem }, ports);
    const fresh = { ...old, keyPem, certificatePem: renewal.certificatePem, bundlePem: renewal.bundlePem };
    await t.rejects(store.stage({ ...fresh, keyPem: old.keyPem }), { code: 'IDENTITY_DAMAGED' });
    await store.stage(fresh);
    const afterCrash = new IdentityStore(store.folder);
    t.same(await afterCrash.load(), old);
    t.same(await afterCrash.candidate(), fresh);
    await afterCrash.revert();
    t.equal(await store.candidate(), undefined);
    t.same(await store.load(), old, 'reverted');
    await store.stage(fresh);
    t.same(await store.commit(), fresh);
    t.same(await store.load(), fresh);
    t.equal(await store.candidate(), undefined);
    await writeFile(join(store.folder, 'identity.json'), '{"keyPem":"secret');
    const broken = await store.load().catch((thrown: Error) => thrown);
    t.match(broken, { code: 'IDENTITY_DAMAGED', remedy: /--replace/ });
    t.notOk(String(broken).includes('secret'));
  });

  t.test('a join that has to be approved', async (t) => {
    const { pendings } = seen;
    const machine = { hostname: 'h', os: 'Debian', kernel: '6', arch: 'x64', version: '1', cpus: 2, memory: 1024 };
    const text = token({ uses: 3, approve: true, groups: ['worker'], ttlSeconds: 60 });
    const store = new IdentityStore(join(home, 'waits'));
    const said: string[] = [];
    const naps: number[] = [];
    const ask = (name: string, whenAsleep: (nap: number) => void, own = store) =>
      joinPatiently(
        { endpoint, token: text, name, facts: { ...FACTS, machine }, store: own, clock: () => START },
        {
          say: (line) => said.push(line),
          random: () => 1,
          async sleep(ms) {
            naps.push(ms);
            whenAsleep(naps.length);
          },
        },
      );
    const decide = (name: string, what: 'approved' | 'rejected'): void => {
      const one = pendings.waiting.get(name);
      if (one) pendings.waiting.set(name, { ...one, decision: { what, by: 'ada' } });
    };
    const identity = await ask('waits', (nap) => {
      if (nap === 2) seen.drop = true;
      if (nap === 3) seen.drop = false;
      // Its token has expired meanwhile, which does not matter to who waits.
      if (nap === 4) seen.now = START + 120_000;
      if (nap === 5) decide('waits', 'approved');
    });
    t.match(identity, { name: 'waits' });
    t.same(naps, [2000, 3000, 4500, 6750, 10_125], 'asked more and more seldom, also when nobody answers');
    t.equal(said.length, 2, 'told once');
    t.match(said[0], /kk-controller nodes approve waits/);
    t.match(ledger.nodes.get('waits'), { groups: ['worker'] }, 'and its groups are the token’s');
    t.equal(pendings.waiting.size, 0);
    seen.now = START;
    t.equal(ledger.tokens.get(parseToken(text)?.id ?? '')?.usesLeft, 2, 'one use');

    const other = new IdentityStore(join(home, 'other'));
    const rejected = ask('second', () => decide('second', 'rejected'));
    await t.rejects(rejected, { code: 'JOIN_REJECTED' });
    const hash = pendings.waiting.get('second')?.keyHash ?? '';
    t.match(said.at(-1), keyFingerprint(hash), 'the machine shows the key that is approved');
    await t.rejects(
      ask('second', () => {}),
      { code: 'JOIN_REJECTED' },
      'asking again changes nothing',
    );
    const took = ask('second', () => decide('second', 'approved'), other);
    t.match(await took, { name: 'second' }, 'another machine may have the name then');
    await t.rejects(
      ask('fourth', () => {}, other),
      { code: 'TOKEN_USED' },
      'a use is taken by asking: a flood ends there',
    );

    // The controller wants every join approved, whatever its token says.
    seen.approve = true;
    const plain = { token: token(), name: 'plain', store: new IdentityStore(join(home, 'plain')) };
    await t.rejects(join1(plain), { code: 'JOIN_PENDING' });
    await join1({ token: token({ ssh: true, name: 'by-ssh' }), name: 'by-ssh' });
    seen.approve = false;
    await t.rejects(join1(plain), { code: 'JOIN_PENDING' }, 'who waits goes on waiting');
    decide('plain', 'approved');
    t.match(await join1(plain), { name: 'plain' });
    t.notOk(pendings.waiting.has('plain'));

    const late = token({ approve: true });
    const first = new IdentityStore(join(home, 'late'));
    const input = { token: late, name: 'late', store: first };
    await t.rejects(join1(input), { code: 'JOIN_PENDING' });
    const rival = token({ approve: true });
    await t.rejects(join1({ token: rival, name: 'late' }), { code: 'NAME_PENDING' }, 'nobody is pushed aside');
    const [dummy] = pendings.waiting.values();
    for (let n = 0; dummy && n < 1000; n++) pendings.waiting.set(`flood${n}`, { ...dummy, name: `flood${n}` });
    const spared = token({ approve: true });
    await t.rejects(join1({ token: spared, name: 'spared' }), { code: 'JOINS_TOO_MANY' });
    t.equal(ledger.tokens.get(parseToken(spared)?.id ?? '')?.usesLeft, 1, 'who finds no place may come again');
    for (const name of [...pendings.waiting.keys()]) if (name.startsWith('flood')) pendings.waiting.delete(name);
    seen.now = START + 25 * HOUR;
    await t.rejects(join1(input), { code: 'JOIN_EXPIRED' });
    seen.now = START;
  });

  t.test('nobody there', async (t) => {
    await t.rejects(join1({ endpoint: 'https://127.0.0.1:1', token: token() }), { code: 'CONTROLLER_UNREACHABLE' });
    await t.rejects(join1({ endpoint: 'http://127.0.0.1', token: token() }), { code: 'ENDPOINT_INVALID' });
    const blocked = new IdentityStore(join(home, 'ca', 'root.crt'));
    await t.rejects(join1({ token: token(), name: 'n8', store: blocked }), { code: 'STATE_NOT_WRITABLE' });
  });
});

t.test('a node that has joined and not connected yet: what is not known of it is not made up', async (t) => {
  const unknown = { joinedMs: undefined, certificateEndsMs: undefined, lastSeenMs: undefined };
  const view = nodeView(
    { ...unknown, name: 'node3', revoked: false, machineId: '', version: '', arch: '' },
    { connected: false },
  );
  t.match(nodeRows([view], START, colorsFor(false)).join('\n'), /^node3 +away +- +- +- +-/m);
  t.match(view, { joined: /^$/, certificateEnds: /^$/ });
});
