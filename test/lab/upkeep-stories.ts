import type { Test } from 'tap';
import type { Fleet } from './fleet.ts';
import { measured, story } from './story.ts';

const NODES = ['node1', 'node2', 'node3'];
const AGENT = '/usr/local/lib/kk-agent/current/kk-agent';
/** MiB of anonymous memory of an idle agent that had something to do before. */
const MOST_MEMORY = 100;

/** What goes on when nobody does anything. */
export async function upkeepStories(t: Test, fleet: Fleet): Promise<void> {
  await story(t, 'certificates are renewed by a timer', async (t) => {
    for (const node of NODES) {
      t.match(
        await fleet.on(node, 'systemctl list-timers --no-pager kk-agent-renew.timer'),
        'kk-agent-renew.service',
        node,
      );
    }
    await fleet.on('node1', 'systemctl start kk-agent-renew');
    const said = await fleet.on('node1', 'journalctl --sync; journalctl -u kk-agent-renew -o cat --no-pager');
    t.match(said, 'nothing to do: the certificate of node1', 'not before half of its life is over');

    const certificate = `openssl x509 -noout -serial -in /var/lib/kk-agent/identity/certificate.pem 2>/dev/null || sha256sum /var/lib/kk-agent/identity/*`;
    const before = await fleet.on('node1', certificate);
    t.match(await fleet.on('node1', `${AGENT} renew --now`), 'renewed: the certificate of node1');
    t.not(await fleet.on('node1', certificate), before, 'it is another one');
    await fleet.on('node1', 'systemctl restart kk-agent');
    t.ok(await fleet.eventually('node1', `${AGENT} status | grep 'connected to'`), 'and is good for the controller');
    const { code, stdout } = await fleet.kk('exec', 'node1', '--', 'hostname');
    t.equal(code, 0);
    t.match(stdout, /node1 \| node1/);
  });

  await story(t, 'an idle agent is small', async (t) => {
    for (const node of NODES) {
      const pid = (await fleet.on(node, 'systemctl show -p MainPID --value kk-agent')).trim();
      const status = await fleet.on(node, `cat /proc/${pid}/status`);
      const mib = (field: string): number =>
        Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
      const [anonymous, file] = [mib('RssAnon'), mib('RssFile')];
      measured(t, `${node}: ${anonymous.toFixed(0)} MiB of its own, ${file.toFixed(0)} MiB of its file`);
      t.ok(anonymous < MOST_MEMORY, `less than ${MOST_MEMORY} MiB`);
    }
  });
}
