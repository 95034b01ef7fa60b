import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { hostFiles } from '../../agent/host/files.ts';
import { type Identity, IdentityStore } from '../../agent/identity/identity-store.ts';
import { makeKeyAndCsr } from '../../agent/identity/keys.ts';
import { fetchRelease } from '../../agent/install/fetch-release.ts';
import { type GuardInput, guardUpgrade, type PresentAgent } from '../../agent/install/guard.ts';
import type { Layout } from '../../agent/install/layout.ts';
import { type InstallationParts, OwnInstallation } from '../../agent/install/own-installation.ts';
import { finishPlacing, guardBy, placeExecutable } from '../../agent/install/place-executable.ts';
import { uninstallAgent } from '../../agent/install/uninstall.ts';
import { UNIT_NAMES, type UnitTexts } from '../../agent/install/units.ts';
import { UpgradeFiles } from '../../agent/install/upgrade-files.ts';
import type { LinkState } from '../../agent/link/link.ts';
import { statusWriter } from '../../agent/status.ts';
import { openAuthority } from '../../controller/pki/authority.ts';
import { crash } from '../../shared/crash.ts';
import { KkError } from '../../shared/errors.ts';
import { bytesJson } from '../../shared/protocol/codec.ts';
import type { Upgrade } from '../../shared/protocol/messages.ts';

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
const DIGEST = sha256('');
const UNITS = Object.fromEntries(UNIT_NAMES.map((name) => [name, `of before: ${name}`])) as UnitTexts;

/** A machine with the release `old agent` installed by kk; `programs` answers what is run on it. */
async function machine(top: string, programs: (argv: readonly string[]) => number | undefined = () => 0) {
  const layout: Layout = {
    ...{ library: join(top, 'library'), state: join(top, 'state'), units: join(top, 'units') },
    ...{
      commands: join(top, 'bin'),
      runtime: join(top, 'run'),
      scripts: join(top, 'scripts'),
      traces: [join(top, 'timers', 'stamp')],
    },
  };
  await mkdir(layout.units, { recursive: true });
  await writeFile(join(top, 'download'), 'old agent');
  const { release: from } = await placeExecutable(join(top, 'download'), '1.0.0', layout.library);
  await finishPlacing(layout.library);
  const asked: string[] = [];
  const host = {
    files: hostFiles,
    bootTimeMs: () => now.ms,
    async run(argv: readonly string[]) {
      asked.push(argv.filter((word) => !word.startsWith('-')).join(' '));
      const code = programs(argv) ?? 0;
      const stderr = code === 0 ? '' : 'kk: AGENT_ODD: It is odd.\n  do: Do it otherwise.\n';
      return { code, stdout: argv[0] === 'journalctl' ? 'its last words' : '', stderr };
    },
  };
  const now = { ms: 0 };
  const files = new UpgradeFiles(join(layout.state, 'upgrade'));
  return { layout, from, asked, host, now, files, executable: join(layout.library, from, 'kk-agent') };
}
type Machine = Awaited<ReturnType<typeof machine>>;

/** What the guard meets after the new agent was fetched; `agent`: who is connected at a time. */
async function guarded(m: Machine, agent: (ms: number) => Omit<PresentAgent, 'isConnected'> | undefined) {
  const { layout } = m;
  const fetched = join(layout.library, '.incoming.upgrade', 'kk-agent');
  await mkdir(join(layout.library, '.incoming.upgrade'), { recursive: true });
  await writeFile(fetched, 'new agent');
  const to = `2.0.0-${sha256('new agent').slice(0, 8)}`;
  await guardBy(layout.library, m.from);
  await m.files.begin({ id: 'u1', from: m.from, to, name: 'n1', executable: fetched, limitMs: 10_000 });
  const input: GuardInput = {
    ...{ files: m.files, layout, host: m.host, version: '1.0.0', executable: m.executable, units: UNITS },
    agent: async () => {
      const found = agent(m.now.ms);
      return found && { ...found, isConnected: true };
    },
    sleep: async (ms) => {
      m.now.ms += ms;
    },
  };
  return { to, fetched, input, wanted: join(layout.library, to, 'kk-agent') };
}
const current = (m: Machine): Promise<string> => readlink(join(m.layout.library, 'current'));

t.test('the guard keeps a new agent that came to work, and stays there', async (t) => {
  const m = await machine(join(t.testdir(), 'm'));
  const { to, fetched, input, wanted } = await guarded(m, (ms) =>
    ms < 2000 ? undefined : { pid: 7, executable: wanted },
  );
  // What `kk-agent install` of the new executable does.
  await placeExecutable(fetched, '2.0.0', m.layout.library);
  await finishPlacing(m.layout.library);
  t.equal(await guardUpgrade(input), 'done');
  t.equal(m.asked[0], `${fetched} install n1`, 'it installs itself');
  t.equal(await current(m), to);
  t.same(await m.files.outcome(), { id: 'u1' });
  t.equal(await m.files.pending(), undefined);
  t.same((await readdir(m.layout.library)).sort(), [m.from, to, 'current', 'guard'].sort(), 'the one before is kept');
  t.equal(await guardUpgrade(input), undefined, 'nothing is left to do');
});

t.test('the guard goes back by itself', async (t) => {
  const cases: Record<
    string,
    {
      code: string;
      agent?: (wanted: string) => (ms: number) => Omit<PresentAgent, 'isConnected'> | undefined;
      fails?: true;
    }
  > = {
    'a new agent that is never welcomed': { code: 'UPGRADE_NOT_CONNECTED' },
    'one that falls over each time it was welcomed': {
      code: 'UPGRADE_NOT_CONNECTED',
      agent: (executable) => (ms) => ({ pid: ms, executable }),
    },
    'the old one, still connected, is not taken for it': {
      code: 'UPGRADE_NOT_CONNECTED',
      agent: (wanted) => () => ({ pid: 1, executable: wanted.replace('2.0.0', '1.0.0') }),
    },
    'one that cannot install itself': { code: 'AGENT_ODD', fails: true },
  };
  for (const [name, { code, agent, fails }] of Object.entries(cases)) {
    const m = await machine(join(t.testdir(), 'm'), ([, word]) => (fails && word === 'install' ? 1 : 0));
    const { to, fetched, input, wanted } = await guarded(m, (ms) => agent?.(wanted)(ms));
    if (!fails) await placeExecutable(fetched, '2.0.0', m.layout.library);
    t.match(await guardUpgrade(input), { code }, name);
    t.equal(await current(m), m.from, 'the old one is the current one');
    t.ok(m.asked.includes('systemctl restart kk-agent.service'), 'and is started, for it was at rest');
    t.equal(await readFile(join(m.layout.units, 'kk-agent.service'), 'utf8'), 'of before: kk-agent.service');
    t.match(await m.files.outcome(), { id: 'u1', error: { code } });
    t.notOk((await readdir(m.layout.library)).includes(to), 'what did not work is gone');
    t.equal(await m.files.pending(), undefined);
  }
});

t.test('a guard that was killed in the middle is followed by one that ends it', async (t) => {
  const m = await machine(join(t.testdir(), 'm'));
  const { fetched, input } = await guarded(m, () => undefined);
  await placeExecutable(fetched, '2.0.0', m.layout.library);
  const dies = { ...input, units: UNITS, sleep: async () => Promise.reject(new Error('killed')) };
  await t.rejects(guardUpgrade(dies), /killed/);
  t.match(await m.files.pending(), { id: 'u1' }, 'the next boot knows');
  t.match(await guardUpgrade(input), { code: 'UPGRADE_NOT_CONNECTED' });
  t.equal(await current(m), m.from);
});

t.test('the way back also where systemd does not answer', async (t) => {
  const hangs = (m: Machine, word: string, then: (argv: readonly string[]) => void): Machine['host'] => ({
    ...m.host,
    async run(argv: readonly string[]) {
      if (argv[0] !== 'systemctl' || !argv.includes(word)) return m.host.run(argv);
      m.asked.push(argv.filter((one) => !one.startsWith('--quiet') && !one.startsWith('--no-ask')).join(' '));
      then(argv);
      if (argv.includes('--no-block')) return { code: 0, stdout: '', stderr: '' };
      m.now.ms += 60_000;
      throw new KkError({ code: 'COMMAND_TIMEOUT', message: 'systemctl did not end.', remedy: 'See why it hangs.' });
    },
  });
  for (const word of ['restart', 'daemon-reload']) {
    await t.test(`${word} hangs, and the old agent comes up all the same`, async (t) => {
      const m = await machine(join(t.testdir(), 'm'));
      let asked = Number.POSITIVE_INFINITY;
      const { fetched, input, wanted } = await guarded(m, (ms) =>
        ms > asked + 20_000 ? { pid: 9, executable: m.executable } : { pid: 7, executable: wanted.replace('2', '3') },
      );
      await placeExecutable(fetched, '2.0.0', m.layout.library);
      const host = hangs(m, word, () => {
        asked = Math.min(asked, m.now.ms);
      });
      const outcome = await guardUpgrade({ ...input, host } as GuardInput);
      t.match(outcome, { code: 'UPGRADE_NOT_CONNECTED' });
      t.match(await m.files.outcome(), { id: 'u1', error: { code: 'UPGRADE_NOT_CONNECTED' } });
      t.equal(await m.files.pending(), undefined, 'it is over: no other guard ends the agent that came back');
      t.equal(await current(m), m.from);
      t.ok(
        m.asked.some((line) => line.includes('restart') && line.endsWith('kk-agent.service')),
        'it was asked for',
      );
      t.match(m.asked.at(-1), /restart .*kk-agent-renew\.timer$/, 'certificates are renewed, too');
      t.ok(m.asked.some((line) => line.includes('enable') && line.includes('kk-agent-renew.timer')));
    });
  }
  await t.test('it does not come up: the next guard tries again, and judges nothing anew', async (t) => {
    const m = await machine(join(t.testdir(), 'm'));
    // The old one is there, at rest: the very process that was to be replaced.
    const { fetched, input } = await guarded(m, () => ({ pid: 7, executable: m.executable }));
    await placeExecutable(fetched, '2.0.0', m.layout.library);
    const host = hangs(m, 'restart', () => {});
    await t.rejects(guardUpgrade({ ...input, host } as GuardInput), { code: 'COMMAND_TIMEOUT' });
    t.match(await m.files.pending(), { id: 'u1', returning: { code: 'UPGRADE_NOT_CONNECTED' } });
    t.match(await guardUpgrade(input), { code: 'UPGRADE_NOT_CONNECTED' }, 'systemd answers again');
    t.equal(await current(m), m.from);
  });
});

t.test('what a guard has decided stays decided, whatever comes in between', async (t) => {
  const noRoom = async () => Promise.reject(Object.assign(new Error('no room'), { code: 'ENOSPC' }));
  await t.test('a success', async (t) => {
    const m = await machine(join(t.testdir(), 'm'));
    const { fetched, input, wanted } = await guarded(m, () => ({ pid: 7, executable: wanted }));
    await placeExecutable(fetched, '2.0.0', m.layout.library);
    const { files } = input;
    input.files = Object.assign(new UpgradeFiles(files.folder), { end: noRoom });
    await t.rejects(guardUpgrade(input), /no room/);
    t.equal(await readFile(fetched, 'utf8'), 'new agent', 'the next guard can judge again');
    t.equal(await guardUpgrade({ ...input, files }), 'done');
    t.same(await files.outcome(), { id: 'u1' });
    t.notOk(
      m.asked.some((line) => line.includes('restart')),
      'the new agent was left at work',
    );
  });
  await t.test('the way back', async (t) => {
    const m = await machine(join(t.testdir(), 'm'));
    const { fetched, input } = await guarded(m, () => undefined);
    await placeExecutable(fetched, '2.0.0', m.layout.library);
    const { files } = input;
    input.files = Object.assign(new UpgradeFiles(files.folder), {
      end: async () => Promise.reject(new Error('killed')),
    });
    await t.rejects(guardUpgrade(input), /killed/);
    m.asked.length = 0;
    t.match(await guardUpgrade({ ...input, files }), { code: 'UPGRADE_NOT_CONNECTED' }, 'for the same reason');
    t.notOk(
      m.asked.some((line) => line.includes(' install ')),
      'the refused release is not tried again',
    );
    t.equal(await current(m), m.from);
  });
  await t.test('the way back without room to write down anything', async (t) => {
    const m = await machine(join(t.testdir(), 'm'));
    const { fetched, input } = await guarded(m, () => undefined);
    await placeExecutable(fetched, '2.0.0', m.layout.library);
    input.files = Object.assign(new UpgradeFiles(input.files.folder), { end: noRoom, begin: noRoom });
    t.match(await guardUpgrade(input), { code: 'UPGRADE_NOT_CONNECTED' });
    t.equal(await current(m), m.from);
    t.equal(await guardUpgrade(input), undefined, 'and it is over');
  });
});

t.test('what a node says of its link is whole or as before', async (t) => {
  const path = join(t.testdir({ 'status.json': 'before' }), 'status.json');
  const write = statusWriter(path);
  const seen: string[] = [];
  crash.arm((point) => {
    if (point === 'agent.status.written') seen.push(readFileSync(path, 'utf8'));
  });
  t.teardown(() => crash.arm(undefined));
  const states = ['connecting', 'connected'].map((state) => ({ state }) as unknown as LinkState);
  await Promise.all(states.map(write));
  t.equal(seen[0], 'before');
  t.match(JSON.parse(seen[1] ?? ''), { state: 'connecting' });
  t.match(JSON.parse(await readFile(path, 'utf8')), { state: 'connected', pid: process.pid });
});

t.test('the package is believed by the controller and by its digests', async (t) => {
  const top = t.testdir();
  const authority = await openAuthority(join(top, 'ca'), { clock: Date.now });
  const foreign = await openAuthority(join(top, 'foreign'), { clock: Date.now, fleetId: authority.fleetId });
  const binary = Buffer.from('an agent '.repeat(10_000));
  const gz = gzipSync(binary);
  const wanted = {
    gz_sha256: sha256(gz),
    gz_size: gz.length,
    binary_sha256: sha256(binary),
    binary_size: binary.length,
  };
  let served = gz;
  let status = 200;
  let stalls = false;
  const asked: (string | undefined)[] = [];
  const serve = async (tls: { key: string; cert: string }): Promise<string> => {
    const server = createServer({ ...tls, minVersion: 'TLSv1.3' }, (request, response) => {
      asked.push(request.url);
      if (stalls) response.writeHead(status).write(served.subarray(0, 20));
      else response.writeHead(status).end(served);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.teardown(() => server.close());
    return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const [ours, theirs] = [await serve(authority.controllerTls()), await serve(foreign.controllerTls())];
  const { keyPem, csrPem } = await makeKeyAndCsr('n1');
  const { certificatePem } = await authority.signNode({ csrPem, name: 'n1', now: Date.now() });
  const identity: Identity = {
    ...{ name: 'n1', fleetId: authority.fleetId, keyPem, certificatePem },
    ...{ bundlePem: authority.bundlePem(), bundleVersion: 1, endpoints: ['https://127.0.0.1:1', ours] },
  };
  const target = join(top, 'in', 'kk-agent');
  await fetchRelease(identity, wanted, target, Date.now);
  t.ok((await readFile(target)).equals(binary), 'by the second endpoint, since nobody is at the first');
  t.equal((await stat(target)).mode & 0o777, 0o755);
  t.same(asked, [`/agent/${wanted.gz_sha256}`]);

  const codeOf = async (change: Partial<typeof wanted>, who = identity): Promise<string> => {
    const failed = await fetchRelease(who, { ...wanted, ...change }, target, Date.now).catch((thrown: Error) => thrown);
    t.equal(await readFile(target).catch(() => 'none'), 'none', 'nothing is left of it');
    return failed instanceof KkError ? failed.code : 'none';
  };
  const damaged = Buffer.from(gz);
  damaged.writeUInt8(damaged.readUInt8(damaged.length - 1) ^ 1, damaged.length - 1);
  served = damaged;
  t.equal(await codeOf({}), 'AGENT_FETCH_FAILED', 'damaged on the way');
  served = gz.subarray(0, gz.length - 5);
  t.equal(await codeOf({}), 'AGENT_FETCH_FAILED', 'cut off');
  served = gz;
  t.equal(await codeOf({ binary_sha256: sha256('x') }), 'AGENT_FETCH_FAILED', 'another executable');
  t.equal(await codeOf({ binary_size: 10 }), 'AGENT_FETCH_FAILED', 'a bomb is stopped at the announced size');
  t.equal(await codeOf({ gz_size: 2 ** 40 }), 'AGENT_FETCH_FAILED');
  stalls = true;
  const silent = await fetchRelease(identity, wanted, target, Date.now, 100).catch((thrown: Error) => thrown);
  t.match(silent, { code: 'AGENT_FETCH_FAILED', message: /nothing came for 0.1 s/ }, 'a line that dies in the middle');
  stalls = false;
  status = 404;
  t.equal(await codeOf({}), 'AGENT_FETCH_FAILED');
  const before = asked.length;
  t.equal(await codeOf({}, { ...identity, endpoints: [theirs] }), 'CONTROLLER_FOREIGN');
  t.equal(asked.length, before, 'a stranger is not even asked');
});

t.test('what an agent answers that is to replace itself', async (t) => {
  const broken = { version: 0 };
  const m = await machine(join(t.testdir(), 'm'), ([, word]) => (word === 'version' ? broken.version : 0));
  const authority = await openAuthority(join(t.testdirName, 'ca'), { clock: Date.now });
  const store = new IdentityStore(join(m.layout.state, 'identity'));
  const { keyPem, csrPem } = await makeKeyAndCsr('n1');
  const { certificatePem } = await authority.signNode({ csrPem, name: 'n1', now: Date.now() });
  await store.save({
    ...{ name: 'n1', fleetId: authority.fleetId, keyPem, certificatePem, bundlePem: authority.bundlePem() },
    ...{ bundleVersion: 1, endpoints: ['https://127.0.0.1:1'] },
  });
  const work = { still: 0, on: 0 };
  const parts: InstallationParts = {
    ...{ executable: m.executable, layout: m.layout, host: m.host, store, files: m.files },
    clock: { nowMs: Date.now, after: () => () => {} },
    work: {
      async standStill() {
        work.still += 1;
      },
      goOn() {
        work.on += 1;
      },
    },
    fetch: async (_wanted, target) => {
      await mkdir(join(target, '..'), { recursive: true });
      await writeFile(target, 'new agent');
    },
  };
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const own = await OwnInstallation.open(parts, stop.signal);
  const told: string[] = [];
  let ring = (): void => {};
  own.onChange(() => {
    const { id, state, error } = own.state();
    told.push(`${id} ${state.slice(14)}${error.length > 0 ? ` ${(bytesJson(error) as { code: string }).code}` : ''}`);
    ring();
  });
  const until = async (fits: RegExp): Promise<void> => {
    while (!fits.test(told.at(-1) ?? '')) await new Promise<void>((resolve) => (ring = resolve));
  };
  const wish = (id: string, release = '2.0.0-00000000', odd: Partial<Upgrade> = {}) => ({
    kind: 'upgrade' as const,
    value: {
      ...{ id, release, gz_sha256: DIGEST, gz_size: 1, binary_sha256: DIGEST, binary_size: 1 },
      limit_ms: 9000,
      ...odd,
    },
  });
  t.match(own.state(), { release: m.from, id: '' });
  own.handle(wish('same', m.from));
  await until(/^same DONE/);
  t.same(m.asked, [], 'the newest is left alone');

  const folders = await readdir(m.layout.library);
  const odd: Partial<Upgrade>[] = [
    ...['', '.', '..', '../1.0.0-00000000', '/etc-00000000', 'current'].map((release) => ({ release })),
    ...[{ gz_sha256: '../x' }, { binary_sha256: '' }, { gz_size: 0 }, { binary_size: 2 ** 40 }],
    ...[{ limit_ms: 1 }, { limit_ms: 2 ** 31 }, { limit_ms: Number.NaN }],
  ];
  for (const [index, one] of odd.entries()) {
    own.handle(wish(`odd${index}`, undefined, one));
    await until(new RegExp(`^odd${index} REFUSED UPGRADE_MALFORMED`));
  }
  t.same(await readdir(m.layout.library), folders, 'what makes no sense touches nothing');

  broken.version = 127;
  own.handle(wish('bad'));
  await until(/^bad REFUSED AGENT_DOES_NOT_START/);
  t.same([work.still, work.on], [0, 1], 'the work was not disturbed');
  t.equal(await m.files.pending(), undefined);

  broken.version = 0;
  own.handle(wish('good'));
  own.handle(wish('other'));
  t.equal(told.at(-1), 'other REFUSED UPGRADE_UNDER_WAY');
  await until(/^good SWITCHING/);
  while (!m.asked.includes('systemctl start kk-agent-upgrade.service')) await new Promise(setImmediate);
  t.match(await m.files.pending(), { id: 'good', from: m.from, to: '2.0.0-00000000', name: 'n1', limitMs: 9000 });
  t.equal(await readlink(join(m.layout.library, 'guard')), m.from, 'the guard is the old one');
  t.equal(work.still, 1, 'what is no command has come to rest');

  await m.files.end({ id: 'good', error: { code: 'ODD', message: 'm', remedy: 'r' } });
  const after = await OwnInstallation.open(parts, stop.signal);
  t.match(
    after.state(),
    { id: 'good', state: 'INSTALL_STATE_RETURNED' },
    'the agent of before tells what became of it',
  );

  await symlink(m.layout.library, `${m.layout.library}.link`);
  const linked = { ...m.layout, library: `${m.layout.library}.link` };
  const behind = await OwnInstallation.open({ ...parts, layout: linked }, stop.signal);
  t.equal(behind.state().release, m.from, 'where a folder on the way is a link, it is installed all the same');

  const source = await OwnInstallation.open({ ...parts, executable: '/usr/bin/node' }, stop.signal);
  source.handle(wish('x'));
  while (source.state().id !== 'x') await new Promise(setImmediate);
  t.match(bytesJson(source.state().error), { code: 'AGENT_NOT_INSTALLED' });
  t.equal(source.state().release, '');
});

t.test('an uninstalled agent leaves nothing', async (t) => {
  const m = await machine(join(t.testdir(), 'm'));
  const { layout } = m;
  for (const folder of [layout.units, layout.state, layout.runtime, layout.commands])
    await mkdir(folder, { recursive: true });
  await mkdir(join(layout.library, '..', 'timers'));
  await writeFile(layout.traces[0] ?? '', '');
  for (const name of UNIT_NAMES) await writeFile(join(layout.units, name), '');
  await writeFile(join(layout.units, 'others.service'), '');
  await writeFile(join(layout.commands, 'kk-agent'), "somebody else's");
  await t.rejects(uninstallAgent({ host: m.host, uid: 1000, layout }), { code: 'NOT_ROOT' });
  await uninstallAgent({ host: m.host, uid: 0, layout });
  t.match(m.asked.join('\n'), /systemctl disable kk-agent.service.*\nsystemctl daemon-reload/);
  t.same((await readdir(join(layout.library, '..'))).sort(), ['bin', 'download', 'units']);
  t.same(await readdir(layout.units), ['others.service']);
  t.equal(await readFile(join(layout.commands, 'kk-agent'), 'utf8'), "somebody else's");
  await uninstallAgent({ host: m.host, uid: 0, layout });
});
