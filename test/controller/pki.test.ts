import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { connect, createServer } from 'node:tls';
import t from 'tap';
import { makeKeyAndCsr, needsRenewal } from '../../agent/identity/keys.ts';
import { verifyController } from '../../agent/identity/verify-controller.ts';
import type { Authority } from '../../controller/pki/authority.ts';
import { openAuthority } from '../../controller/pki/authority.ts';
import { duplicateIdentity, judgeDuplicate } from '../../controller/pki/judge-duplicate.ts';
import type { PeerVerdict } from '../../controller/pki/judge-peer.ts';
import { judgePeer } from '../../controller/pki/judge-peer.ts';
import { admitted, revoked, seenWith } from '../../controller/pki/ledger.ts';
import { renewNode } from '../../controller/pki/renew.ts';
import { certificateHash, parseBundle, serialOf } from '../../shared/certificates.ts';
import { MemoryLedger } from '../support/memory-ledger.ts';

const DAY = 24 * 60 * 60 * 1000;
const START = Date.UTC(2030, 0, 1);

interface Credentials {
  key: string;
  cert: string;
  serial: string;
  keyHash: string;
}

async function issue(authority: Authority, name: string, now: number): Promise<Credentials> {
  const { keyPem, csrPem } = await makeKeyAndCsr(name);
  const signed = await authority.signNode({ csrPem, name, now });
  return { key: keyPem, cert: signed.certificatePem, serial: signed.serial, keyHash: signed.keyHash };
}

async function join1(authority: Authority, ledger: MemoryLedger, name: string, now: number): Promise<Credentials> {
  const made = await issue(authority, name, now);
  ledger.nodes.set(name, admitted({ name, serial: made.serial, keyHash: made.keyHash, tokenId: 'test' }));
  return made;
}

/** A real TLS 1.3 server that judges whoever knocks, at the time it is given. */
async function gate(t: { teardown(fn: () => unknown): void }, authority: Authority, ledger: MemoryLedger) {
  const server = createServer({
    ...authority.controllerTls(),
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  return async (who: { key: string; cert: string } | undefined, now: number, session?: Buffer) => {
    const arrival = once(server, 'secureConnection');
    const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...who, ...(session && { session }) });
    const ticket = session ? [session] : once(client, 'session');
    const [peer] = (await arrival) as [TLSSocket];
    const certificate = peer.getPeerX509Certificate();
    const verdict = judgePeer({ certificate, trust: authority.trust(), now, ledger });
    const [kept] = (await ticket) as [Buffer];
    const seen = { verdict, protocol: peer.getProtocol(), resumed: peer.isSessionReused(), session: kept };
    client.destroy();
    peer.destroy();
    return seen;
  };
}

const codeOf = (verdict: PeerVerdict) => (verdict.kind === 'refused' ? verdict.code : verdict.kind);

t.test('every kind of peer, over TLS 1.3', async (t) => {
  const fleetId = '11111111-2222-3333-4444-555555555555';
  const home = t.testdir();
  const authority = await openAuthority(join(home, 'ours'), { clock: () => START, fleetId });
  const stranger = await openAuthority(join(home, 'theirs'), { clock: () => START, fleetId });
  const other = await openAuthority(join(home, 'other'), { clock: () => START });
  const ledger = new MemoryLedger();
  const knock = await gate(t, authority, ledger);
  const mine = await join1(authority, ledger, 'node1', START);
  const judged = async (who: Credentials | undefined, now: number) => (await knock(who, now)).verdict;

  const first = await knock(mine, START);
  t.equal(first.protocol, 'TLSv1.3');
  t.same(first.verdict, { kind: 'node', name: 'node1', serial: mine.serial });

  t.equal(codeOf(await judged(undefined, START)), 'CERT_MISSING');

  const foreign = await issue(stranger, 'node1', START);
  t.equal(codeOf(await judged(foreign, START)), 'CERT_FOREIGN_CA', 'same names, same fleet id, another key');
  t.equal(codeOf(await judged(await issue(other, 'node1', START), START)), 'CERT_FOREIGN_CA');
  t.equal(codeOf(await judged(foreign, START + 30 * DAY)), 'CERT_FOREIGN_CA', 'expired AND foreign is foreign');

  t.test('expired while away', async (t) => {
    const away = await judged(mine, START + 30 * DAY);
    t.match(away, { kind: 'renew-only', name: 'node1', expiredAt: START + 7 * DAY });
    t.equal(codeOf(await judged(mine, START + (7 + 399) * DAY)), 'renew-only');
    t.equal(codeOf(await judged(mine, START + (7 + 401) * DAY)), 'CERT_EXPIRED', 'beyond the grace');
    const older = await issue(authority, 'node1', START);
    t.equal(codeOf(await judged(older, START + 30 * DAY)), 'CERT_EXPIRED', 'not the last issued');
  });

  t.test('renewal: the old one stays until the new one has worked', async (t) => {
    const old = await join1(authority, ledger, 'node2', START);
    const { keyPem, csrPem } = await makeKeyAndCsr('node1');
    const ports = { authority, ledger, clock: () => START + 4 * DAY };
    const renewal = await renewNode({ name: 'node2', csrPem }, ports);
    const fresh = { key: keyPem, cert: renewal.certificatePem };
    const now = START + 4 * DAY;
    t.equal(codeOf((await knock(old, now)).verdict), 'node', 'the answer may have been lost');
    const { verdict } = await knock(fresh, now);
    t.match(verdict, { kind: 'node', name: 'node2' }, 'the name in the request counts for nothing');
    const known = ledger.nodes.get('node2');
    if (verdict.kind !== 'node' || !known) return t.fail('not admitted');
    ledger.nodes.set('node2', seenWith(known, verdict.serial));
    t.equal(codeOf((await knock(old, now)).verdict), 'CERT_SUPERSEDED');
    t.equal(codeOf((await knock(fresh, now)).verdict), 'node');

    const lost = await renewNode({ name: 'node2', csrPem: (await makeKeyAndCsr('node2')).csrPem }, ports);
    t.equal(ledger.nodes.get('node2')?.pending, lost.serial);
    t.equal(codeOf((await knock(fresh, START + 60 * DAY)).verdict), 'renew-only', 'a lost renewal locks nobody out');
  });

  t.test('names', async (t) => {
    const { key, cert } = authority.controllerTls();
    t.equal(codeOf((await knock({ key, cert }, START)).verdict), 'CERT_WRONG_NAME', 'the controller is no node');
    const unknown = await issue(authority, 'ghost', START);
    t.equal(codeOf(await judged(unknown, START)), 'CERT_UNKNOWN_NODE');
    const { csrPem } = await makeKeyAndCsr('node1');
    for (const name of ['Node1', '../controller', 'a/b', 'a..b', '-a', '', 'x'.repeat(64)]) {
      await t.rejects(authority.signNode({ csrPem, name, now: START }), { code: 'NODE_NAME_INVALID' }, name);
    }
  });

  t.test('clock, and revocation on a resumed session', async (t) => {
    const early = await judged(mine, START - 2 * 60 * 60 * 1000);
    t.equal(codeOf(early), 'CLOCK_SKEW');
    t.match(early, { detail: /2029-12-31T23:00:00Z.*2029-12-31T22:00:00Z/ }, 'both times');
    t.equal(codeOf(await judged(mine, START - 50 * 60 * 1000)), 'node', 'an hour of leeway');

    const known = ledger.nodes.get('node1');
    if (!known) return t.fail('no record');
    ledger.nodes.set('node1', revoked(known));
    const back = await knock(mine, START, first.session);
    t.equal(back.resumed, true);
    t.equal(codeOf(back.verdict), 'CERT_REVOKED');
    t.equal(codeOf(await judged(mine, START + 30 * DAY)), 'CERT_REVOKED', 'expired does not hide revoked');
    const again = renewNode(
      { name: 'node1', csrPem: (await makeKeyAndCsr('node1')).csrPem },
      { authority, ledger, clock: () => START },
    );
    await t.rejects(again, { code: 'CERT_REVOKED' });
  });
});

t.test('the authority on disk', async (t) => {
  const folder = join(t.testdir(), 'ca');
  let now = START;
  const open = () => openAuthority(folder, { clock: () => now });
  const first = await open();
  const modes = async (name: string) => ((await stat(join(folder, name))).mode & 0o777).toString(8);
  t.equal(await modes('.'), '700');
  for (const key of ['root.key', 'issuing.key', 'controller.key', 'generation.key'])
    t.equal(await modes(key), '600', key);
  t.notOk((await readdir(folder)).some((name) => name.endsWith('.tmp')));
  t.equal(first.caHash, certificateHash(new X509Certificate(first.rootPem())));
  t.equal(parseBundle(first.bundlePem()).length, 2);
  const chain = parseBundle(first.controllerTls().cert);
  t.equal(chain.length, 3);

  const mac = first.generationMac(7);
  t.ok(first.verifyGenerationMac(7, mac));
  t.notOk(first.verifyGenerationMac(8, mac));
  t.notOk(first.verifyGenerationMac(7, mac.subarray(1)));

  await rename(join(folder, 'root.key'), join(folder, '..', 'root.key'));
  const second = await open();
  t.equal(second.caHash, first.caHash, 'the root key may be offline');
  t.equal(second.controllerTls().cert, first.controllerTls().cert);
  t.ok(second.verifyGenerationMac(7, mac), 'the MAC key survives a restart');

  const trust = { bundlePem: first.bundlePem(), fleetId: first.fleetId };
  now = START + 46 * DAY;
  t.equal(needsRenewal(chain[0] as X509Certificate, now), true);
  t.equal(await second.refresh(), true);
  t.equal(await second.refresh(), false);
  t.equal(second.controllerKeyPin, first.controllerKeyPin, 'the pin in old join lines still fits');
  t.not(second.controllerTls().cert, first.controllerTls().cert);
  t.match(verifyController(parseBundle(second.controllerTls().cert), trust, now), { ok: true });

  const node = await makeKeyAndCsr('late');
  now = START + 364 * DAY;
  const short = await second.signNode({ csrPem: node.csrPem, name: 'late', now });
  t.ok(short.notAfter < now + 2 * DAY, 'no certificate outlives its CA');
  now = START + 366 * DAY;
  await t.rejects(open(), { code: 'CA_EXPIRED', remedy: /root\.key/ });
  await rename(join(folder, '..', 'root.key'), join(folder, 'root.key'));
  const third = await open();
  t.match(verifyController(parseBundle(third.controllerTls().cert), trust, now), { ok: true }, 'by the old bundle');
  const ledger = new MemoryLedger();
  ledger.nodes.set('late', admitted({ name: 'late', serial: short.serial, keyHash: short.keyHash, tokenId: 'x' }));
  const certificate = new X509Certificate(short.certificatePem);
  t.equal(serialOf(certificate), short.serial);
  t.equal(
    judgePeer({ certificate, trust: third.trust(), now, ledger }).kind,
    'renew-only',
    'issued before the CA renewed',
  );

  t.test('damage is named, never papered over', async (t) => {
    const away = join(t.testdir(), 'away');
    for (const name of ['root.crt', 'issuing.key', 'issuing.crt', 'generation.key', 'controller.key', 'fleet-id']) {
      await rename(join(folder, name), away);
      await t.rejects(open(), { code: 'CA_DAMAGED', message: new RegExp(name), remedy: /backup/ }, `${name} lost`);
      await writeFile(join(folder, name), 'rubbish');
      await t.rejects(open(), { code: 'CA_DAMAGED', message: new RegExp(name) }, `${name} overwritten`);
      await rename(away, join(folder, name));
    }
    const keep = await readFile(join(folder, 'issuing.key'));
    await copyFile(join(folder, 'controller.key'), join(folder, 'issuing.key'));
    await t.rejects(open(), { code: 'CA_DAMAGED', message: /issuing\.key.*not the key of issuing\.crt/ });
    await writeFile(join(folder, 'issuing.key'), keep);
    await rm(join(folder, 'controller.crt'));
    t.equal((await open()).controllerKeyPin, first.controllerKeyPin, 'only the certificate is made anew');
    const other = { clock: () => now, fleetId: '99999999-2222-3333-4444-555555555555' };
    await t.rejects(openAuthority(folder, other), { code: 'FLEET_ID_MISMATCH' });
  });

  t.test('first use cut short goes on; an unwritable folder says so', async (t) => {
    const half = join(t.testdir({ file: '' }), 'half');
    await mkdir(half);
    await copyFile(join(folder, 'fleet-id'), join(half, 'fleet-id'));
    await copyFile(join(folder, 'root.key'), join(half, 'root.key'));
    t.equal((await openAuthority(half, { clock: () => START })).fleetId, first.fleetId);
    const blocked = openAuthority(join(half, '..', 'file', 'ca'), { clock: () => START });
    await t.rejects(blocked, { code: 'STATE_NOT_WRITABLE', remedy: /state folder/ });
  });
});

t.test('a signing request proves its key', async (t) => {
  const authority = await openAuthority(join(t.testdir(), 'ca'), { clock: () => START });
  const sign = (csrPem: string) => authority.signNode({ csrPem, name: 'n', now: START });
  const { csrPem } = await makeKeyAndCsr('n');
  const der = Buffer.from(csrPem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  der[der.length - 3] = (der.at(-3) ?? 0) ^ 1;
  const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  await t.rejects(sign(forged), { code: 'CSR_INVALID' });
  await t.rejects(sign('nonsense'), { code: 'CSR_INVALID' });
});

t.test('clones', async (t) => {
  const a = { machineId: 'a', bootId: 'boot2' };
  const seen = { live: a, boots: ['boot1', 'boot2'] };
  t.equal(judgeDuplicate(seen, a), 'welcome', 'the same machine reconnects: newest wins');
  t.equal(judgeDuplicate(seen, { machineId: 'a', bootId: 'boot3' }), 'welcome', 'it rebooted');
  t.equal(
    judgeDuplicate(seen, { machineId: 'b', bootId: 'boot9' }),
    'duplicate',
    'another machine while the first lives',
  );
  t.equal(judgeDuplicate(seen, { machineId: 'a', bootId: 'boot1' }), 'duplicate', 'a boot that was over comes back');
  t.equal(
    judgeDuplicate({ boots: ['boot1'] }, { machineId: 'b', bootId: 'boot5' }),
    'welcome',
    'disk moved, first is gone',
  );
  t.match(duplicateIdentity('n1', [a]), { code: 'DUPLICATE_IDENTITY', report: { evidence: /boot2/ } });
});
