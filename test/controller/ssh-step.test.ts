import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import t from 'tap';
import { remoteCommand, sshArguments } from '../../controller/bootstrap/ssh-command.ts';
import { classifySshFailure } from '../../controller/bootstrap/ssh-errors.ts';
import { type BootstrapInput, bootstrapNode } from '../../controller/bootstrap/ssh-step.ts';
import { Bootstrapper, type BootstrapperParts, type Bringable } from '../../controller/operations/bootstrapper.ts';
import type { SshSettings } from '../../controller/plan/types.ts';
import { errorText, parseErrorText } from '../../shared/error-text.ts';
import { controllerStandIn, standInAgent } from '../support/agent-stand-in.ts';
import { SpareMachine } from '../support/spare-machine.ts';
import { freePort, noSpareSshd, spareSshd, sshKey } from '../support/spare-sshd.ts';

const SSH: SshSettings = { host: 'h', port: 22, user: 'root', hostKeys: 'accept-new', connectTimeout: 10 };
/** Of no other test: what runs beside this one is looked through for it. */
const SECRET = 'sshStep'.padEnd(43, 'S');
const TOKEN = `kk1.${'0'.repeat(16)}.${SECRET}.${'a'.repeat(64)}`;

t.test('every failure has its code', async (t) => {
  const seen = { code: 255, ready: false, noSudo: false, passwordRefused: false };
  const cases: [stderr: string, code: string, change?: object][] = [
    ['ssh: connect to host h port 22: Connection refused', 'SSH_REFUSED'],
    ['ssh: connect to host h port 22: Connection timed out', 'SSH_UNREACHABLE'],
    ['ssh: connect to host h port 22: No route to host', 'SSH_UNREACHABLE'],
    ['ssh: Could not resolve hostname h: Name or service not known', 'SSH_UNREACHABLE'],
    ['Connection timed out during banner exchange', 'SSH_UNREACHABLE'],
    ['kex_exchange_identification: read: Connection reset by peer', 'SSH_REFUSED'],
    ['No ED25519 host key is known for h and you have requested strict checking.', 'SSH_HOST_KEY_UNKNOWN'],
    ['@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.', 'SSH_HOST_KEY_CHANGED'],
    ['root@h: Permission denied (publickey).', 'SSH_AUTH_FAILED'],
    ['Received disconnect from h: Too many authentication failures', 'SSH_AUTH_FAILED'],
    ['no matching host key type found. Their offer: ssh-dss', 'SSH_NO_COMMON_ALGORITHM'],
    ['sudo: 1 incorrect password attempt', 'SUDO_PASSWORD_WRONG', { code: 1 }],
    ['ops is not in the sudoers file.', 'SUDO_DENIED', { code: 1 }],
    ['sudo: sorry, you must have a tty to run sudo', 'SUDO_DENIED', { code: 1 }],
    ['sudo: no password was provided', 'SUDO_PASSWORD_MISSING', { code: 1 }],
    ['', 'SUDO_MISSING', { code: 1, noSudo: true }],
    ['Timeout, server h not responding.', 'SSH_CONNECTION_LOST', { ready: true }],
    ['This account is currently not available.', 'BOOTSTRAP_FAILED', { code: 1 }],
    ['curl: (7) Connection refused', 'BOOTSTRAP_FAILED', { code: 1, ready: true }],
    ['kk: LIBC_OLD: glibc 2.17\n  do: Update.', 'LIBC_OLD', { code: 1, ready: true }],
  ];
  for (const [stderr, code, change] of cases) {
    const report = classifySshFailure({ ...seen, stderr, ...change }, SSH, 'n1');
    t.match(report, { code, node: 'n1', remedy: /.{7}/ }, stderr);
  }
  const key = { ...SSH, privateKeyFile: '/k' };
  const bad =
    'Permissions 0644 for /k are too open. UNPROTECTED PRIVATE KEY FILE\nroot@h: Permission denied (publickey).';
  t.match(classifySshFailure({ ...seen, stderr: bad }, key, 'n1').remedy, 'chmod 600 /k');
  const report = { code: 'X_Y', message: 'what', remedy: 'this', evidence: 'one\ntwo' };
  t.same(parseErrorText(`noise\n${errorText(report)}more noise`), report, 'a report survives as text');
});

t.test('the command line suits every login shell', async (t) => {
  for (const user of ['root', 'ops']) t.notMatch(remoteCommand(user).replaceAll(/'[^']*'/g, ''), /[!;&|(){}]/);
  const args = sshArguments({ ...SSH, passwordFile: '/p', jump: 'j', host: '-oProxyCommand=id' });
  t.equal(args.at(-3), '--', 'a host is never an option');
  t.match(args.join(' '), /-J j .*-l root/);
});

t.test('a node gets its agent', { skip: noSpareSshd() }, async (t) => {
  const top = t.testdir({ agent: {}, machine: {}, sshd: {} });
  const agent = standInAgent(`${top}/agent`);
  const controller = await controllerStandIn(agent, () => 'script');
  t.teardown(controller.close);
  const machine = new SpareMachine(`${top}/machine`);
  const sshd = await spareSshd(machine, `${top}/sshd`, [
    { name: 'asks', uid: 4001, password: 'open sesame', sudo: 'ALL=(ALL) ALL' },
    { name: 'free', uid: 4002, password: 'open sesame', sudo: 'ALL=(ALL) NOPASSWD: ALL' },
    { name: 'nobody2', uid: 4003, password: 'open sesame' },
  ]);
  t.teardown(sshd.stop);
  const file = (name: string, text: string): string => {
    writeFileSync(`${top}/${name}`, text, { mode: 0o600 });
    return `${top}/${name}`;
  };
  const right = file('right', 'open sesame\n');
  const wrong = file('wrong', 'close sesame\n');
  const root: SshSettings = {
    ...SSH,
    host: '127.0.0.1',
    port: sshd.port,
    privateKeyFile: sshd.id,
    knownHostsFile: `${top}/known hosts`,
  };
  const { privateKeyFile: _, ...byPassword } = root;
  const said: string[] = [];
  const boot = async (ssh: SshSettings = root, change: Partial<BootstrapInput> = {}) => {
    const result = await bootstrapNode({
      name: 'n1',
      ssh,
      token: TOKEN,
      port: controller.port,
      endpoints: [],
      pin: controller.pin,
      agents: [agent],
      environment: { PATH: '/usr/bin:/bin' },
      clock: Date.now,
      onProgress: (line) => said.push(line),
      ...change,
    });
    t.notOk(
      JSON.stringify(result).includes('sesame') || JSON.stringify(result).includes(TOKEN),
      'no secret comes back',
    );
    return result.ok ? result : result.error;
  };
  const forget = () => machine.sh('rm -rf /usr/local/lib/kk-agent');

  t.match(await boot({ ...root, hostKeys: 'strict' }), { code: 'SSH_HOST_KEY_UNKNOWN', remedy: /ssh-keyscan/ });
  t.same(await boot(), { ok: true, address: '127.0.0.1' });
  t.same(agent.heard().args.slice(0, 3), ['--name', 'n1', '--rejoin']);
  t.match(agent.heard().args, ['--name', 'n1', '--rejoin', '--token-stdin', '--endpoint', controller.endpoint]);
  t.equal(agent.heard().stdin, `${TOKEN}\n`);
  t.notOk(agent.heard().processes.includes(SECRET), "the token is in nobody's argument or environment");
  t.match(controller.requests, ['/join.sh', `/agent/${agent.manifest.gz.sha256}`], 'the node fetched the agent itself');
  t.equal(sshd.log().match(/Accepted/g)?.length, 1, 'by one login');
  t.ok(said.includes('connected'));

  await forget();
  machine.program('curl', 'exit 35');
  t.match(await boot({ ...root, hostKeys: 'strict' }), { ok: true });
  t.ok(
    said.some((line) => /over ssh/.test(line)),
    'a node that cannot fetch gets it over the same connection',
  );
  machine.program('curl', 'echo "curl: (7) refused" >&2; exit 7');
  t.match(await boot(), { code: 'CONTROLLER_UNREACHABLE', evidence: /refused/, node: 'n1' });
  await machine.sh(`rm ${machine.bin}/curl`);

  t.match(await boot({ ...root, user: 'free' }), { ok: true }, 'sudo that does not ask');
  const asks = { ...byPassword, user: 'asks', passwordFile: right };
  t.match(await boot(asks), { ok: true }, 'login and sudo by password');
  t.notOk(agent.heard().processes.includes('sesame'), "the password is in nobody's argument or environment");
  t.match(await boot({ ...asks, passwordFile: wrong }), { code: 'SSH_AUTH_FAILED', remedy: /wrong/ });
  t.match(
    await boot({ ...root, user: 'asks', sudoPasswordFile: right }),
    { ok: true },
    'login by key, sudo by password',
  );
  t.match(await boot({ ...root, user: 'asks', sudoPasswordFile: wrong }), {
    code: 'SUDO_PASSWORD_WRONG',
    remedy: /wrong/,
  });
  t.match(await boot({ ...root, user: 'asks' }), { code: 'SUDO_PASSWORD_MISSING' });
  t.match(await boot({ ...root, user: 'nobody2', sudoPasswordFile: right }), { code: 'SUDO_DENIED' });
  t.match(await boot({ ...root, sudoPasswordFile: `${top}/none`, user: 'asks' }), {
    code: 'PASSWORD_FILE',
    message: /none/,
  });

  t.match(await boot(root, { clock: () => Date.now() - 1_000_000 }), { code: 'CLOCK_SKEW' });
  await machine.sh('rmdir /run/systemd/system');
  t.match(await boot(), { code: 'NO_SYSTEMD' });
  await machine.sh('mkdir /run/systemd/system');
  const refusing = standInAgent(`${top}/sshd`, 'printf "kk: TOKEN_USED: used\\n  do: another\\n" >&2; exit 1');
  machine.program('curl', 'exit 35');
  t.match(
    await boot(root, { agents: [refusing] }),
    { code: 'TOKEN_USED', remedy: 'another' },
    "the agent's own refusal",
  );

  const stranger = sshKey(`${top}/stranger`);
  t.match(await boot({ ...root, privateKeyFile: stranger }), { code: 'SSH_AUTH_FAILED', remedy: /authorized_keys/ });
  const broken = file('broken', '');
  t.match(await boot({ ...root, privateKeyFile: broken }), { code: 'SSH_AUTH_FAILED', remedy: /private key/ });
  chmodSync(sshd.id, 0o644);
  t.match(await boot(), { code: 'SSH_AUTH_FAILED', remedy: /chmod 600/ });
  chmodSync(sshd.id, 0o600);
  t.match(await boot({ ...root, port: await freePort() }), { code: 'SSH_REFUSED' });
  const mute = createServer();
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  const { port } = mute.address() as { port: number };
  t.match(await boot({ ...root, port, connectTimeout: 1 }), { code: 'SSH_UNREACHABLE' });
  t.match(await boot({ ...root, port }, { signal: AbortSignal.abort() }), { code: 'CANCELLED' });
  mute.close();
  t.match(await boot(root, { environment: { PATH: top } }), { code: 'SSH_CLIENT_MISSING' });
  await sshd.newHostKey();
  t.match(await boot(), { code: 'SSH_HOST_KEY_CHANGED', remedy: /ssh-keygen -R/ });
});

/** `KK_NODES=200 npm test -- test/controller/ssh-step.test.ts` measures a fleet (docs/bench.md). */
const NODES = Number(process.env['KK_NODES'] ?? 4);

t.test('many nodes get theirs at once, each from an sshd of its own', { skip: noSpareSshd() }, async (t) => {
  const top = t.testdir({ agent: {}, packages: { 'linux-x64': {} } });
  const agent = standInAgent(`${top}/agent`, `touch ${top}/joined-$2`);
  copyFileSync(agent.gzPath, `${top}/packages/linux-x64/kk-agent.gz`);
  writeFileSync(`${top}/packages/linux-x64/manifest.json`, JSON.stringify(agent.manifest));
  const controller = await controllerStandIn(agent, () => 'script');
  t.teardown(controller.close);
  const nodes: Bringable[] = [];
  for (let index = 1; index <= NODES; index += 1) {
    const folder = `${top}/sshd-${index}`;
    mkdirSync(folder);
    const sshd = await spareSshd(new SpareMachine(`${top}/machine-${index}`), folder, []);
    t.teardown(sshd.stop);
    const key = { privateKeyFile: sshd.id, knownHostsFile: `${folder}/known` };
    nodes.push({ name: `n${index}`, ssh: { ...SSH, ...key, host: '127.0.0.1', port: sshd.port } });
  }
  const bootstrapper = new Bootstrapper({
    authority: { caHash: 'a'.repeat(64), controllerKeyPin: controller.pin },
    ledger: { node: () => undefined },
    tokens: { add: async () => {}, remove: async () => true },
    dispatcher: { isConnected: (node: string) => existsSync(`${top}/joined-${node}`) },
    clock: { nowMs: Date.now, monotonicMs: () => performance.now() },
    random: randomBytes,
    agentFolder: `${top}/packages`,
    port: () => controller.port,
    endpoints: () => [controller.endpoint],
    environment: { PATH: '/usr/bin:/bin' },
  } as unknown as BootstrapperParts);
  const ended = new Map<string, unknown>();
  const begun = performance.now();
  await bootstrapper.bring(
    nodes,
    { phase: () => {}, done: (node, error) => ended.set(node, error) },
    new AbortController().signal,
  );
  t.comment(`${NODES} nodes in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  t.same(
    [...ended].filter(([, error]) => error !== undefined),
    [],
  );
  t.equal(ended.size, NODES);
  const fetched = controller.requests.filter((path) => path.startsWith('/agent/'));
  t.equal(fetched.length, NODES, 'each fetched its agent itself');
});
