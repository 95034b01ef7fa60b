import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { selfOf } from '../../agent/agent.ts';
import { enrol } from '../../agent/identity/enrol.ts';
import { IdentityStore } from '../../agent/identity/identity-store.ts';
import { joinPatiently } from '../../agent/identity/join-patiently.ts';
import { makeKeyAndCsr } from '../../agent/identity/keys.ts';
import { machineWord } from '../../agent/identity/machine-word.ts';
import { helloOf } from '../../agent/link/hello.ts';
import { Installations } from '../../controller/operations/installations.ts';
import { upgradeNodes } from '../../controller/operations/upgrader.ts';
import type { UpgradeLine } from '../../controller/server/operations.ts';
import type { TokenBody } from '../../controller/views/requests.ts';
import { encodeToController } from '../../shared/protocol/codec.ts';
import type { FromAgent, Installation, InstallState } from '../../shared/protocol/messages.ts';
import { FakeInstaller } from '../support/fake-installer.ts';
import { type Credentials, openLink } from '../support/knock.ts';
import { type Line, planOf, type Said, startLine } from '../support/line.ts';

const DAY = 24 * 3_600_000;

const identityPath = (line: Line, name: string): string => join(line.folder, name, 'identity/identity.json');
async function identityOf(line: Line, name: string) {
  const identity = await new IdentityStore(join(line.folder, name, 'identity')).load();
  if (identity === undefined) throw new Error(`${name} has no identity`);
  return identity;
}
async function keysOf(line: Line, name: string): Promise<Required<Credentials>> {
  const { keyPem, certificatePem } = await identityOf(line, name);
  return { key: keyPem, cert: certificatePem };
}
const portOf = (line: Line): number => Number(new URL(line.endpoint).port);

/** The first thing that fits which is said from now on. */
function next(line: Line, who: string, fits: Record<string, unknown>): Promise<Said> {
  const from = line.said.length;
  return line.heard(
    (entry) =>
      entry.who === who &&
      line.said.indexOf(entry) >= from &&
      Object.entries(fits).every(([key, value]) => (key === 'message' ? entry.message : entry.details[key]) === value),
  );
}

async function works(line: Line, node: string): Promise<string> {
  const play = `        - {name: works, hosts: all, tasks: [{name: say, debug: well}]}\n`;
  return (await line.apply(planOf([node], play))).view.status;
}

const hello = (self: { machineId: string; bootId: string }, renew = false): Uint8Array => {
  const held = {
    journalId: 'by hand',
    lastSequence: 0,
    runs: [],
    blobs: [],
    lives: [],
    generation: { value: 0, mac: Buffer.of() },
  };
  const value = helloOf({ version: 'test', arch: 'x64', ...self }, Date.now(), renew ? undefined : held);
  return encodeToController({ kind: 'hello', value } satisfies FromAgent);
};

t.test('certificates that grew old while their node was away', async (t) => {
  const line = await startLine({}, -410 * DAY);
  t.teardown(() => line.close());
  await line.join('forgotten');
  await line.stopController();
  line.clock.offsetMs = -10 * DAY;
  await line.startController();
  await line.join('away');
  line.clock.offsetMs = -4 * DAY;
  await line.join('half');
  line.clock.offsetMs = 0;

  await t.test('expired: a session for renewal only, then the node works', async (t) => {
    const before = await identityOf(line, 'away');
    const renewed = next(line, '', { message: 'certificate renewed', node: 'away', expired: true });
    await line.agent('away');
    await renewed;
    t.equal(await works(line, 'away'), 'done');
    const after = await identityOf(line, 'away');
    t.not(after.keyPem, before.keyPem, 'with a new key');
    const old = await openLink(portOf(line), { key: before.keyPem, cert: before.certificatePem });
    t.equal(await old.closed, 'CERT_EXPIRED', 'the expired one opens nothing any more');
  });

  await t.test('expired longer ago than the grace', async (t) => {
    const refused = next(line, 'forgotten', { code: 'CERT_EXPIRED', final: true });
    await line.agent('forgotten');
    t.match((await refused).message, /expired at .* 400 days/);
    t.match((await refused).details, { remedy: /join-command --replace/ });
    await line.agents.get('forgotten')?.stop();
    await line.join('forgotten', { replace: true });
    await line.agent('forgotten');
    t.equal(await works(line, 'forgotten'), 'done', 'joined anew it works');
  });

  await t.test('at half life: a new key, and the old one until the new one has worked', async (t) => {
    const old = await keysOf(line, 'half');
    const self = { machineId: 'm', bootId: 'b' };
    const asking = await openLink(portOf(line), old);
    asking.web.send(hello(self, true));
    await asking.got('welcome');
    const { keyPem, csrPem } = await makeKeyAndCsr('half');
    asking.web.send(encodeToController({ kind: 'renew_request', value: { csr_pem: csrPem } }));
    const answer = await asking.got('renewed');
    asking.web.close();
    const mayWork = async (who: Credentials): Promise<string> => {
      const link = await openLink(portOf(line), who);
      link.web.send(hello(self));
      const verdict = await Promise.race([link.got('welcome').then(() => 'welcome'), link.closed]).catch(
        () => link.closed,
      );
      link.web.close();
      return verdict;
    };
    t.equal(await mayWork(old), 'welcome', 'the answer may have been lost');
    const cert = answer.kind === 'renewed' ? answer.value.certificate_pem : '';
    t.equal(await mayWork({ key: keyPem, cert }), 'welcome');
    t.equal(await mayWork(old), 'CERT_SUPERSEDED');

    line.clock.offsetMs = -4 * DAY;
    await line.join('half', { replace: true });
    line.clock.offsetMs = 0;
    const before = await keysOf(line, 'half');
    const renewed = next(line, 'half', { message: 'certificate renewed' });
    await line.agent('half');
    await renewed;
    t.not((await keysOf(line, 'half')).key, before.key);
    t.equal(await works(line, 'half'), 'done');
  });
});

t.test('who is who', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());

  await t.test('revoked: closed at once, refused afterwards, joined anew with a replacing token', async (t) => {
    const connected = next(line, 'bad', { message: 'connected to the controller' });
    await line.agent('bad');
    await connected;
    const closed = next(line, 'bad', { code: 'CERT_REVOKED', final: true });
    t.match(await line.client.revoke('bad'), { revoked: true });
    t.match((await closed).details, { remedy: /--replace/ });
    await line.agents.get('bad')?.stop();
    const refused = next(line, 'bad', { code: 'CERT_REVOKED', final: true });
    await line.agent('bad');
    await refused;
    await line.agents.get('bad')?.stop();
    const plan = planOf(['bad'], `        - {name: p, hosts: all, tasks: [{name: x, debug: y}]}\n`);
    const { view } = await line.apply(plan.replace('address:', 'ssh: {user: root}, address:'));
    t.match(view.nodes, [{ state: 'unreachable', error: { code: 'NODE_REVOKED' } }], 'a plan does not let it in again');
    await line.join('bad', { replace: true });
    await line.agent('bad');
    t.equal(await works(line, 'bad'), 'done');
  });

  await t.test('a copied disk: both are told apart, and nobody is kicked', async (t) => {
    const connected = next(line, 'n1', { message: 'connected to the controller' });
    await line.agent('n1');
    await connected;
    // Its status may be written just now: what is not in its place yet is no part of a copy.
    const lasting = (path: string): boolean => !path.endsWith('/lock') && !path.endsWith('.new');
    await cp(join(line.folder, 'n1'), join(line.folder, 'copy'), { recursive: true, filter: lasting });
    const held = next(line, 'copy', { code: 'DUPLICATE_IDENTITY', final: true });
    await line.agent('n1', { folder: 'copy', machineId: 'another machine' });
    t.match((await held).message, /Two machines use the certificate of node n1/);
    const [node] = (await line.client.nodes()).filter(({ name }) => name === 'n1');
    t.match(node, { held: /Two machines/ }, 'nodes shows it');
    t.notOk(line.said.some(({ who, message }) => who === 'n1' && message.startsWith('not connected')));
    const { run } = await line.client.exec({ selector: ['n1'], argv: ['true'] });
    t.match((await line.client.run(run)).nodes, [{ pending: 1, state: 'waiting' }], 'nothing new is given to either');
    await line.agents.get('copy')?.stop();
    await line.agents.get('n1')?.stop();
    await line.join('n1', { replace: true });
    await line.agent('n1');
    t.equal((await line.follow(run)).view.status, 'done', 'joined anew it is one machine again, and goes on');
    t.match(
      (await line.client.nodes()).find(({ name }) => name === 'n1'),
      { held: undefined },
      'alone again',
    );
    await line.agents.get('n1')?.stop();
  });

  await t.test('the same machine: the newest connection wins; an old boot that returns is a copy', async (t) => {
    const self = await selfOf('test');
    await line.join('n2');
    const dead = await openLink(portOf(line), await keysOf(line, 'n2'));
    dead.web.send(hello(self));
    await dead.got('welcome');
    await line.agent('n2');
    t.equal(await dead.closed, 'REPLACED');
    t.equal(await works(line, 'n2'), 'done');

    await line.join('n3');
    const boot = async (bootId: string): Promise<string> => {
      const link = await openLink(portOf(line), await keysOf(line, 'n3'));
      link.web.send(hello({ machineId: 'm', bootId }));
      const verdict = await Promise.race([link.got('welcome').then(() => 'welcome'), link.closed]).catch(
        () => link.closed,
      );
      link.web.close();
      await link.closed;
      return verdict;
    };
    t.same(
      [await boot('1'), await boot('2'), await boot('2'), await boot('1')],
      [...['welcome', 'welcome', 'welcome'], 'DUPLICATE_IDENTITY'],
    );
  });

  await t.test('clocks that disagree are told, with both times, on both sides', async (t) => {
    await line.join('behind');
    line.clock.offsetMs = -30 * DAY;
    const [onNode, onController] = [
      next(line, 'behind', { code: 'CLOCK_SKEW' }),
      next(line, '', { message: 'link refused', code: 'CLOCK_SKEW' }),
    ];
    await line.agent('behind');
    const both = /valid from \S+Z, this controller's clock says \S+Z/;
    t.match((await onNode).message, both);
    await onController;
    t.match(JSON.stringify((await onController).details), both);
    await line.agents.get('behind')?.stop();

    line.clock.offsetMs = 600_000;
    const apart = [next(line, 'behind', { code: 'CLOCK_SKEW' }), next(line, '', { code: 'CLOCK_SKEW' })];
    await line.agent('behind');
    for (const { message } of await Promise.all(apart)) {
      t.match(
        message,
        /clock of behind says \S+Z, the controller's \S+Z/,
        'also while the certificates still allow it',
      );
    }
    await line.agents.get('behind')?.stop();
    line.clock.offsetMs = 0;
  });

  await t.test('tokens that are no good say why', async (t) => {
    const { client, endpoint, folder } = line;
    const other = await startLine();
    t.teardown(() => other.close());
    const facts = { machineId: 'm', bootId: 'b' };
    const tryJoin = async (token: string, name: string, at = endpoint): Promise<string> => {
      const store = new IdentityStore(join(folder, 'tries', `${name}-${Math.random()}`));
      return enrol({ endpoint: at, token, name, facts, store, clock: Date.now }).then(
        (identity) => `joined ${identity.name}`,
        (error: { code: string; remedy: string }) => (error.remedy ? error.code : 'no remedy'),
      );
    };
    const make = async (wish: Partial<TokenBody> = {}): Promise<string> =>
      (await client.createToken({ ttlSeconds: 60, uses: 1, ...wish })).text;
    const once = await make();
    t.equal(await tryJoin(once, 'x1'), 'joined x1');
    t.equal(await tryJoin(once, 'x2'), 'TOKEN_USED');
    t.equal(await tryJoin(await make({ name: 'x2' }), 'x3'), 'TOKEN_NAME_MISMATCH');
    t.equal(await tryJoin(await make(), 'x1'), 'NAME_TAKEN', 'a known name with a new key');
    t.equal(await tryJoin(await make({ replace: 'x1' }), 'x1'), 'joined x1');
    t.equal(await tryJoin(await make(), 'Not A Name'), 'NODE_NAME_INVALID');
    t.equal(await tryJoin(await make({ names: 'w*' }), 'x4'), 'TOKEN_NAME_MISMATCH');
    t.equal(await tryJoin(await make({ cidrs: ['10.0.0.0/8'] }), 'x4'), 'TOKEN_ADDRESS_MISMATCH');
    t.equal(await tryJoin(await make({ cidrs: ['127.0.0.0/8'], groups: ['edge'] }), 'x9'), 'joined x9');
    t.match(
      (await client.nodes()).find(({ name }) => name === 'x9'),
      { groups: ['edge'] },
      'its token has put it there',
    );
    const late = await make();
    line.clock.offsetMs = 61_000;
    t.equal(await tryJoin(late, 'x4'), 'TOKEN_EXPIRED');
    line.clock.offsetMs = 0;
    const token = await make();
    t.equal(await tryJoin(token, 'x5', other.endpoint), 'CONTROLLER_FOREIGN', 'nothing is sent to a stranger');
    t.notOk(other.said.some(({ message }) => message === 'enrolment refused'));
    t.equal(await tryJoin(token, 'x5'), 'joined x5', 'so the token is still good');
    t.equal(await tryJoin(`${token.slice(0, -1)}?`, 'x6'), 'TOKEN_MALFORMED');

    await line.join('lost');
    const identity = JSON.parse(await readFile(identityPath(line, 'lost'), 'utf8')) as object;
    await writeFile(identityPath(line, 'lost'), JSON.stringify({ ...identity, endpoints: [other.endpoint] }));
    const foreign = next(line, 'lost', { code: 'CONTROLLER_FOREIGN' });
    await line.agent('lost');
    t.match((await foreign).details, { remedy: /Check the address/ });
    t.notOk(
      other.said.some(({ message }) => message.startsWith('link')),
      'the stranger was not even greeted',
    );
  });
});

t.test('agents that kk has not installed, and nodes that are forgotten', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  const { client } = line;
  await line.agent('n1');
  await line.heard(({ who, message }) => who === 'n1' && message === 'connected to the controller');
  const upgraded = client.upgrade({ selector: ['n1'] }, new AbortController().signal);
  for await (const told of upgraded)
    t.match(told, { result: 'failed', error: { code: 'AGENT_PACKAGE_MISSING', remedy: /package-agent/ } });
  await t.rejects(
    client.remove('n1', {}),
    { code: 'AGENT_NOT_INSTALLED' },
    'it runs from source: nothing to take away',
  );
  await t.rejects(client.remove('n2', {}), { code: 'NODE_UNKNOWN' });
  const { run } = await client.exec({ selector: ['n1'], argv: ['sleep', '60'] });
  await t.rejects(client.remove('n1', {}), { code: 'NODE_BUSY', message: new RegExp(run) });
  await client.cancel(run, {});
  await line.follow(run);
  await line.agents.get('n1')?.stop();
  await line.heard(({ who, message }) => who === '' && message === 'agent disconnected');
  await t.rejects(client.remove('n1', {}), { code: 'NODE_AWAY', remedy: /--force/ });
  t.match(await client.remove('n1', { force: true, by: 'ada' }), { node: 'n1', uninstalled: false });
  t.same(await client.nodes(), []);
  const refused = next(line, 'n1', { code: 'CERT_UNKNOWN_NODE', final: true });
  await line.agent('n1');
  await refused;
  await line.agents.get('n1')?.stop();
  await line.stopController();
  await line.startController();
  t.same(await client.nodes(), [], 'also after a restart');
});

t.test(
  'no run begins on a node whose agent is just being taken off, and none waits for one that has left',
  async (t) => {
    const line = await startLine();
    t.teardown(() => line.close());
    const { client } = line;
    /** An agent that kk has installed: it says that it leaves, and is gone when `leave` is called. */
    const installed = async (name: string) => {
      const installer = new FakeInstaller();
      const asked = new Promise<void>((resolve) => {
        installer.handle = ({ value: { id } }) => {
          installer.tell({ id, state: 'INSTALL_STATE_LEAVING' });
          resolve();
        };
      });
      const agent = await line.agent(name, { installer });
      await line.heard(({ who, message }) => who === name && message === 'connected to the controller');
      return { asked, leave: () => agent.stop() };
    };
    const one = await installed('n1');
    await installed('n2');
    const removal = client.remove('n1', {});
    await one.asked;
    const play = `        - {name: works, hosts: all, tasks: [{name: say, debug: well}]}\n`;
    const refused = { code: 'NODE_LEAVING', remedy: /all:!n1/ };
    await t.rejects(line.apply(planOf(['n1', 'n2'], play)), refused);
    await t.rejects(client.exec({ selector: ['all'], argv: ['true'] }), refused);
    await t.rejects(client.remove('n1', { force: true }), refused);
    t.equal(await works(line, 'n2'), 'done', 'the others are as before');
    await one.leave();
    t.match(await removal, { node: 'n1', uninstalled: true });
    const { run: onAll } = await client.exec({ selector: ['all'], argv: ['true'] });
    t.equal((await line.follow(onAll)).view.status, 'done', "who has left is in nobody's way");

    const again = await installed('n3');
    const { run } = await client.exec({
      selector: ['n3'],
      argv: ['sh', '-c', `while test -d ${line.folder}; do sleep 0.1; done`],
    });
    for await (const told of client.follow(run, { logs: false }, new AbortController().signal))
      if (told.type === 'begun') break;
    const forced = client.remove('n3', { force: true });
    await again.asked;
    await again.leave();
    t.match(await forced, { uninstalled: true });
    const { view, lines } = await line.follow(run);
    t.equal(view.status, 'failed', 'its run does not wait for the lease to end');
    t.match(JSON.stringify(lines), 'NODE_REMOVED');
  },
);

t.test('a join that a person approves, while the controller is started anew', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  const { client } = line;
  const { text, token } = await client.createToken({ ttlSeconds: 60, uses: 2, groups: ['edge'], approve: true });
  t.match(token, { approve: true, groups: ['edge'] });
  const store = new IdentityStore(join(line.folder, 'edge1', 'identity'));
  const { machineId, bootId } = await selfOf('test');
  const facts = { machineId, bootId, machine: await machineWord('test') };
  const input = { endpoint: line.endpoint, token: text, name: 'edge1', facts, store, clock: Date.now };
  const said: string[] = [];
  let naps = 0;
  const joined = joinPatiently(input, {
    say: (text) => said.push(text),
    random: () => 0,
    async sleep() {
      naps += 1;
      if (naps === 2) await line.stopController();
      if (naps === 4) await line.startController();
      if (naps !== 5) return;
      const waits = (await client.nodes()).find(({ name }) => name === 'edge1');
      t.match(waits, { connected: false, address: '127.0.0.1', pending: { state: 'pending', token: token.id } });
      t.match(waits?.pending?.machine, { version: 'test', arch: process.arch });
      t.match(said[1], waits?.pending?.fingerprint, 'both sides show the same key');
      const fingerprint = waits?.pending?.fingerprint ?? '';
      await t.rejects(
        client.approve('edge1', { fingerprint: 'SHA256:x' }),
        { code: 'JOIN_NOT_PENDING' },
        'another key',
      );
      t.match(await client.approve('edge1', { fingerprint, by: 'ada' }), { pending: { state: 'approved', by: 'ada' } });
    },
  });
  t.match(await joined, { name: 'edge1' });
  await line.agent('edge1');
  await line.heard(({ who, message }) => who === 'edge1' && message === 'connected to the controller');
  const { run } = await client.exec({ selector: ['edge'], argv: ['true'] });
  t.match((await line.follow(run)).view.nodes, [{ node: 'edge1', state: 'done' }], 'the group is one of the fleet');
  await t.rejects(client.approve('edge1', { fingerprint: '' }), { code: 'JOIN_NOT_PENDING' });
  const asked = line.said.filter(({ who, message }) => who === '' && message === 'join waits for approval');
  t.equal(asked.length, 1, 'the log is not filled by asking again');
  t.ok(line.said.some(({ message, details }) => message === 'join approved' && details['by'] === 'ada'));
});

t.test(
  'a controller that wants every join approved wants it also when it is started anew without a word',
  async (t) => {
    const options: { approve?: boolean | undefined } = { approve: true };
    const line = await startLine(options);
    t.teardown(() => line.close());
    const again = async (approve: boolean | undefined) => {
      options.approve = approve;
      await line.stopController();
      await line.startController();
    };
    await again(undefined);
    t.match(await line.client.status(), { approve: true });
    await t.rejects(line.join('n1'), { code: 'JOIN_PENDING' });
    await again(false);
    t.notMatch(await line.client.status(), { approve: true });
    await line.join('n2');
    t.match(
      (await line.client.nodes()).map(({ name, pending }) => [name, pending?.state]),
      [
        ['n2', undefined],
        ['n1', 'pending'],
      ],
    );
  },
);

t.test("a node whose clock is behind the controller's certificate says so", async (t) => {
  const line = await startLine({}, 10 * DAY);
  t.teardown(() => line.close());
  await line.join('n1');
  const told = next(line, 'n1', { code: 'CLOCK_SKEW' });
  await line.agent('n1');
  t.match((await told).message, /this node's clock says \S+Z, the controller's certificate is valid from \S+Z to \S+Z/);
  t.match((await told).details, { remedy: /Set the clock of this node/ });
});

t.test('an upgrade waits for agents that come back, and one that talks nonsense ends only its own', async (t) => {
  const manifest = {
    ...{ version: '2.0.0', arch: 'x64' as const, inputs: '' },
    ...{ binary: { sha256: '0'.repeat(64), size: 1 }, gz: { sha256: '1'.repeat(64), size: 1 } },
  };
  const installations = new Installations();
  const there = new Set(['odd', 'good']);
  const tell = (node: string, id: string, state: InstallState, error = new Uint8Array()): void => {
    const told: Installation = { release: '1.0.0-00000000', id, state, error };
    installations.heard(node, told);
  };
  const parts = {
    installations,
    manifests: [manifest],
    awaitMs: 60_000,
    nodes: { get: async () => ({ record: { arch: 'x64' } }) },
    fleet: {
      isConnected: (node: string) => there.has(node),
      send([node = '']: readonly string[], { value }: { value: { id: string } }) {
        const odd = node === 'odd';
        const end = () => tell(node, value.id, odd ? 'INSTALL_STATE_REFUSED' : 'INSTALL_STATE_DONE', Buffer.from('{'));
        tell(node, value.id, 'INSTALL_STATE_FETCHING');
        setImmediate(end);
      },
    },
  } as unknown as Parameters<typeof upgradeNodes>[0];
  const ended: Record<string, UpgradeLine> = {};
  const wish = { batch: 10, limitSeconds: 60 };
  for await (const line of upgradeNodes(parts, ['odd', 'good', 'late'], wish, new AbortController().signal)) {
    if (line.phase === 'away: waited for') {
      there.add(line.node);
      tell(line.node, '', 'INSTALL_STATE_UNSPECIFIED');
    }
    if (line.done) ended[line.node] = line;
  }
  t.match(ended, {
    odd: { result: 'failed', error: { code: 'REPORT_MALFORMED', node: 'odd' } },
    good: { result: 'upgraded' },
    late: { result: 'upgraded' },
  });
});
