import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { Identity } from '../../agent/identity/identity-store.ts';
import { type InstallInput, installAgent } from '../../agent/install/install.ts';
import { judgeKnown, type Wish } from '../../agent/install/known-identity.ts';
import { packagedUnits, UNIT_NAMES, type UnitTexts } from '../../agent/install/units.ts';
import { keyToPem, makeCa, makeKey, makeLeaf, publicKeyDer } from '../../controller/pki/certs.ts';
import { certificateHash } from '../../shared/certificates.ts';
import { KkError, reportOf } from '../../shared/errors.ts';
import { formatToken, nodeUri } from '../../shared/identity.ts';

const systemd = join(import.meta.dirname, '../../systemd');
const UNITS = Object.fromEntries(
  UNIT_NAMES.map((name) => [name, readFileSync(join(systemd, name), 'utf8')]),
) as UnitTexts;

/** The files of a host, without owners and modes. */
const files = {
  read: (path: string) => readFile(path).catch(() => undefined),
  makeDirectory: async (path: string) => void (await mkdir(path, { recursive: true })),
  writeAtomic: async (path: string, content: Uint8Array) => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  },
};

/** An installation below `top`; the host is a folder and a systemctl that remembers. */
function installer(top: string) {
  const asked: string[] = [];
  const tried: string[] = [];
  const host = {
    files,
    run: async (argv: readonly string[]) => {
      asked.push(argv.filter((word) => !word.startsWith('-')).join(' '));
      return { code: 0, stdout: '', stderr: '' };
    },
  } as unknown as InstallInput['host'];
  const layout = {
    library: join(top, 'library'),
    state: join(top, 'state'),
    units: join(top, 'units'),
    commands: join(top, 'bin'),
    runtime: join(top, 'run'),
    scripts: join(top, 'scripts'),
    traces: [],
  };
  const install = (change: Partial<InstallInput>) =>
    installAgent({
      version: '1.0.0',
      executable: join(top, 'download'),
      units: UNITS,
      host,
      uid: 0,
      identity: async () => 'join',
      endpoints: ['https://a:1', 'https://b:1'],
      name: 'n1',
      join: async (endpoint) => void tried.push(endpoint),
      layout,
      ...change,
    });
  return { install, asked, tried, layout };
}

const unreachable = () => new KkError({ code: 'CONTROLLER_UNREACHABLE', message: 'away', remedy: 'wait' });

t.test('installing, again, and a new version', async (t) => {
  const top = t.testdir({ download: 'agent one' });
  const { install, asked, tried, layout } = installer(top);
  const { library } = layout;
  const first = await install({});
  t.match(first, { joined: true, changed: true, name: 'n1' });
  t.same(tried, ['https://a:1']);
  t.equal(await readFile(join(library, 'current', 'kk-agent'), 'utf8'), 'agent one');
  t.equal(await readlink(join(library, 'current')), first.release);
  t.same((await readdir(layout.units)).sort(), [...UNIT_NAMES].sort());
  t.same(asked, [
    'systemctl daemon-reload',
    'systemctl enable kk-agent.service kk-agent-renew.timer kk-agent-upgrade.service',
    'systemctl restart kk-agent.service',
    'systemctl restart kk-agent-renew.timer',
  ]);

  asked.length = 0;
  t.match(await install({ identity: async () => 'keep' }), { joined: false, changed: false });
  t.same(tried, ['https://a:1'], 'a node does not join again');
  t.notMatch(asked.join(), /restart|reload/, 'an agent that is right is not disturbed');

  asked.length = 0;
  await writeFile(join(top, 'download'), 'agent two');
  const second = await install({ identity: async () => 'keep' });
  t.match(second, { changed: true });
  t.match(asked.join(), /restart kk-agent.service/);
  t.not(second.release, first.release, 'two builds of one version are kept apart');
  t.equal(await readFile(join(library, first.release, 'kk-agent'), 'utf8'), 'agent one', 'the one before is as it was');
  await writeFile(join(top, 'download'), 'agent three');
  const third = await install({ identity: async () => 'keep', version: '1.1.0' });
  t.same(
    (await readdir(library)).sort(),
    [second.release, third.release, 'current'].sort(),
    'one release to go back to',
  );
  t.equal(await readFile(join(library, 'current', 'kk-agent'), 'utf8'), 'agent three');
  t.equal(await readFile(join(layout.commands, 'kk-agent'), 'utf8'), 'agent three', 'on the PATH of who logs in');
  await install({ identity: async () => 'keep', version: '1.1.0' });
  t.ok((await readdir(library)).includes(second.release), 'installing it again keeps the one to go back to');
  await rm(join(layout.commands, 'kk-agent'));
  await writeFile(join(layout.commands, 'kk-agent'), 'somebody else');
  await install({ identity: async () => 'keep' });
  t.equal(await readFile(join(layout.commands, 'kk-agent'), 'utf8'), 'somebody else', 'left alone');
});

t.test('an installation that was cut short is finished by the next: the agent of before does not stay', async (t) => {
  const top = t.testdir({ download: 'agent one' });
  const { install, asked } = installer(top);
  await install({});
  await writeFile(join(top, 'download'), 'agent two');
  const cut = { files, run: () => Promise.reject(new Error('the connection was cut')) };
  await t.rejects(install({ identity: async () => 'keep', host: cut as unknown as InstallInput['host'] }));
  asked.length = 0;
  t.match(await install({ identity: async () => 'keep' }), { changed: true });
  t.match(asked.join(), /daemon-reload.*restart kk-agent.service/);
  asked.length = 0;
  await install({ identity: async () => 'keep' });
  t.notMatch(asked.join(), /restart|reload/);
});

t.test('what goes wrong', async (t) => {
  const top = t.testdir({ download: 'agent' });
  const { install, asked, layout } = installer(top);
  await t.rejects(install({ uid: 1000 }), { code: 'NOT_ROOT' });
  await t.rejects(install({ endpoints: [] }), { code: 'ENDPOINT_MISSING' });
  const tried: string[] = [];
  const join = async (endpoint: string) => {
    tried.push(endpoint);
    if (endpoint === 'https://a:1') throw unreachable();
    throw new KkError({ code: 'TOKEN_USED', message: 'used', remedy: 'another' });
  };
  await t.rejects(install({ join }), { code: 'TOKEN_USED' }, 'an endpoint that is away leads to the next');
  t.same(tried, ['https://a:1', 'https://b:1']);
  await t.rejects(install({ join: async () => Promise.reject(unreachable()) }), { code: 'CONTROLLER_UNREACHABLE' });
  t.same(asked, [], 'who is not admitted gets no units');
  await t.rejects(readdir(layout.library), 'and no agent');
  const masked = { code: 1, stdout: '', stderr: 'Unit is masked' };
  const host = { files, run: async () => masked } as unknown as InstallInput['host'];
  await t.rejects(install({ host }), { code: 'SYSTEMD_FAILED', report: { evidence: /masked/ } });
  t.throws(packagedUnits, { code: 'NOT_PACKAGED' });
});

t.test('who a machine is already', async (t) => {
  const now = Date.UTC(2030, 0, 1);
  const day = 24 * 3600 * 1000;
  const fleetId = '11111111-2222-3333-4444-555555555555';
  const key = await makeKey();
  const validity = { notBefore: now - day, notAfter: now + day };
  const ca = await makeCa({ name: 'root', key, pathLength: 1, validity, random: randomBytes });
  const nodeKey = await makeKey();
  const leaf = await makeLeaf({
    uri: nodeUri(fleetId, 'n1'),
    commonName: 'n1',
    publicKey: publicKeyDer(nodeKey),
    server: false,
    validity,
    random: randomBytes,
    issuer: { key, certificate: ca },
  });
  const identity: Identity = {
    name: 'n1',
    fleetId,
    keyPem: keyToPem(nodeKey),
    certificatePem: leaf.toString(),
    bundlePem: ca.toString(),
    bundleVersion: 1,
    endpoints: [],
  };
  const tokenOf = (caHash: string): string => formatToken({ id: '0'.repeat(16), secret: 'S'.repeat(43), caHash });
  const token = tokenOf(certificateHash(ca));
  const judged = (known: Identity | undefined, change: Partial<Wish> = {}): string => {
    try {
      return judgeKnown(known, { name: 'n1', token, rejoin: false, replace: false, now, ...change });
    } catch (error) {
      return reportOf(error).code;
    }
  };
  t.equal(judged(undefined), 'join');
  t.equal(judged(undefined, { token: undefined }), 'TOKEN_MISSING');
  t.equal(judged(identity), 'keep');
  t.equal(judged(identity, { token: undefined, name: 'host' }), 'keep', 'without a token it stays what it is');
  t.equal(judged(identity, { now: now + 100 * day }), 'keep', 'expired: it can still be renewed');
  t.equal(judged(identity, { now: now + 402 * day }), 'join', 'too long ago for that');
  t.equal(judged(identity, { name: 'n2' }), 'NODE_NAMED_OTHERWISE');
  t.equal(judged(identity, { token: tokenOf('b'.repeat(64)) }), 'NODE_OF_ANOTHER_FLEET');
  t.equal(judged(identity, { token: tokenOf('b'.repeat(64)), rejoin: true }), 'join', 'the SSH step takes it over');
  t.equal(judged(identity, { replace: true }), 'join', 'a revoked node comes back by the line of --replace');
  t.equal(judged(identity, { name: 'n2', replace: true }), 'NODE_NAMED_OTHERWISE', 'no other node is lost by it');
});
