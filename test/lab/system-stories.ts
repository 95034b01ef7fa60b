import { mkdir } from 'node:fs/promises';
import type { Test } from 'tap';
import { stringify } from 'yaml';
import type { RunSummary } from '../../controller/views/types.ts';
import type { Fleet } from './fleet.ts';
import { changes } from './line-stories.ts';
import { story } from './story.ts';

const NODES = ['node1', 'node2'];
const HASH = '$6$kk$3Jx2bTtXyLq1U1lT4oXz9mQ6cHqk0Yb8m7eVvE2rGkH5sWnZpD1fCjA9uRiOxTgBwKyLhNcMvQeSdFzXaP0';
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkSystemStoriesKeyOfNobodyAtAll0000000000 kk-stories';
/** On ext4 itself: an overlay takes no swap file. */
const SWAP = '/var/lib/etcd/kk-swap';
/** A unit that would make swap space at boot, as gpt-auto and zram generators leave them. */
const SWAP_UNIT = '/usr/lib/systemd/system/dev-kk\\\\x2dstories.swap';

/** What is there before, so that there is something to change and to bring back. */
const BEFORE = `useradd -m -s /bin/sh old && echo 'old:${HASH}old' | chpasswd -e && chage -d 19000 -M 90 old
  mkdir -p /etc/cron.d /srv/kk && echo kk > /srv/kk/file
  echo '/dev/kk-none none swap sw 0 0' >> /etc/fstab && echo '# end' > /etc/kk-stories.conf && echo 'a = 1' >> /etc/kk-stories.conf
  groupadd kkgone && usermod -aG kkgone old && echo mine > /home/old/mine && chown old: /home/old/mine
  echo '0 0 * * * root true' > /etc/cron.d/kk-gone && mkdir -p /mnt/kk-gone
  mount -t tmpfs -o size=2m,nosuid kk-gone /mnt/kk-gone && echo 'kk-gone /mnt/kk-gone tmpfs size=2m,nosuid 0 0' >> /etc/fstab
  printf '[Timer]\\nOnCalendar=daily\\n[Install]\\nWantedBy=timers.target\\n' > /etc/systemd/system/kk-gone.timer
  printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/kk-gone.service
  systemctl daemon-reload && systemctl enable --quiet --now kk-gone.timer
  printf '[Swap]\\nWhat=/dev/kk-stories\\n' > "${SWAP_UNIT}" && systemctl daemon-reload`;

function tasks(): object[] {
  return [
    { hostname: { name: '{{ node_name }}.kk.example', hosts: true } },
    { timezone: 'Asia/Tokyo' },
    { swap: 'off' },
    { group: { name: 'kkops', gid: 4711 } },
    {
      user: {
        ...{ name: 'kkuser', uid: 4712, groups: ['kkops'], shell: '/bin/bash', comment: 'kk', password: HASH },
        authorized_keys: [KEY],
      },
    },
    { name: 'Change an account', user: { name: 'old', groups: ['kkops'], shell: '/bin/bash', password: HASH } },
    { mount: { path: '/mnt/kk/memory', src: 'tmpfs', fstype: 'tmpfs', opts: 'size=1m,noexec' } },
    { name: 'Bind', mount: { path: '/mnt/kk/bind', src: '/srv/kk', fstype: 'none', opts: 'bind' } },
    { timer: { name: 'kk-stories', on_calendar: 'Mon 03:00', random_delay: '1min', job: 'echo "$((20+1)) 100%"' } },
    { cron: { name: 'kk-stories', schedule: '*/5 * * * *', job: 'date +%F >/dev/null' } },
    { sysctl: { name: 'net.ipv4.conf.all.log_martians', value: 1, file: '/etc/sysctl.d/97-kk-stories.conf' } },
    { kernel_module: 'printk' },
    { line_in_file: { path: '/etc/kk-stories.conf', regexp: '^a\\s*=', line: 'a = 2' } },
    { block_in_file: { path: '/etc/kk-stories.conf', name: 'nodes', template: 'nodes.j2' } },
  ];
}

/** What {@link BEFORE} made, taken away. */
const GONE = [
  { user: { name: 'old', state: 'absent', remove_home: true } },
  { group: { name: 'kkgone', state: 'absent' } },
  { cron: { name: 'kk-gone', state: 'absent' } },
  { timer: { name: 'kk-gone', state: 'absent' } },
  { mount: { path: '/mnt/kk-gone', state: 'absent' } },
];

function plan(name: string, hosts: string[], play: object): object {
  const spec = { inventory: { file: 'inventory.yaml' }, playbooks: [{ name, plays: [{ name, hosts, ...play }] }] };
  return { apiVersion: 'kk.dev/v1', kind: 'Plan', metadata: { name }, spec };
}

/**
 * From outside kk: /etc with kind, mode, owner, content and target of links, but for the copies that the tools of accounts
 * make, and for the order of the lines of groups; accounts, mounts, swap space, units, the name, and what was made elsewhere.
 */
function picture(fleet: Fleet, node: string): Promise<string> {
  return fleet.on(
    node,
    `cd /etc && find . ! -name '*-' -printf '%p %y %m %U:%G %l\\n' | sort && find . -type f ! -name '*-' ! -name group ! -name gshadow -print0 | sort -z | xargs -0 sha256sum
     sort group gshadow; getent passwd; getent group | sort; getent shadow; hostname; date +%Z; cut -d' ' -f4- /proc/self/mountinfo | grep -v ' /run/user/' | sed 's/ \\(shared\\|master\\):[0-9]*//g' | sort
     cat /proc/swaps; find /home /mnt /srv/kk /var/mail -printf '%p %y %m %U:%G\\n' | sort; sysctl net.ipv4.conf.all.log_martians
     systemctl list-unit-files --no-legend --no-pager | sort; systemctl list-timers --all --no-legend --no-pager | awk '{print $NF}' | sort`,
  );
}

/** The state of a system: each action looked at, done, again, and undone. */
export async function systemStories(t: Test, fleet: Fleet): Promise<void> {
  const everywhere = (line: string): Promise<unknown> => Promise.all(NODES.map((node) => fleet.on(node, line)));
  const pictures = (): Promise<string[]> => Promise.all(NODES.map((node) => picture(fleet, node)));
  const newest = async (): Promise<string> => {
    const [run] = JSON.parse((await fleet.kk('runs', '-o', 'json')).stdout) as RunSummary[];
    return run?.id ?? '';
  };
  await everywhere(BEFORE);
  await mkdir(fleet.path('roles/system/templates'), { recursive: true });
  await fleet.file('roles/system/templates/nodes.j2', '{% for name in groups.all %}{{ name }}\n{% endfor %}');
  await fleet.file('roles/system/tasks.yaml', stringify(tasks()));
  await fleet.file('system.yaml', stringify(plan('system', NODES, { roles: ['system'] })));
  const before = await pictures();
  let applied = '';

  await story(t, 'the state of a system: looked at, and nothing is written', async (t) => {
    const checked = await fleet.kk('apply', fleet.path('system.yaml'), '--check', '--diff');
    t.equal(checked.code, 0, checked.stderr);
    for (const part of ['kk.example', 'Asia/Tokyo', '# /dev/kk-none', 'kkops', 'OnCalendar=Mon 03:00', 'node2'])
      t.match(checked.stdout, part);
    t.notMatch(checked.stdout, HASH, 'a hash is shown to nobody');
    t.same(await pictures(), before);
  });

  await story(t, 'done, and again nothing changes', async (t) => {
    const { code, run, stderr } = await fleet.apply('system.yaml');
    applied = run.id;
    t.equal(code, 0, stderr);
    t.equal(changes(run), tasks().length * NODES.length);
    t.notMatch(JSON.stringify(run), HASH);
    const again = await fleet.apply('system.yaml');
    t.equal(again.code, 0, again.stderr);
    t.same(
      again.run.changes.map(({ task, node }) => `${task} ${node}`),
      [],
    );
    t.equal(changes(again.run), 0, '0 changed');
    for (const node of NODES) {
      const now = await fleet.on(
        node,
        'hostname; date +%Z; id -Gn kkuser; id -Gn old; findmnt -no FSTYPE /mnt/kk/memory',
      );
      t.equal(now, `${node}.kk.example\nJST\nkkuser kkops\nold kkgone kkops\ntmpfs\n`, node);
      t.equal(
        await fleet.on(node, 'cat /mnt/kk/bind/file; stat -c "%a %U" ~kkuser/.ssh/authorized_keys'),
        'kk\n600 kkuser\n',
      );
      t.equal(await fleet.on(node, 'getent hosts $(hostname) | cut -d" " -f1'), `${fleet.addressOf(node)}\n`);
      t.equal(await fleet.on(node, 'systemctl is-active kk-stories.timer && systemctl start kk-stories'), 'active\n');
      t.match(await fleet.on(node, 'journalctl --sync; journalctl -u kk-stories -o cat'), '21 100%');
      t.equal((await fleet.on(node, `systemctl is-enabled "${SWAP_UNIT.split('/').at(-1)}" || true`)).trim(), 'masked');
    }
  });

  await story(t, 'a mount that is in use names who uses it', async (t) => {
    await fleet.on('node1', 'systemd-run --quiet --unit kk-user --working-directory=/mnt/kk/memory sleep 3575');
    const unmount = [{ mount: { path: '/mnt/kk/memory', state: 'unmounted' } }];
    await fleet.file('busy.yaml', stringify(plan('busy', ['node1'], { tasks: unmount })));
    const { code, run } = await fleet.apply('busy.yaml');
    t.equal(code, 3);
    t.match(run.failures, [{ node: 'node1', error: { code: 'MOUNT_BUSY', message: /sleep \(\d+\)/ } }]);
    await fleet.on('node1', 'systemctl stop kk-user');
  });

  await story(t, 'rolled back, each node is as before', async (t) => {
    const { code, stdout, stderr } = await fleet.kk('rollback', applied, '--yes');
    t.equal(code, 0, `${stdout}${stderr}`);
    const after = await pictures();
    for (const [at, node] of NODES.entries()) t.equal(after[at], before[at], `${node} is as before`);
  });

  await story(t, 'what was there is taken away, again nothing changes, and all of it is brought back', async (t) => {
    await fleet.file('gone.yaml', stringify(plan('gone', NODES, { tasks: GONE })));
    const { code, run, stderr } = await fleet.apply('gone.yaml');
    t.equal(code, 0, stderr);
    t.equal(changes(run), GONE.length * NODES.length);
    t.equal(changes((await fleet.apply('gone.yaml')).run), 0, '0 changed');
    const left =
      'getent passwd old || getent group kkgone || ls -d /home/old /etc/cron.d/kk-gone || findmnt /mnt/kk-gone';
    for (const node of NODES) t.not((await fleet.try(node, left)).code, 0, `nothing is left on ${node}`);
    const undone = await fleet.kk('rollback', run.id, '--yes');
    t.equal(undone.code, 0, `${undone.stdout}${undone.stderr}`);
    const after = await pictures();
    for (const [at, node] of NODES.entries()) t.equal(after[at], before[at], `${node} is as before`);
  });

  await story(t, 'swap space is switched off and on again, and a swap file is made', async (t) => {
    const on = [{ swap: { state: 'on', file: SWAP, size: '2MiB' } }];
    const off = [{ swap: 'off' }];
    await fleet.file('on.yaml', stringify(plan('on', ['node1'], { tasks: on })));
    await fleet.file('off.yaml', stringify(plan('off', ['node1'], { tasks: off })));
    const swaps = (): Promise<string> => fleet.on('node1', `grep -c ${SWAP} /proc/swaps || true`);
    try {
      t.equal((await fleet.apply('on.yaml')).code, 0);
      t.equal(await swaps(), '1\n');
      t.equal(changes((await fleet.apply('on.yaml')).run), 0, '0 changed');
      const { code, run } = await fleet.apply('off.yaml');
      t.equal(code, 0);
      t.equal(changes(run), 1);
      t.equal(await swaps(), '0\n');
      t.equal((await fleet.kk('rollback', await newest(), '--yes')).code, 0);
      t.equal(await swaps(), '1\n', 'in use again');
    } finally {
      // It is the whole machine's.
      await fleet.try('node1', `swapoff ${SWAP}; rm -f ${SWAP}; sed -i '/kk-swap/d' /etc/fstab`);
    }
  });
  await rebootStories(t, fleet);
}

async function rebootStories(t: Test, fleet: Fleet): Promise<void> {
  const boot = (node: string): Promise<string> => fleet.on(node, 'cat /proc/sys/kernel/random/boot_id');

  await story(t, 'a node restarts, and what comes after it goes on when it is back', async (t) => {
    const steps = [
      { id: 'before', command: 'cat /proc/sys/kernel/random/boot_id > /var/lib/kk-boot' },
      { reboot: { reason: 'the stories say so', test: 'systemctl is-active ssh' } },
      { id: 'after', command: 'cat /proc/sys/kernel/random/boot_id >> /var/lib/kk-boot' },
      { name: 'Not needed', reboot: { when_needed: true } },
    ];
    await fleet.file('reboot.yaml', stringify(plan('reboot', ['node1'], { tasks: steps })));
    const before = await boot('node1');
    const { code, run, stderr } = await fleet.apply('reboot.yaml');
    t.equal(code, 0, stderr);
    t.match(run, { status: 'done', failures: [] });
    const after = await boot('node1');
    t.not(after, before, 'it was down');
    t.equal(await fleet.on('node1', 'cat /var/lib/kk-boot'), `${before}${after}`, 'each step once');
    t.equal(changes(run), 3, 'the second was not needed');
  });

  await story(t, 'a node that does not come back is told by the controller', async (t) => {
    await fleet.on(
      'node2',
      `mkdir -p /etc/systemd/system/kk-agent.service.d && printf '[Service]\\nExecStartPre=/bin/sleep 60\\nTimeoutStartSec=300\\n' > /etc/systemd/system/kk-agent.service.d/late.conf`,
    );
    const steps = [{ reboot: { timeout_seconds: 15 } }, { command: 'touch /var/lib/kk-never' }];
    await fleet.file('late.yaml', stringify(plan('late', ['node2'], { tasks: steps })));
    const { code, run } = await fleet.apply('late.yaml');
    t.equal(code, 3);
    t.match(run.failures, [
      { node: 'node2', error: { code: 'REBOOT_NOT_BACK', message: /node2/, remedy: /console of node2/ } },
    ]);
    t.equal((await fleet.try('node2', 'test -e /var/lib/kk-never')).code, 1);
    await fleet.on(
      'node2',
      'rm -r /etc/systemd/system/kk-agent.service.d && systemctl daemon-reload && systemctl restart kk-agent',
    );
    t.ok(
      await fleet.eventually('node2', '/usr/local/lib/kk-agent/current/kk-agent status | grep "connected to"', 60_000),
    );
  });
}
