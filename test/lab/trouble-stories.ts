import type { Test } from 'tap';
import { parseErrorText } from '../../shared/error-text.ts';
import type { Fleet } from './fleet.ts';
import { logins } from './line-stories.ts';
import { measured, story } from './story.ts';

const NODE = 'node4';
const LIBRARY = '/usr/local/lib/kk-agent';

/** What goes wrong on the way to a node: each is told by its code, with what to do. */
export async function troubleStories(t: Test, fleet: Fleet): Promise<void> {
  const address = fleet.addressOf(NODE);
  const right = { user: 'ops', password_file: fleet.path('ops-password'), known_hosts_file: fleet.path('known_hosts') };
  let plans = 0;

  /** Bootstraps node4 with these settings; gives the error it ends with. */
  const bootstrap = async (ssh: Record<string, unknown>, at = address) => {
    plans += 1;
    const inventory = { hosts: { [NODE]: { address: at, ssh: { ...ssh, connect_timeout: 3 } } } };
    const spec = { inventory, playbooks: [{ name: 'none', plays: [{ name: 'none', hosts: 'all', tasks: [] }] }] };
    const plan = await fleet.file(
      `trouble-${plans}.json.yaml`,
      JSON.stringify({ apiVersion: 'kk.dev/v1', kind: 'Plan', metadata: { name: 'none' }, spec }),
    );
    const { code, stdout, stderr } = await fleet.kk('bootstrap', plan, '-o', 'json');
    const last = JSON.parse(stdout.trimEnd().split('\n').at(-1) || '{}');
    return { code, stderr, error: last.error as { code: string; message: string; remedy: string } | undefined };
  };

  const refused = async (t: Test, code: string, ssh: Record<string, unknown>, at?: string): Promise<void> => {
    const outcome = await bootstrap(ssh, at);
    t.equal(outcome.code, 3, outcome.stderr);
    t.match(outcome.error, { code, message: /.{10}/, remedy: /.{10}/ });
    measured(t, `${outcome.error?.code}: ${outcome.error?.message} do: ${outcome.error?.remedy}`);
  };

  await story(t, 'a wrong password', async (t) =>
    refused(t, 'SSH_AUTH_FAILED', { ...right, password_file: await fleet.file('wrong', 'spo\n') }),
  );

  await story(t, 'a user who may not become root', async (t) => {
    await fleet.on(NODE, 'useradd --create-home --shell /bin/bash guest && echo guest:guest | chpasswd');
    await refused(t, 'SUDO_DENIED', { ...right, user: 'guest', password_file: await fleet.file('guest', 'guest\n') });
  });

  await story(t, 'a host key that is not the one known', async (t) => {
    const [, type, key] =
      (await fleet.on('node1', 'cat /etc/ssh/ssh_host_ed25519_key.pub')).match(/^(\S+) (\S+)/) ?? [];
    const other = await fleet.file('other-hosts', `${address} ${type} ${key}\n`);
    await refused(t, 'SSH_HOST_KEY_CHANGED', { ...right, known_hosts_file: other });
    const none = await fleet.file('no-hosts', '');
    await refused(t, 'SSH_HOST_KEY_UNKNOWN', { ...right, known_hosts_file: none, host_keys: 'strict' });
  });

  await story(t, 'an address where nobody is', async (t) =>
    refused(t, 'SSH_UNREACHABLE', right, address.replace(/\d+$/, '250')),
  );

  await story(t, 'no room on the disk', async (t) => {
    await fleet.on(NODE, `mkdir -p ${LIBRARY} && mount -t tmpfs -o size=20m tmpfs ${LIBRARY}`);
    await refused(t, 'DISK_FULL', right);
    const line = await fleet.try(NODE, await fleet.joinLine('--name', NODE));
    t.match(parseErrorText(line.stderr), { code: 'DISK_FULL', remedy: /Make room/ }, 'the line says so, too');
    t.equal(line.code, 1);
    await fleet.on(NODE, `test -z "$(ls -A ${LIBRARY})" && umount ${LIBRARY}`);
  });

  await story(t, 'tokens that are no longer good, or another fleet’s', async (t) => {
    const joinWith = async (line: string, code: string): Promise<void> => {
      const joined = await fleet.try(NODE, line);
      t.equal(joined.code, 1, joined.stderr);
      t.match(parseErrorText(joined.stderr), { code, remedy: /.{10}/ }, joined.stderr);
    };
    const short = await fleet.joinLine('--name', NODE, '--ttl', '1s');
    const foreign = (await fleet.joinLine('--name', NODE)).replace(/(kk1\.\w+\.[\w-]+\.)\w{8}/, '$100000000');
    await joinWith(foreign, 'CONTROLLER_FOREIGN');
    await joinWith(short, 'TOKEN_EXPIRED');
    await joinWith((await fleet.joinLine('--name', 'node9')).replace('node9 sh', `${NODE} sh`), 'TOKEN_NAME_MISMATCH');
    const [deleted] = JSON.parse((await fleet.kk('token', 'list', '-o', 'json')).stdout);
    t.equal((await fleet.kk('token', 'delete', deleted.id)).code, 0);
    t.notOk(
      (await fleet.try(NODE, 'test -e /etc/systemd/system/kk-agent.service')).code === 0,
      'nothing was installed',
    );
  });

  await story(t, 'no curl on the node: the agent comes over ssh', async (t) => {
    await fleet.on(NODE, 'mv /usr/bin/curl /usr/bin/curl.away');
    const { code, error, stderr } = await bootstrap(right);
    t.equal(code, 0, `${stderr} ${JSON.stringify(error)}`);
    t.ok(await fleet.connected(NODE));
    t.equal(await logins(fleet, NODE), 3, 'one, after the guest’s and that of the full disk');
    await fleet.on(NODE, 'mv /usr/bin/curl.away /usr/bin/curl');
  });

  await story(t, 'a token that was used, and a name that is known', async (t) => {
    await fleet.on(NODE, `systemctl stop kk-agent && rm -rf /var/lib/kk-agent ${LIBRARY}`);
    const known = await fleet.try(NODE, await fleet.joinLine('--name', NODE));
    t.match(parseErrorText(known.stderr), { code: 'NAME_TAKEN', remedy: /--replace/ }, known.stderr);
    const line = await fleet.joinLine('--replace', NODE);
    const replaced = await fleet.try(NODE, line);
    t.equal(replaced.code, 0, replaced.stderr);
    await fleet.on(NODE, `systemctl stop kk-agent && rm -rf /var/lib/kk-agent ${LIBRARY}`);
    const again = await fleet.try(NODE, line);
    t.match(parseErrorText(again.stderr), { code: 'TOKEN_USED', remedy: /token create/ }, again.stderr);
  });

  await story(t, 'the port, and the state folder, are taken', async (t) => {
    const other = fleet.path('other');
    const port = await fleet.kk('--state', other, 'serve');
    t.equal(port.code, 1);
    t.match(port.stderr, /PORT_IN_USE[\s\S]*do: .*--listen/);
    const folder = await fleet.kk('serve', '--listen', '127.0.0.1:0');
    t.equal(folder.code, 1);
    t.match(folder.stderr, /CONTROLLER_RUNNING[\s\S]*do: ./);
  });
}
