import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseUnits } from '../../agent/actions/swap-units.ts';
import { parseSwaps } from '../../agent/actions/swaps.ts';
import { ACTIONS, type ActionKind } from '../../shared/actions/index.ts';
import { type Program, systemNode } from '../support/system-node.ts';
import { failure, Node } from '../support/undo-node.ts';

/** Refuses an input, and says why. */
function refusing(t: Test, kind: ActionKind) {
  return (input: unknown, why: RegExp) =>
    t.match(ACTIONS[kind].input.safeParse(input).error?.message, why, JSON.stringify(input));
}

/** A machine with swap space, and one unit that makes some of zram. `says`: why swapoff fails. */
function swapNode(dir: string) {
  const says: { off?: string } = {};
  const mask = join(dir, 'units/dev-zram0.swap');
  mkdirSync(join(dir, 'units'), { recursive: true });
  const system = systemNode(dir, (root) => {
    const table = join(root, 'proc/swaps');
    const rows = () => readFileSync(table, 'utf8').split('\n');
    const isOn = (path: string) => parseSwaps(readFileSync(table, 'utf8')).some((one) => one.path === path);
    const on: Program = (args) => {
      const path = args.at(-1) ?? '';
      if (isOn(path)) return { stderr: `swapon: ${path}: swapon failed: Device or resource busy` };
      writeFileSync(
        table,
        [...rows(), `${path.replaceAll(' ', '\\040')} file 1020 0 ${args[0] === '-p' ? args[1] : -2}`].join('\n'),
      );
      return {};
    };
    const off: Program = (args) => {
      if (says.off !== undefined) return { stderr: says.off };
      writeFileSync(
        table,
        rows()
          .filter((row) => parseSwaps(row)[0]?.path !== args.at(-1))
          .join('\n'),
      );
      return {};
    };
    const systemctl: Program = ([verb, ...args], options) => {
      const load = existsSync(mask) ? 'masked' : 'loaded';
      const active = isOn('/dev/zram0') ? 'active' : 'inactive';
      if (verb === 'list-unit-files') return { stdout: 'dev-zram0.swap generated -\n' };
      if (verb === 'show')
        return {
          stdout: `Id=dev-zram0.swap\nLoadState=${load}\nActiveState=${active}\nUnitFileState=generated\nFragmentPath=/run/x\nSourcePath=\n`,
        };
      if (verb === 'mask') symlinkSync('/dev/null', mask);
      return verb === 'restart' ? on([...args.slice(0, -1), '/dev/zram0'], options) : {};
    };
    const dd: Program = (args) => {
      const value = (key: string) => args.find((arg) => arg.startsWith(`${key}=`))?.slice(key.length + 1) ?? '';
      writeFileSync(value('of'), Buffer.alloc(Number(value('bs')) * Number(value('count'))));
      return {};
    };
    return { swapon: on, swapoff: off, systemctl, dd, mkswap: () => ({}) };
  });
  const swaps = (...rows: string[]) =>
    system.write('proc/swaps', ['Filename Type Size Used Priority', ...rows].join('\n'));
  return { ...system, says, swaps, now: () => parseSwaps(system.read('proc/swaps')).map(({ path }) => path) };
}

t.test('swap: what the kernel and systemd say', (t) => {
  t.same(parseSwaps('Filename Type\n/dev/dm-1    partition\t999\t0\t-2\n/a\\040b\\040(deleted) file 1 0 5\nx\n'), [
    { path: '/dev/dm-1', priority: -2 },
    { path: '/a b', priority: 5 },
  ]);
  const block = (id: string, more: string) => `Id=${id}\n${more}\n`;
  const units = parseUnits(
    [
      block(
        'of-fstab.swap',
        'LoadState=loaded\nFragmentPath=/run/systemd/generator/of-fstab.swap\nSourcePath=/etc/fstab',
      ),
      block('gpt.swap', 'LoadState=loaded\nFragmentPath=/run/systemd/generator.late/gpt.swap\nSourcePath='),
      block('kernel.swap', 'LoadState=loaded\nFragmentPath=\nSourcePath=/proc/swaps'),
      block('own.swap', 'LoadState=loaded\nFragmentPath=/etc/systemd/system/own.swap\nUnitFileState=enabled'),
      block(
        'zramswap.service',
        'LoadState=loaded\nFragmentPath=/usr/lib/systemd/system/zramswap.service\nUnitFileState=disabled',
      ),
      block('zram-config.service', 'LoadState=not-found\nFragmentPath='),
      block('gone.swap', 'LoadState=masked\nFragmentPath=/dev/null'),
    ].join('\n'),
  );
  t.same(units, [
    { name: 'gpt.swap', verb: 'mask' },
    { name: 'own.swap', verb: 'disable' },
  ]);
  const own = 'LoadState=loaded\nFragmentPath=/etc/systemd/system/own.swap\nUnitFileState=static';
  t.same(parseUnits(block('own.swap', `${own}\nWantedBy=\nRequiredBy=`)), [], 'nothing starts it at boot');
  t.throws(() => parseUnits(block('own.swap', `${own}\nWantedBy=swap.target`)), {
    code: 'SWAP_UNIT_STATIC',
    message: /own\.swap .* swap\.target/,
  });
  const refuses = refusing(t, 'swap');
  refuses({ state: 'on', file: '/var//swap', size: '1GiB' }, /as the kernel tells it/);
  refuses({ state: 'on' }, /takes file and size/);
  refuses({ file: '/s', size: '1GiB' }, /takes file and size/);
  refuses({ priority: 1 }, /priority belongs/);
  refuses({ state: 'on', file: '/s', size: '1GB' }, /such as 2GiB/);
  refuses({ state: 'on', file: '/s', size: 1_048_577 }, /multiple of 4KiB/);
  refuses({ state: 'on', file: '/s', size: 4096 }, /1MiB to/);
  t.end();
});

t.test('swap off: in use, at boot and of zram, once; all of it is brought back', async (t) => {
  const node = swapNode(t.testdir());
  const disk = join(node.root, 'dev/sda2');
  node.write('dev/sda2', '');
  node.swaps(`${disk} partition 999 0 -2`, '/dev/zram0 partition 99 0 100');
  const fstab = '/dev/sda1 / ext4 defaults 0 1\nUUID=1-2 none swap sw 0 0\n#/old none swap sw 0 0\n';
  node.write('etc/fstab', fstab);
  const done = await node.do('swap', { state: 'off' });
  t.match(done, { changed: true, output: { swaps: [], units: ['dev-zram0.swap'] } });
  t.match(
    done.diffs.map(({ path, after }) => [path.replace(node.root, ''), after]),
    [
      ['/proc/swaps', ''],
      ['dev-zram0.swap', 'masked\n'],
      ['/etc/fstab', '/dev/sda1 / ext4 defaults 0 1\n# UUID=1-2 none swap sw 0 0\n#/old none swap sw 0 0\n'],
    ],
  );
  t.same(node.calls(), ['swapoff -- /dev/sda2', 'swapoff -- /dev/zram0', 'systemctl mask --now -- dev-zram0.swap']);
  t.match(await node.do('swap', {}), { changed: false, output: { units: [] } }, 'again');
  t.same(node.calls(), []);
  await node.node.undo('r1', 'x');
  t.equal(node.read('etc/fstab'), fstab);
  t.same(node.now().sort(), ['/dev/zram0', disk].sort());
  t.notOk(existsSync(join(node.root, '../units/dev-zram0.swap')), 'not masked any more');

  node.says.off = 'swapoff: /dev/sda2: swapoff failed: Cannot allocate memory';
  t.match(await failure(node.do('swap', {})), { code: 'SWAP_NO_MEMORY', message: /zram0/, evidence: /allocate/ });
  t.equal(node.read('etc/fstab'), fstab, 'what cannot be switched off is still there at the next boot');
  node.says.off = 'swapoff: Not superuser: Operation not permitted';
  t.match(await failure(node.do('swap', {})), { code: 'SWAP_DENIED', remedy: /container/ });
});

t.test('swap on: a file of a size, once; and it is gone again', async (t) => {
  const node = swapNode(t.testdir());
  node.swaps();
  node.write('etc/fstab', '');
  const file = join(node.root, 'swap file');
  const input = { state: 'on', file, size: '1MiB', priority: 5 };
  t.match(await node.do('swap', input), { changed: true, output: { swaps: [file] } });
  t.same([statSync(file).size, statSync(file).mode & 0o777], [1024 ** 2, 0o600]);
  t.equal(node.read('etc/fstab'), `${file.replace(' ', '\\040')} none swap sw,pri=5 0 0\n`);
  t.match(await node.do('swap', input), { changed: false });
  t.match(await failure(node.do('swap', { ...input, size: '2MiB' })), {
    code: 'SWAP_FILE_DIFFERS',
    message: /1048576/,
  });
  node.calls();
  node.swaps();
  t.match(await node.do('swap', { ...input, priority: 7 }), { changed: true });
  t.same(node.calls(), [`swapon -p 7 -- /swap file`], 'the file that is there is used');
  t.match(node.read('etc/fstab'), /^\S+ none swap sw,pri=7 0 0\n$/, 'its line is changed');
  t.match(await failure(node.node.undo('r1', 'x')), { code: 'UNDO_CONFLICT' }, 'a later run changed it');
  const again = await node.do('swap', { ...input, priority: 9 });
  t.match(again.diffs[0]?.unified, /-priority: 7\n\+priority: 9/);
  t.same(node.calls(), ['swapoff -- /swap file', 'swapon -p 9 -- /swap file'], 'in use with another priority');
  t.match(await node.do('swap', { ...input, priority: 9 }), { changed: false });
  await node.node.undo('r5', 'x');
  t.match(node.read('proc/swaps'), / 7$/, 'and as before');
  await node.node.undo('r4', 'x');
  node.swaps(`${file.replace(' ', '\\040')} file 1020 0 5`);
  await node.node.undo('r1', 'x');
  t.same([node.now(), existsSync(file), node.read('etc/fstab')], [[], false, '']);
});

t.test('hostname: live, at boot, for clouds and in hosts; brought back', async (t) => {
  const node = systemNode(t.testdir(), () => ({}));
  const hosts = '127.0.0.1 localhost\n10.9.9.9 other # x\n';
  for (const [path, text] of [
    ['proc/sys/kernel/hostname', 'debian\n'],
    ['etc/hostname', '# who\ndebian\n'],
    ['etc/hosts', hosts],
    ['etc/cloud/cloud.cfg.d/05.cfg', ''],
  ] as const)
    node.write(path, text);
  const done = await node.do('hostname', { name: 'cp1.example', hosts: true });
  t.match(done, { changed: true, output: { name: 'cp1.example', previous: 'debian' } });
  t.equal(done.diffs.length, 4);
  t.equal(node.read('proc/sys/kernel/hostname'), 'cp1.example\n');
  t.equal(node.read('etc/hostname'), 'cp1.example\n');
  t.equal(node.read('etc/cloud/cloud.cfg.d/99-kk-hostname.cfg'), 'preserve_hostname: true\n');
  t.equal(node.read('etc/hosts'), `127.0.0.1 cp1.example cp1 # this node, by kk\n${hosts}`);
  t.match(await node.do('hostname', { name: 'cp1.example', hosts: true }), { changed: false });
  await node.do('hostname', { name: 'cp2', hosts: true });
  t.equal(node.read('etc/hosts'), `127.0.0.1 cp2 # this node, by kk\n${hosts}`, 'its own line is changed');
  await node.undo();
  t.match(node.read('etc/hosts'), /cp1\.example cp1/);
  await node.node.undo('r1', 'x');
  t.same(
    [node.read('proc/sys/kernel/hostname'), node.read('etc/hostname'), node.read('etc/hosts')],
    ['debian\n', '# who\ndebian\n', hosts],
  );
  t.same(readdirSync(join(node.root, 'etc/cloud/cloud.cfg.d')), ['05.cfg']);
  node.write('etc/hosts', '127.0.0.1 cp2 x # mine\n');
  await node.do('hostname', { name: 'cp2', hosts: true });
  t.equal(node.read('etc/hosts'), '127.0.0.1 cp2 x # mine\n', 'it is said already');
  rmSync(join(node.root, 'etc/hostname'));
  t.match(await node.do('hostname', { name: 'cp2' }), { changed: true });
  t.equal(node.read('etc/hostname'), 'cp2\n');
  const refuses = refusing(t, 'hostname');
  for (const name of ['Cp1', 'a..b', '-a', 'a_b', `${'a'.repeat(64)}`, ''])
    refuses({ name }, /not a host name|Too small|at most/);
});

/** A machine whose mount and umount work on its mountinfo. `busy`: umount fails. */
function mountNode(dir: string) {
  const says: { mount?: string; umount?: string } = {};
  const system = systemNode(dir, (root) => {
    const table = join(root, 'proc/self/mountinfo');
    const rows = () =>
      readFileSync(table, 'utf8')
        .split('\n')
        .filter((row) => row !== '');
    const keep = (all: string[]) => writeFileSync(table, all.map((row) => `${row}\n`).join(''));
    const mount: Program = (args) => {
      if (says.mount !== undefined) return { stderr: says.mount };
      const path = (args.at(-1) ?? '').replaceAll(' ', '\\040');
      const options = args[args.indexOf('-o') + 1] ?? '';
      if (options.startsWith('remount,')) {
        keep(
          rows().map((row) =>
            row.split(' ')[4] === path ? row.replace(/ (?:rw|ro)\S* - /, ` ${options.slice(8)} - `) : row,
          ),
        );
        return {};
      }
      // The kernel names the device.
      const [type, src = ''] = [args[1], args.at(-2)?.replace('LABEL=my disk', join(root, 'dev/sdb'))];
      const place = `rw,relatime${options.includes('noatime') ? ',noatime' : ''}`;
      const bind = options.startsWith('bind');
      const what = bind ? `8:1 ${src}` : '0:9 /';
      keep([...rows(), `50 1 ${what} ${path} ${place} - ${bind ? 'ext4 /dev/sda1' : `${type} ${src}`} rw`]);
      return {};
    };
    const umount: Program = (args) => {
      if (says.umount !== undefined) return { stderr: says.umount };
      const at = rows().findLastIndex((row) => row.split(' ')[4] === (args.at(-1) ?? '').replaceAll(' ', '\\040'));
      keep(rows().filter((_, index) => index !== at));
      return {};
    };
    return { mount, umount, systemctl: () => ({}) };
  });
  system.write('proc/self/mountinfo', '20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n');
  system.write('etc/fstab', '/dev/sda1 / ext4 defaults 0 1\n');
  const mounted = () => system.read('proc/self/mountinfo').split('\n').slice(1, -1).join('\n');
  return { ...system, says, mounted };
}

t.test('mount: now and at boot, once; what was there before is there again', async (t) => {
  const node = mountNode(t.testdir());
  const path = join(node.root, 'mnt/a b');
  const before = node.read('etc/fstab');
  node.write('dev/sdb', '');
  mkdirSync(join(node.root, 'dev/disk/by-label'), { recursive: true });
  symlinkSync('../../sdb', join(node.root, 'dev/disk/by-label/my\\x20disk'));
  const input = { path, src: 'LABEL=my disk', fstype: 'ext4', opts: 'noatime', pass: 2 };
  t.match(await node.do('mount', input), { changed: true, output: { mounted: true } });
  const written = path.replace('a b', 'a\\040b');
  t.equal(node.read('etc/fstab'), `${before}LABEL=my\\040disk ${written} ext4 noatime 0 2\n`);
  t.same(node.calls(), ['mount -t ext4 -o noatime -- LABEL=my disk /mnt/a b', 'systemctl daemon-reload']);
  t.match(await node.do('mount', input), { changed: false, output: { mounted: true, source: /sdb$/ } });
  t.match(await failure(node.do('mount', { ...input, src: '/dev/other' })), { code: 'MOUNT_OCCUPIED', message: /sdb/ });
  await node.do('mount', { ...input, opts: 'ro,noatime' });
  t.same(node.calls(), ['mount -o remount,ro,noatime -- /mnt/a b', 'systemctl daemon-reload']);
  await node.undo();
  t.match(node.mounted(), / rw,relatime,noatime - ext4/);
  await node.node.undo('r1', 'x');
  t.same([node.mounted(), node.read('etc/fstab'), existsSync(path)], ['', before, false]);
});

t.test('mount: bind, present, unmounted, absent', async (t) => {
  const node = mountNode(t.testdir());
  const [path, src] = [join(node.root, 'mnt'), join(node.root, 'data')];
  mkdirSync(path);
  mkdirSync(src);
  const bind = { path, src, fstype: 'none', opts: 'bind' };
  t.match(await node.do('mount', { ...bind, state: 'present' }), { output: { mounted: false } });
  t.equal(node.mounted(), '');
  t.match(await node.do('mount', bind), { changed: true });
  t.match(await node.do('mount', bind), { changed: false }, 'the kernel shows the file system that it lies on');
  const fstab = node.read('etc/fstab');
  t.match(await node.do('mount', { path, state: 'unmounted' }), { changed: true, output: { mounted: false } });
  t.same([node.mounted(), node.read('etc/fstab')], ['', fstab]);
  await node.undo();
  t.match(node.mounted(), `${src} ${path} `, 'and back');
  await node.do('mount', { path, state: 'absent' });
  t.equal(node.read('etc/fstab'), '/dev/sda1 / ext4 defaults 0 1\n');
  t.match(await node.do('mount', { path, state: 'absent' }), { changed: false });
  await node.node.undo('r5', 'x');
  t.equal(node.read('etc/fstab'), fstab);
  node.says.umount = `umount: ${path}: target is busy.`;
  mkdirSync(join(node.root, 'proc/4711/fd'), { recursive: true });
  node.write('proc/4711/comm', 'vim\n');
  symlinkSync(join(path, 'file'), join(node.root, 'proc/4711/fd/3'));
  t.match(await failure(node.do('mount', { path, state: 'unmounted' })), {
    code: 'MOUNT_BUSY',
    message: /vim \(4711\)/,
  });
});

t.test('mount: by other names of its path and type; what others mount is left', async (t) => {
  const node = mountNode(t.testdir());
  mkdirSync(join(node.root, 'data'));
  symlinkSync('data', join(node.root, 'link'));
  const [path, real] = [join(node.root, 'link/x/y'), join(node.root, 'data/x/y')];
  const input = { path, src: '/dev/sdc', fstype: 'ntfs' };
  t.match(await node.do('mount', input), { changed: true, output: { path, mounted: true } });
  t.match(node.mounted(), ` ${real} `, 'the kernel knows no symlink');
  t.match(await node.do('mount', input), { changed: false });
  const table = node.read('proc/self/mountinfo');
  for (const type of ['fuseblk', 'fuse.ntfs']) {
    node.write('proc/self/mountinfo', table.replace('ntfs', type));
    t.match(await node.do('mount', input), { changed: false }, `the kernel calls it ${type}`);
  }
  node.write('proc/self/mountinfo', table.replace('ntfs /dev/sdc', 'ext4 /dev/theirs'));
  t.match(await failure(node.node.undo('r1', 'x')), {
    code: 'UNDO_CONFLICT',
    message: /mount .*: source is .dev.theirs/,
  });
  t.match(node.mounted(), 'theirs', 'it is still mounted');
  node.write('proc/self/mountinfo', table);
  await node.node.undo('r1', 'x');
  t.same([node.mounted(), existsSync(join(node.root, 'data/x'))], ['', false]);
  for (const odd of ['/mnt/', '/mnt//a', '/mnt/./a'])
    refusing(t, 'mount')({ ...input, path: odd }, /as the kernel tells it/);
});

t.test('mount: what cannot be mounted is not kept for the boot', async (t) => {
  const node = mountNode(t.testdir());
  const before = node.read('etc/fstab');
  const fails = async (stderr: string) => {
    node.says.mount = stderr;
    const error = await failure(node.do('mount', { path: join(node.root, 'mnt'), src: '/dev/x', fstype: 'ext4' }));
    t.equal(node.read('etc/fstab'), before);
    return error?.code;
  };
  t.equal(await fails('mount: /mnt: special device /dev/x does not exist.'), 'MOUNT_SOURCE_MISSING');
  t.equal(await fails('mount: /mnt: wrong fs type, bad option, bad superblock on /dev/x'), 'MOUNT_REFUSED');
  t.equal(await fails("mount: /mnt: unknown filesystem type 'zfs'."), 'MOUNT_TYPE_UNKNOWN');
  t.equal(await fails('mount: /mnt: permission denied.'), 'MOUNT_DENIED');
  t.equal(await fails('mount.nfs: Connection timed out'), 'MOUNT_SERVER_AWAY');
  t.equal(await fails('mount: x'), 'MOUNT_FAILED');
  rmSync(join(node.root, 'mnt'), { recursive: true });
  node.write('mnt', 'a file');
  const onFile = node.do('mount', { path: join(node.root, 'mnt'), src: '/dev/x', fstype: 'ext4' });
  t.match(await failure(onFile), { code: 'MOUNT_POINT_UNFIT' });
  const refuses = refusing(t, 'mount');
  refuses({ path: '/a' }, /take src and fstype/);
  refuses({ path: '/a', src: 'x', fstype: 'y', state: 'absent' }, /take src and fstype/);
  refuses({ path: '/', src: 'x', fstype: 'y' }, /the root/);
  refuses({ path: '/a', src: 'x\ny', fstype: 'y' }, /one line/);
});

t.test('timezone: the symlink and the name of it; brought back', async (t) => {
  const node = systemNode(t.testdir(), () => ({}));
  node.write('usr/share/zoneinfo/Europe/Berlin', '');
  node.write('usr/share/zoneinfo/Etc/UTC', '');
  mkdirSync(join(node.root, 'etc'));
  const link = join(node.root, 'etc/localtime');
  symlinkSync('/usr/share/zoneinfo/Etc/UTC', link);
  t.match(await node.do('timezone', { name: 'Etc/UTC' }), { changed: false }, 'however the symlink is written');
  node.write('etc/timezone', 'Etc/UTC\n');
  t.match(await node.do('timezone', { name: 'Europe/Berlin' }), { changed: true });
  t.same([readlinkSync(link), node.read('etc/timezone')], ['../usr/share/zoneinfo/Europe/Berlin', 'Europe/Berlin\n']);
  t.match(await node.do('timezone', { name: 'Europe/Berlin' }), { changed: false });
  await node.node.undo('r2', 'x');
  t.same([readlinkSync(link), node.read('etc/timezone')], ['/usr/share/zoneinfo/Etc/UTC', 'Etc/UTC\n']);
  rmSync(link);
  writeFileSync(link, 'TZif');
  await node.do('timezone', { name: 'Europe/Berlin' });
  await node.undo();
  t.equal(readFileSync(link, 'utf8'), 'TZif', 'a copy of a zone, too');
  for (const name of ['Europe', 'Mars/Base'])
    t.match(await failure(node.do('timezone', { name })), { code: 'TIMEZONE_UNKNOWN', remedy: /list-timezones/ });
  rmSync(join(node.root, 'usr'), { recursive: true });
  t.match(await failure(node.do('timezone', { name: 'Etc/UTC' })), { code: 'TIMEZONE_UNKNOWN', remedy: /tzdata/ });
  refusing(t, 'timezone')({ name: '../../etc/passwd' }, /not the name/);
});

t.test('cron: a file that cron takes; brought back', async (t) => {
  const node = systemNode(t.testdir(), () => ({}));
  const input = { name: 'backup', schedule: '*/15 3-5 1,15 * 1-5', job: 'date +%F > /tmp/x', env: { MAILTO: 'a b' } };
  t.match(await failure(node.do('cron', input)), { code: 'CRON_MISSING' });
  mkdirSync(join(node.root, 'etc/cron.d'), { recursive: true });
  t.match(await failure(node.do('cron', input)), { code: 'NO_SUCH_USER', message: /root/ });
  node.write('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n');
  await node.do('cron', input);
  const text = '# backup, by kk\nMAILTO="a b"\n*/15 3-5 1,15 * 1-5 root date +\\%F > /tmp/x\n';
  t.equal(node.read('etc/cron.d/backup'), text);
  t.match(await node.do('cron', input), { changed: false });
  await node.do('cron', { name: 'backup', state: 'absent' });
  t.match(await node.do('cron', { name: 'backup', state: 'absent' }), { changed: false });
  await node.node.undo('r5', 'x');
  t.equal(node.read('etc/cron.d/backup'), text);
  await node.node.undo('r3', 'x');
  t.same(readdirSync(join(node.root, 'etc/cron.d')), []);
  const refuses = refusing(t, 'cron');
  refuses({ name: 'a.b', schedule: '@daily', job: 'x' }, /cron passes over/);
  refuses({ name: 'a', schedule: '* * * *', job: 'x' }, /minute, hour/);
  refuses({ name: 'a', schedule: '60 * * * *', job: 'x' }, /no minute of crontab/);
  refuses({ name: 'a', schedule: '* * * * mon-fri x', job: 'x' }, /minute, hour/);
  refuses({ name: 'a', schedule: '@noon', job: 'x' }, /minute, hour/);
  refuses({ name: 'a', schedule: '@daily', job: 'x\ny' }, /one line/);
  refuses({ name: 'a', schedule: '@daily' }, /takes schedule and job/);
  refuses({ name: 'a', state: 'absent', job: 'x' }, /takes schedule and job/);
});

t.test('timer: a service and its timer, once; brought back', async (t) => {
  const dir = t.testdir();
  mkdirSync(join(dir, 'units'));
  const on = new Set<string>();
  const node = systemNode(dir, () => ({
    systemctl: ([verb = '', ...args]) => {
      const unit = args.at(-1) ?? '';
      const load = existsSync(join(dir, 'units', unit)) ? 'loaded' : 'not-found';
      const [active, enabled] = on.has(unit) ? ['active', 'enabled'] : ['inactive', 'disabled'];
      if (verb === 'show') return { stdout: `LoadState=${load}\nActiveState=${active}\nUnitFileState=${enabled}\n` };
      if (verb === 'enable') on.add(unit);
      if (verb === 'disable') on.delete(unit);
      return {};
    },
    'systemd-analyze': (args) => (args.at(-1) === 'tuesdays' ? { stderr: 'Failed to parse calendar expression' } : {}),
  }));
  const input = { name: 'backup', on_calendar: ['daily', 'Mon 03:00'], every: '1h', job: 'echo "$HOME" 100% \\n' };
  t.match(await node.do('timer', input), { changed: true, output: { timer: 'backup.timer' } });
  const text = (unit: string) => readFileSync(join(dir, 'units', unit), 'utf8');
  t.match(
    text('backup.service'),
    'ExecStart=/bin/sh -c "echo \\"$$HOME\\" 100%% \\\\n"\n',
    'the shell gets what was written',
  );
  t.match(text('backup.timer'), /^OnCalendar=daily\nOnCalendar=Mon 03:00\nOnActiveSec=1h\nOnUnitActiveSec=1h$/m);
  t.ok(node.calls().includes('systemctl enable -- backup.timer'));
  t.match(await node.do('timer', input), { changed: false });
  t.match(await failure(node.do('timer', { ...input, on_calendar: 'tuesdays' })), {
    code: 'TIMER_TIME_INVALID',
    message: /tuesdays/,
  });
  const both = [text('backup.service'), text('backup.timer')];
  t.match(await node.do('timer', { name: 'backup', state: 'absent' }), { changed: true });
  t.same([readdirSync(join(dir, 'units')), [...on]], [[], []]);
  t.match(await node.do('timer', { name: 'backup', state: 'absent' }), { changed: false });
  await node.node.undo('r4', 'x');
  t.same([text('backup.service'), text('backup.timer')], both);
  await node.node.undo('r1', 'x');
  t.same([readdirSync(join(dir, 'units')), [...on]], [[], []]);
  const refuses = refusing(t, 'timer');
  refuses({ name: 'a', job: 'x' }, /say when/);
  refuses({ name: 'a', on_calendar: 'daily' }, /which job/);
  refuses({ name: 'a', every: '1h', job: 'x\ny' }, /one line/);
  refuses({ name: 'a', every: 'soon', job: 'x' }, /a span of time/);
  refuses({ name: 'a', every: '1h', job: 'x', persistent: true }, /belongs to on_calendar/);
  refuses({ name: 'a', state: 'absent', job: 'x' }, /only the name/);
});

/** A loop device with ext4 on an image in `dir`; or why there can be none. */
function loopDevice(dir: string): { device: string; free(): void } | string {
  if (process.getuid?.() !== 0) return 'needs root';
  const image = join(dir, 'image');
  const ask = (program: string, ...args: string[]) => spawnSync(program, args, { encoding: 'utf8' });
  writeFileSync(image, '');
  truncateSync(image, 16 * 1024 * 1024);
  const made = ask('mkfs.ext4', '-q', '-L', 'kk label', '-U', UUID, image);
  if (made.status !== 0) return 'needs mkfs.ext4';
  const { status, stdout } = ask('losetup', '--find', '--show', image);
  if (status !== 0) return 'needs loop devices';
  return { device: stdout.trim(), free: () => void ask('losetup', '--detach', stdout.trim()) };
}
const UUID = 'f0e1d2c3-1111-4222-8333-0123456789ab';

t.test('mount: a real device by its UUID and its label, also where no udev names it', async (t) => {
  const dir = t.testdir({ root: { etc: { fstab: '' }, sys: {} }, mnt: {} });
  const loop = loopDevice(dir);
  if (typeof loop === 'string') return t.plan(0, loop);
  t.teardown(loop.free);
  for (const name of ['proc', 'dev']) symlinkSync(`/${name}`, join(dir, 'root', name));
  const node = new Node(dir);
  const path = join(dir, 'mnt');
  t.teardown(() => spawnSync('umount', ['--quiet', path]));
  for (const [run, src] of [`UUID=${UUID}`, 'LABEL=kk label'].entries()) {
    const input = { path, src, fstype: 'ext4', opts: 'noatime' };
    const done = await node.do(`r${run}`, 'mount', input, 'x');
    t.match(done, { changed: true, output: { mounted: true, source: loop.device } }, src);
    t.match(await node.do('again', 'mount', input, 'x'), { changed: false }, 'the second time nothing is changed');
    t.match(readFileSync(join(dir, 'root/etc/fstab'), 'utf8'), `${src.replace(' ', '\\040')} ${path} ext4 noatime 0 0`);
    await node.undo(`r${run}`, 'x');
    t.equal(readFileSync(join(dir, 'root/etc/fstab'), 'utf8'), '');
    t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), path);
  }
});
