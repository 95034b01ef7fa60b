import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { cloudConfig } from '../../controller/bootstrap/cloud-init.ts';
import { joinCommand, joinCommandWget, renderJoinScript } from '../../controller/bootstrap/join-script.ts';
import { parseErrorText } from '../../shared/error-text.ts';
import { controllerStandIn, standInAgent } from '../support/agent-stand-in.ts';
import { noSpareMachine, SpareMachine } from '../support/spare-machine.ts';

/** Of no other test: what runs beside this one is looked through for it. */
const SECRET = 'joinScript'.padEnd(43, 'S');
const TOKEN = `kk1.${'0'.repeat(16)}.${SECRET}.${'a'.repeat(64)}`;
const PIN = `${'A'.repeat(43)}=`;

t.test('the line and the script hold values, never more than values', async (t) => {
  const endpoint = 'https://10.0.0.1:7443';
  t.equal(
    joinCommand({ endpoint, pin: PIN, token: TOKEN, name: 'n1' }),
    `curl -fsS -k --noproxy '*' --pinnedpubkey sha256//${PIN} ${endpoint}/join.sh | KK_JOIN_TOKEN=${TOKEN} KK_NODE_NAME=n1 sh`,
  );
  t.match(joinCommand({ endpoint, pin: PIN, name: 'n1', replace: true }), / \| KK_NODE_NAME=n1 KK_REPLACE=1 sh$/);
  t.match(joinCommand({ endpoint, pin: PIN }), /\| sh$/, 'without a token the script asks');
  for (const bad of ['http://a:1', 'https://a', "https://a';id;':1", 'https://a:1/x', 'https://$(id):1']) {
    t.throws(() => renderJoinScript({ endpoints: [bad], pin: PIN, agents: [] }), bad);
    t.throws(() => joinCommand({ endpoint: bad, pin: PIN }), bad);
  }
  t.throws(() => renderJoinScript({ endpoints: [endpoint], pin: "'$(id)'", agents: [] }));
  t.throws(() => joinCommand({ endpoint, pin: PIN, name: 'n;id' }));
});

t.test('user-data joins a machine without a person, and the token is in a file of root alone', async (t) => {
  const data = cloudConfig({ endpoint: 'https://10.0.0.1:7443', pin: PIN, token: TOKEN, name: 'n1' });
  t.match(data, /^#cloud-config\n/);
  const config = parse(data) as {
    write_files: { path: string; permissions: string; content: string }[];
    runcmd: string[][];
  };
  const holding = config.write_files.filter(({ content }) => content.includes(TOKEN));
  t.match(holding, [{ path: '/etc/kk-join/token', permissions: '0600', content: `${TOKEN}\n` }]);
  t.equal(holding.length, 1);
  t.notMatch(JSON.stringify(config.runcmd), TOKEN);
  const script = config.write_files.find(({ path }) => path.endsWith('join.sh'))?.content ?? '';
  t.equal(spawnSync('sh', ['-n'], { input: script }).status, 0);
  t.match(script, `--pinnedpubkey sha256//${PIN} https://10.0.0.1:7443/join.sh`);
  t.match(script, 'KK_NODE_NAME=n1 sh');
});

t.test('a machine joins by the line', { skip: noSpareMachine() }, async (t) => {
  const top = t.testdir({ agent: {}, machine: {} });
  const folder = `${top}/agent`;
  const agent = standInAgent(folder);
  const controller = await controllerStandIn(agent, () => script);
  t.teardown(controller.close);
  const { endpoint, pin } = controller;
  const agents = [agent.manifest];
  let script = renderJoinScript({ endpoints: [endpoint], pin, agents });
  const machine = new SpareMachine(`${top}/machine`);
  const line = joinCommand({ endpoint, pin, token: TOKEN, name: 'n1' });
  const proxied = { https_proxy: 'http://127.0.0.1:9', HTTPS_PROXY: 'http://127.0.0.1:9' };

  const first = await machine.sh(line, proxied);
  t.equal(first.code, 0, first.stderr);
  t.same(agent.heard().args, ['--name', 'n1', '--token-stdin', '--endpoint', endpoint, '--endpoint', endpoint]);
  t.equal(agent.heard().stdin, `${TOKEN}\n`, 'the agent gets the token on stdin');
  const asSeen = agent.heard().processes.replaceAll(line, '').replaceAll(JSON.stringify(line), '');
  t.notOk(asSeen.includes(SECRET), 'and nobody sees it in an argument or environment');
  t.match(controller.requests, ['/join.sh', '/join.sh', `/agent/${agent.manifest.gz.sha256}`]);

  controller.requests.length = 0;
  const again = await machine.sh(joinCommand({ endpoint, pin }));
  t.equal(again.code, 0, 'a second time, without a token: the agent knows whether it is needed');
  t.notMatch(agent.heard().args, ['--token-stdin']);
  t.same(controller.requests, ['/join.sh', '/join.sh'], 'an agent that is there is not fetched again');
  t.same(
    (await machine.sh('ls -A /usr/local/lib/kk-agent')).stdout.trim().split('\n'),
    ['1', 'current'],
    'no leavings',
  );

  const other = await machine.sh(joinCommand({ endpoint, pin: PIN, token: TOKEN }));
  t.match(other.stderr, /pinned/, 'another key than the pinned one: nothing is run');

  const failure = async (change: { values?: object; line?: string; shell?: string } = {}) => {
    script = renderJoinScript({ endpoints: [endpoint], pin, agents, ...change.values });
    const ran = await machine.sh(change.line ?? line, {}, change.shell);
    return parseErrorText(ran.stderr) ?? ran;
  };
  const cases: [name: string, body: string, expected: object][] = [
    ['id', 'echo 1000', { code: 'NOT_ROOT', remedy: /sudo/ }],
    ['uname', '[ "$1" = -s ] && echo FreeBSD', { code: 'OS_UNSUPPORTED' }],
    ['uname', '[ "$1" = -s ] && echo Linux || echo riscv64', { code: 'ARCH_UNSUPPORTED', message: /riscv64/ }],
    ['getconf', '[ "$1" = LONG_BIT ] && echo 64 || echo glibc 2.17', { code: 'LIBC_OLD', message: /2\.17/ }],
    ['df', "printf 'x\\n/dev/x 9 9 40960 9%% /\\n'", { code: 'DISK_FULL', message: /40 MB free/ }],
    ['gzip', 'echo no space >&2; exit 1', { code: 'DISK_FULL', evidence: /no space/ }],
  ];
  await machine.sh('rm -r /usr/local/lib/kk-agent');
  for (const [name, body, expected] of cases) {
    machine.program(name, body);
    t.match(await failure(), expected, `${name}: ${body}`);
    await machine.sh(`rm ${machine.bin}/${name}`);
  }
  machine.program('getconf', 'exit 1');
  machine.program('ldd', 'echo "musl libc (x86_64)" >&2; exit 1');
  t.match(await failure(), { code: 'LIBC_MUSL' });
  machine.program('ldd', 'echo "ldd (GNU libc) 2.26"');
  t.match(await failure(), { code: 'LIBC_OLD', message: /2\.26/ }, 'without getconf ldd tells');
  await machine.sh(`rm ${machine.bin}/getconf ${machine.bin}/ldd`);
  await machine.sh('rmdir /run/systemd/system');
  t.match(await failure(), { code: 'NO_SYSTEMD' });
  await machine.sh('mkdir /run/systemd/system');

  for (const offset of [-400_000, 400_000]) {
    controller.clock.offset = offset;
    const word = offset < 0 ? /(399|400|401) seconds ahead/ : /(399|400|401) seconds behind/;
    t.match(await failure(), { code: 'CLOCK_SKEW', message: word });
  }
  controller.clock.offset = 0;

  const damaged = { ...agent.manifest, gz: { ...agent.manifest.gz, sha256: 'f'.repeat(64) } };
  t.match(await failure({ values: { agents: [damaged] } }), { code: 'AGENT_FETCH_FAILED', evidence: /404/ });
  t.match(await failure({ values: { agents: [] } }), { code: 'ARCH_UNSUPPORTED', remedy: /--arch/ });
  const wrong = 'https://127.0.0.1:9';
  t.match(await failure({ values: { endpoints: [wrong] } }), {
    code: 'CONTROLLER_UNREACHABLE',
    evidence: /127\.0\.0\.1:9/,
  });
  t.equal(
    ((await failure({ values: { endpoints: [wrong, endpoint] } })) as { code: number }).code,
    0,
    'the next endpoint',
  );
  await machine.sh('rm -r /usr/local/lib/kk-agent');
  t.match(await failure({ line: joinCommand({ endpoint, pin }) }), { code: 'TOKEN_MISSING' }, 'no token, no terminal');
  t.same((await machine.sh('ls -A /usr/local/lib/kk-agent')).stdout, '', 'a try that failed leaves nothing');

  const file = `${folder}/join.sh`;
  writeFileSync(file, renderJoinScript({ endpoints: [endpoint], pin, agents }));
  const tools =
    'id uname getconf gzip sha256sum df mktemp sed tail tr rm mkdir chmod date dirname grep cat cp mv ln ls find sh wget ldd';
  const only = `d=$(mktemp -d ${folder}/tools.XXXX); for p in ${tools} systemctl; do ln -s "$(command -v $p)" $d; done; PATH=$d;`;
  const withWget = await failure({ line: `${only} KK_JOIN_TOKEN=${TOKEN} KK_NODE_NAME=n2 sh ${file}` });
  t.match(withWget, { code: 0 }, 'GNU wget does as well');
  t.match(agent.heard().args, ['--name', 'n2']);
  t.match(await failure({ line: `${only} rm $d/wget; KK_JOIN_TOKEN=x sh ${file}` }), { code: 'CURL_MISSING' });
  machine.program('wget', 'echo BusyBox >&2; exit 1');
  t.match(await failure({ line: `${only} KK_JOIN_TOKEN=x sh ${file}` }), {
    code: 'CURL_MISSING',
    message: /not GNU wget/,
  });
  await machine.sh(`rm -r ${machine.bin}/wget /usr/local/lib/kk-agent`);
  const byWget = joinCommandWget({ endpoint, pin, token: TOKEN, name: 'n3' });
  t.match(await failure({ line: byWget, shell: 'bash' }), { code: 0 }, 'the wget line');
});
