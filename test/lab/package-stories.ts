import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { stringify } from 'yaml';
import type { Applied, Fleet } from './fleet.ts';
import { changes } from './line-stories.ts';
import { story } from './story.ts';

const NODE = 'node1';
/** Where packages are made on the node, and the repository of them. */
const REPO = '/srv/kk-repo';

interface Deb {
  name: string;
  version: string;
  control?: string;
  /** A script of the package, run after it is unpacked. */
  postinst?: string;
}

const UNIT = '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n';
/** As debhelper writes it. */
const START =
  'systemctl daemon-reload; deb-systemd-helper enable kk-serve.service >/dev/null; deb-systemd-invoke start kk-serve.service';

const DEBS: readonly Deb[] = [
  { name: 'kk-lib', version: '1.0' },
  { name: 'kk-tool', version: '1.0', control: 'Depends: kk-lib\n' },
  { name: 'kk-tool', version: '2.0', control: 'Depends: kk-lib\n' },
  { name: 'kk-rival', version: '1.0', control: 'Conflicts: kk-tool\n' },
  { name: 'kk-old', version: '1.0' },
  { name: 'kk-slow', version: '1.0', postinst: 'while ! test -e /run/kk-go; do sleep 0.1; done' },
  { name: 'kk-broken', version: '1.0', postinst: 'echo it does not work >&2; exit 3' },
  { name: 'kk-serve', version: '1.0', postinst: START },
];

/** Shell that makes a package; each brings a configuration file, kk-serve a unit. */
function making({ name, version, control = '', postinst }: Deb): string {
  const folder = `$(mktemp -d)`;
  return [
    `d=${folder}; mkdir -p $d/DEBIAN $d/etc $d/usr/share/${name} $d/lib/systemd/system`,
    `printf 'Package: ${name}\\nVersion: ${version}\\nArchitecture: all\\nMaintainer: kk <kk@localhost>\\nDescription: for a test\\n${control.replaceAll('\n', '\\n')}' > $d/DEBIAN/control`,
    `echo ${version} > $d/usr/share/${name}/version; echo "# ${name}" > $d/etc/${name}.conf; echo /etc/${name}.conf > $d/DEBIAN/conffiles`,
    ...(postinst === undefined
      ? []
      : [`printf '#!/bin/sh\\nset -e\\n%s\\n' '${postinst}' > $d/DEBIAN/postinst; chmod 755 $d/DEBIAN/postinst`]),
    ...(name === 'kk-serve'
      ? [
          `printf '${UNIT.replaceAll('\n', '\\n')}' > $d/lib/systemd/system/kk-serve.service`,
          `printf '#!/bin/sh\\nsystemctl stop kk-serve.service\\n' > $d/DEBIAN/prerm`,
          `printf '#!/bin/sh\\n[ "$1" != purge ] || deb-systemd-helper purge kk-serve.service >/dev/null; systemctl daemon-reload\\n' > $d/DEBIAN/postrm`,
          `chmod 755 $d/DEBIAN/prerm $d/DEBIAN/postrm`,
        ]
      : []),
    `dpkg-deb --root-owner-group --build $d ${REPO}/${name}_${version}_all.deb >/dev/null; rm -r $d`,
  ].join('\n');
}

const INDEX = `cd ${REPO}; for d in *.deb; do dpkg-deb -f $d; printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' $d $(stat -c %s $d) $(sha256sum $d | cut -c1-64); done > Packages`;

/** Packages with all that is kept of them, files, and units: what is to be as before. */
function picture(fleet: Fleet): Promise<string> {
  return fleet.on(
    NODE,
    `dpkg -l | grep kk-; apt-mark showauto | grep kk-; apt-mark showhold
     cd / && find etc usr/sbin usr/share/kk-* usr/share/keyrings -printf '%p %y %m %U:%G %l\\n' | sort
     find etc -type f -print0 | sort -z | xargs -0 sha256sum
     systemctl list-unit-files --no-legend --no-pager | sort; systemctl is-active kk-serve; true`,
  );
}

async function planned(fleet: Fleet, name: string, tasks: object[]): Promise<string> {
  const spec = {
    inventory: { file: 'inventory.yaml' },
    playbooks: [{ name, plays: [{ name, hosts: [NODE], tasks }] }],
  };
  await fleet.file(`${name}.yaml`, stringify({ apiVersion: 'kk.dev/v1', kind: 'Plan', metadata: { name }, spec }));
  return `${name}.yaml`;
}

async function applying(fleet: Fleet, name: string, tasks: object[], ...options: string[]): Promise<Applied> {
  return fleet.apply(await planned(fleet, name, tasks), ...options);
}

/** A plan twice, the second without a change, and rolled back: the node is as it was. */
async function thereAndBack(
  t: Test,
  fleet: Fleet,
  name: string,
  tasks: object[],
  look: () => Promise<unknown>,
): Promise<void> {
  const before = await picture(fleet);
  const first = await applying(fleet, name, tasks);
  t.match(first.run, { status: 'done', failures: [] }, first.stderr);
  t.ok(changes(first.run) > 0);
  await look();
  const again = await fleet.apply(`${name}.yaml`);
  t.equal(changes(again.run), 0, `nothing changes: ${again.stderr}`);
  const back = await fleet.kk('rollback', first.run.id, '--yes');
  t.equal(back.code, 0, `${back.stderr}${back.stdout}`);
  t.equal(await picture(fleet), before, 'the node is as it was');
}

/** Packages, and what guards a node. They need node1 with an agent, and no network. */
export async function packageStories(t: Test, fleet: Fleet): Promise<void> {
  const repository = {
    id: 'repo',
    repository: { name: 'kk-test', uris: [`file:${REPO}`], suites: ['./'], trusted: true },
  };
  await fleet.on(
    NODE,
    `mv /etc/apt/sources.list.d/*.list /root/; mkdir -p ${REPO}; ${DEBS.map(making).join('\n')}\n${INDEX}\ndpkg -i ${REPO}/kk-old_1.0_all.deb; echo changed >> /etc/kk-old.conf`,
  );

  const joined = await applying(fleet, 'joining', [{ id: 'joined', debug: 'there' }]);
  t.match(joined.run, { status: 'done' }, joined.stderr);

  await story(t, 'a repository with its key, and one that does not answer', async (t) => {
    const key = await readFile(join(import.meta.dirname, '../fixtures/packages/key.asc'), 'utf8');
    const signed = { name: 'kk-signed', uris: [`file:${REPO}`], suites: ['./'], key };
    const failed = async (name: string, task: object): Promise<object | undefined> =>
      (await applying(fleet, name, [{ id: name, repository: task }])).run.failures[0]?.error;
    const before = await picture(fleet);
    t.match(await failed('other-key', { ...signed, fingerprints: ['0'.repeat(40)] }), {
      code: 'REPOSITORY_KEY_DIFFERS',
    });
    t.match(await failed('unsigned', signed), { code: /^REPOSITORY_/ }, 'it is not signed at all');
    const away = { name: 'kk-away', uris: ['http://127.0.0.1:9/'], suites: ['./'], trusted: true };
    t.match(await failed('away', away), { code: 'REPOSITORY_UNREACHABLE' });
    t.equal(await picture(fleet), before, 'nothing of them is left');
    const lists = `ls /var/lib/apt/lists | grep -c ${REPO.replaceAll('/', '_')}; true`;
    await thereAndBack(
      t,
      fleet,
      'repository',
      [repository, { id: 'key', repository: { ...signed, uris: ['file:/srv/kk-signed'], enabled: false } }],
      async () => {
        t.match(
          await fleet.on(NODE, 'cat /etc/apt/sources.list.d/kk-test.sources'),
          /Types: deb\nURIs: file:.*\nSuites: \.\/\n/,
        );
        t.match(
          await fleet.on(NODE, 'cat /etc/apt/sources.list.d/kk-signed.sources'),
          /Signed-By: \/etc\/apt\/keyrings\/kk-kk-signed\.asc\nEnabled: no/,
        );
        t.equal(await fleet.on(NODE, lists), '1\n', 'what it has is known');
      },
    );
    t.equal(await fleet.on(NODE, lists), '0\n', 'and forgotten again');
  });

  await story(t, 'packages come with what they need, at their version, held; and go again', async (t) => {
    const tasks = [
      repository,
      { id: 'tool', package: { name: 'kk-tool', version: '1.*', hold: true } },
      { id: 'serve', package: { name: ['kk-serve'], start_services: false } },
      { id: 'old', package: { name: 'kk-old', state: 'absent' } },
    ];
    await thereAndBack(t, fleet, 'packages', tasks, async () => {
      const there = await fleet.on(NODE, "dpkg-query -W -f '${Package} ${db:Status-Abbrev} ${Version}\\n' 'kk-*'");
      t.match(there, /kk-lib ii {2}1\.0\nkk-old rc {2}1\.0\nkk-serve ii {2}1\.0\nkk-tool hi {2}1\.0\n/);
      t.equal((await fleet.try(NODE, 'systemctl is-active kk-serve')).stdout.trim(), 'inactive', 'nothing was started');
      t.equal((await fleet.try(NODE, 'test -e /usr/sbin/policy-rc.d')).code, 1);
    });
  });

  await story(t, 'a held package is upgraded by who holds it, and its rival does not push it out', async (t) => {
    await fleet.on(
      NODE,
      `dpkg -i ${REPO}/kk-lib_1.0_all.deb ${REPO}/kk-tool_1.0_all.deb; apt-mark hold kk-tool; apt-mark auto kk-lib`,
    );
    const failed = async (name: string, task: object): Promise<object | undefined> =>
      (await applying(fleet, name, [repository, { id: name, package: task }])).run.failures[0]?.error;
    t.match(await failed('held', { name: 'kk-tool', state: 'latest', update_cache: true }), { code: 'PACKAGE_HELD' });
    t.match(await failed('never', { name: 'kk-never' }), { code: 'PACKAGE_NOT_FOUND', message: /kk-never/ });
    t.match(await failed('version', { name: 'kk-lib', version: '9' }), { code: 'PACKAGE_VERSION_NOT_FOUND' });
    await thereAndBack(
      t,
      fleet,
      'upgrade',
      [
        { id: 'tool', package: { name: 'kk-tool', state: 'latest', hold: true } },
        { id: 'rival', package: { files: `${REPO}/kk-serve_1.0_all.deb` } },
      ],
      async () => {
        t.equal(await fleet.on(NODE, "dpkg-query -W -f '${Version} ${db:Status-Want}' kk-tool"), '2.0 hold');
        t.equal(await fleet.on(NODE, 'systemctl is-active kk-serve'), 'active\n', 'as packages do');
      },
    );
    t.match(await failed('low', { name: 'kk-lib', version: '0.*' }), { code: 'PACKAGE_VERSION_NOT_FOUND' });
    await fleet.on(NODE, 'apt-mark unhold kk-tool');
    t.match(await failed('rival', { name: 'kk-rival' }), {
      code: 'PACKAGE_REMOVES_OTHERS',
      message: /kk-tool would be removed/,
    });
    await thereAndBack(
      t,
      fleet,
      'rivals',
      [{ id: 'rival', package: { name: 'kk-rival', allow_removal: true } }],
      async () => t.equal((await fleet.try(NODE, 'dpkg-query -W -f "${Version}" kk-tool')).stdout, ''),
    );
  });

  await story(t, 'a package manager that is in use, and one that was left broken', async (t) => {
    await fleet.on(NODE, 'rm -f /run/kk-go; systemd-run -q --unit=kk-slow apt-get install -y kk-slow');
    t.ok(await fleet.eventually(NODE, 'dpkg -l kk-slow | grep -E "^i[FU]"'), 'another one is at it');
    const busy = await applying(fleet, 'busy', [
      { id: 'busy', package: { name: 'kk-lib', state: 'absent', allow_removal: true, lock_wait_seconds: 1 } },
    ]);
    t.match(busy.run.failures[0]?.error, {
      code: 'PACKAGE_LOCK_HELD',
      message: /process \d+ \(\S*apt-get install -y kk-slow\)/,
    });
    const waiting = applying(fleet, 'waiting', [{ id: 'rival', package: { name: 'kk-serve' } }]);
    t.ok(await fleet.eventually(NODE, 'pgrep -f "[a]pt-get -q -y.*kk-serve|[k]k-agent run-command"'));
    await fleet.on(NODE, 'touch /run/kk-go');
    t.match((await waiting).run, { status: 'done' }, 'it has waited for its turn');
    const broken = await applying(fleet, 'broken', [{ id: 'broken', package: { name: 'kk-broken' } }]);
    t.match(broken.run.failures[0]?.error, { code: 'PACKAGE_SCRIPT_FAILED', evidence: /it does not work/ });
    const back = await fleet.kk('rollback', broken.run.id, '--yes');
    t.equal(back.code, 0, back.stderr);
    t.notMatch(await fleet.on(NODE, 'dpkg -l'), /kk-broken/, 'what was left of it is gone');
  });

  await story(t, 'the firewall is switched off, and guards again; SELinux is not there', async (t) => {
    const rules = 'table inet kk { chain input { type filter hook input priority 10; tcp dport 81 drop; }; }';
    await fleet.on(
      NODE,
      `printf '#!/usr/sbin/nft -f\nflush ruleset\n${rules}\n' > /etc/nftables.conf; systemctl enable --now nftables`,
    );
    const tasks = [
      { id: 'off', firewall: 'off' },
      { id: 'none', selinux: { mode: 'permissive' } },
      { id: 'ports', firewall: ['6443/tcp'] },
    ];
    const states = 'systemctl is-active nftables; systemctl is-enabled nftables; nft list ruleset; true';
    const before = await fleet.on(NODE, states);
    await thereAndBack(t, fleet, 'firewall', tasks, async () =>
      t.equal(await fleet.on(NODE, states), 'inactive\ndisabled\n', 'nothing guards it'),
    );
    t.equal(await fleet.on(NODE, states), before, 'its rules are back');
    const missing = await applying(fleet, 'selinux', [{ id: 'on', selinux: 'enforcing' }]);
    t.match(missing.run.failures[0]?.error, { code: 'SELINUX_MISSING' });
  });
}
