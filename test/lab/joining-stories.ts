import { dirname, join as joinPath } from 'node:path';
import type { Test } from 'tap';
import { parse } from 'yaml';
import type { UpgradeLine } from '../../controller/cli/client.ts';
import { cut, join } from '../../scripts/lab/api.ts';
import { until } from '../../scripts/lab/commands.ts';
import { packageAgent } from '../../scripts/package-agent.ts';
import type { Fleet } from './fleet.ts';
import { measured, story } from './story.ts';

const LIBRARY = '/usr/local/lib/kk-agent';
const PENDING = '/var/lib/kk-agent/upgrade/pending.json';

/** A package of its own digest, as the controller finds it. */
async function variant(fleet: Fleet, name: 'other' | 'broken'): Promise<string> {
  const folder = joinPath(fleet.path('agents'), name, `linux-${process.arch}`);
  const entry = joinPath(import.meta.dirname, `../fixtures/agents/${name}.ts`);
  await packageAgent({ entry, folder, arch: process.arch === 'arm64' ? 'arm64' : 'x64' });
  return dirname(folder);
}

const releaseOn = async (fleet: Fleet, node: string): Promise<string> =>
  (await fleet.on(node, `readlink ${LIBRARY}/current`)).trim();

const lastLines = (stdout: string): UpgradeLine[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as UpgradeLine)
    .filter(({ done }) => done);

/** Everything on the node that is not log, memory or a running system's own. */
const FOOTPRINT = `find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/log -o -path /var/tmp \
  -o -path /root -o -path /run \\) -prune -o -print | sort
find /run/kk* /run/systemd/system/kk* /sys/fs/cgroup -name '*kk-agent*' 2>/dev/null | sort
systemctl list-units --all --no-legend --plain 'kk-*'; systemctl list-unit-files --no-legend 'kk-*'
ps -eo args | grep kk-agent | grep -v grep; true`;

/** The controller hears that the agent goes; the rest happens on the node alone. */
const hasLeft = (fleet: Fleet, node: string): Promise<boolean> =>
  fleet.eventually(node, `! systemctl is-active -q kk-agent-uninstall && test ! -e ${LIBRARY}`);

/** How agents come, are replaced, and go. Needs a controller, and `node` without an agent. */
export async function joiningStories(t: Test, fleet: Fleet, [one, two]: readonly [string, string]): Promise<void> {
  const both = `${one},${two}`;
  const [other, broken] = [await variant(fleet, 'other'), await variant(fleet, 'broken')];

  const bare = await fleet.on(two, FOOTPRINT);
  await story(t, 'a machine waits until a person lets it in', async (t) => {
    const joining = fleet.try(two, await fleet.joinLine('--approve', '--groups', 'edge', '--name', two));
    const waits = async (): Promise<boolean> => (await fleet.kk('nodes')).stdout.includes(`${two}  pending`);
    t.ok(await until(waits, 60_000, 250));
    const [node] = (await fleet.nodes()).filter(({ name }) => name === two);
    t.match(node, { address: fleet.addressOf(two), pending: { machine: { hostname: two, os: /Debian/ } } });
    await fleet.serveAgents(undefined);
    t.equal((await fleet.kk('nodes', 'approve', two)).code, 0);
    const { code, stderr } = await joining;
    t.equal(code, 0, stderr);
    t.match(stderr, `kk: waiting for approval. On the controller: kk-controller nodes approve ${two}`);
    t.match(stderr, node?.pending?.fingerprint, 'the machine shows the same key');
    t.ok(await until(() => fleet.connected(two), 30_000, 250));
    t.equal((await fleet.kk('exec', 'edge', '--', 'true')).code, 0, 'in the group of its token');
  });

  await story(t, 'agents are upgraded while a command runs', async (t) => {
    const joined = await fleet.try(one, await fleet.joinLine('--name', one));
    t.equal(joined.code, 0, joined.stderr);
    t.ok(await until(async () => (await fleet.connected(one)) && (await fleet.connected(two)), 30_000, 250));
    const before = await releaseOn(fleet, one);
    const log = '/var/lib/kk-upgraded.log';
    const shell = `echo begun >> ${log}; until [ -e ${log}.go ]; do sleep 0.2; done; echo ended >> ${log}`;
    const plan = await fleet.commandPlan('upgraded.yaml', [one], shell);
    await fleet.serveAgents(other);
    t.ok(await until(async () => (await fleet.connected(one)) && (await fleet.connected(two)), 30_000, 250));
    const applying = fleet.apply(plan);
    t.ok(await fleet.eventually(one, `grep begun ${log}`));
    const began = performance.now();
    const { code, stdout, stderr } = await fleet.kk('nodes', 'upgrade', both);
    measured(t, `two agents: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    t.equal(code, 0, stderr + stdout);
    t.match(stdout, 'Done: 2 agents upgraded');
    t.not(await releaseOn(fleet, one), before);
    await fleet.on(one, `touch ${log}.go`);
    const { run } = await applying;
    t.equal(run.status, 'done');
    t.equal(await fleet.on(one, `cat ${log}`), 'begun\nended\n', 'it ran once');
    t.match((await fleet.kk('nodes', 'upgrade', both)).stdout, 'Done: 0 agents upgraded, 2 had the newest.');
    const left = await fleet.on(one, `ls -A ${LIBRARY}; test ! -e ${PENDING}`);
    t.same(left.trim().split('\n').sort(), [before, await releaseOn(fleet, one), 'current', 'guard'].sort());
  });

  await story(
    t,
    'an agent that does not come to work is taken back by the node itself; the next is not begun',
    async (t) => {
      const before = await releaseOn(fleet, one);
      await fleet.serveAgents(broken);
      t.ok(await until(async () => (await fleet.connected(one)) && (await fleet.connected(two)), 30_000, 250));
      const began = performance.now();
      const { code, stdout } = await fleet.kk('nodes', 'upgrade', both, '--batch', '1', '--limit', '8s', '-o', 'json');
      measured(t, `found out and taken back: ${((performance.now() - began) / 1000).toFixed(1)} s`);
      t.equal(code, 3);
      t.match(lastLines(stdout), [
        {
          node: one,
          result: 'failed',
          error: { code: 'UPGRADE_NOT_CONNECTED', remedy: /is back/, evidence: /exited|status=1/ },
        },
        { node: two, result: 'left' },
      ]);
      t.equal(await releaseOn(fleet, one), before);
      t.equal((await fleet.kk('exec', one, '--', 'true')).code, 0, 'the agent of before works');
      t.equal((await fleet.on(one, `ls ${LIBRARY} | wc -l`)).trim(), '3', 'the broken one is gone');
    },
  );

  await story(t, 'a node that loses its controller in an upgrade goes back, too', async (t) => {
    const before = await releaseOn(fleet, one);
    await fleet.serveAgents(undefined);
    t.ok(await until(() => fleet.connected(one), 30_000, 250));
    const upgrading = fleet.kk('nodes', 'upgrade', one, '--limit', '8s', '-o', 'json');
    t.ok(await fleet.eventually(one, `test -e ${PENDING}`));
    await cut(fleet.name, one);
    t.ok(await fleet.eventually(one, `test ! -e ${PENDING}`, 60_000), 'it came to a decision without a controller');
    t.equal(await releaseOn(fleet, one), before);
    await join(fleet.name, one);
    t.match(lastLines((await upgrading).stdout), [{ node: one, error: { code: 'UPGRADE_NOT_CONNECTED' } }]);
  });

  await story(t, 'a removed node is as it was before it joined', async (t) => {
    t.ok(await until(() => fleet.connected(two), 30_000, 250));
    const lasting = await fleet.kk('exec', two, '--', 'nohup sleep 4711 >/dev/null 2>&1 & echo begun');
    t.match(lasting.stdout, 'begun');
    const { code, stdout, stderr } = await fleet.kk('nodes', 'remove', two);
    t.equal(code, 0, stderr);
    t.match(stdout, 'its agent has left');
    t.ok(await hasLeft(fleet, two));
    t.equal(await fleet.on(two, FOOTPRINT), bare);
    t.equal((await fleet.try(two, 'pgrep -f "[s]leep 4711"')).code, 1, 'what its commands had left running is ended');
    t.notOk((await fleet.nodes()).some(({ name }) => name === two));
    const again = await fleet.try(two, await fleet.joinLine('--name', two));
    t.equal(again.code, 0, again.stderr);
    await fleet.on(two, 'kk-agent uninstall --yes');
    t.equal(await fleet.on(two, FOOTPRINT), bare, 'also by hand');
    t.match((await fleet.kk('nodes', 'remove', two)).stderr, 'NODE_AWAY');
    t.equal((await fleet.kk('nodes', 'remove', two, '--force')).code, 0);
  });

  await story(t, 'a machine joins by its user-data, again and again until it is let in', async (t) => {
    const { stdout } = await fleet.kk('join-command', '--cloud-init', '--endpoint', fleet.endpoint);
    const config = parse(stdout) as {
      write_files: { path: string; permissions: string; content: string }[];
      runcmd: string[][];
    };
    await fleet.endController('SIGTERM');
    // What cloud-init does at a first boot.
    for (const { path, permissions, content } of config.write_files) {
      const text = Buffer.from(content).toString('base64');
      await fleet.on(
        two,
        `mkdir -p $(dirname ${path}); echo ${text} | base64 -d > ${path}; chmod ${permissions} ${path}`,
      );
    }
    for (const argv of config.runcmd) await fleet.on(two, argv.join(' '));
    t.ok(await fleet.eventually(two, 'journalctl -u kk-join | grep -q "Main process exited"'), 'nobody is there yet');
    await fleet.serve();
    t.ok(await until(() => fleet.connected(two), 60_000, 500), 'it has joined under its host name');
    t.ok(await fleet.eventually(two, 'test ! -e /etc/kk-join && test ! -e /etc/systemd/system/kk-join.service'));
    t.equal((await fleet.kk('nodes', 'remove', two)).code, 0);
    t.ok(await hasLeft(fleet, two));
    t.equal(await fleet.on(two, FOOTPRINT), bare, 'user-data leaves nothing either');
  });
}
