/** unarchive: every format, the same again, undone; and archives that mean harm. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import t from 'tap';
import { Header } from 'tar';
import { architectureOf } from '../../agent/facts/index.ts';
import { componentBlob } from '../../shared/blob.ts';
import { filesIn } from '../support/node-files.ts';
import { realHost } from '../support/real-host.ts';
import { failure, Node } from '../support/undo-node.ts';

interface Part {
  path: string;
  type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link' | 'CharacterDevice' | 'FIFO';
  content?: string | Buffer;
  linkpath?: string;
  mode?: number;
}

/** A tar as nobody's tar would make it. */
function tarOf(parts: readonly Part[]): Buffer {
  const blocks = parts.flatMap(({ path, type = 'File', content = '', linkpath, mode = 0o644 }) => {
    const body = Buffer.from(content);
    const block = Buffer.alloc(512);
    const header = new Header({
      path,
      type,
      size: body.length,
      mode,
      uid: 1234,
      gid: 1234,
      mtime: new Date(0),
      ...(linkpath ? { linkpath } : {}),
    });
    header.encode(block, 0);
    return [block, body, Buffer.alloc((512 - (body.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** A zip of one empty file, whatever it is called. */
function zipWith(name: string): Buffer {
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(name.length, 26);
  const listed = Buffer.alloc(46);
  listed.writeUInt32LE(0x02014b50, 0);
  listed.writeUInt16LE(name.length, 28);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(46 + name.length, 12);
  end.writeUInt32LE(30 + name.length, 16);
  return Buffer.concat([local, Buffer.from(name), listed, Buffer.from(name), end]);
}

const PARTS: Part[] = [
  { path: './', type: 'Directory', mode: 0o755 },
  { path: 'app/bin/', type: 'Directory', mode: 0o750 },
  { path: 'app/bin/tool', content: '#!/bin/sh\n', mode: 0o4775 },
  { path: 'app/bin/again', type: 'Link', linkpath: 'app/bin/tool' },
  { path: 'app/lib/data', content: Buffer.alloc(300_000, 7) },
  { path: 'app/current', type: 'SymbolicLink', linkpath: 'bin/tool' },
];

const mode = (path: string): string => (lstatSync(path).mode & 0o7777).toString(8);
const has = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
};

t.test('tar, plain and compressed: what is in it, again nothing, undone', async (t) => {
  const dir = t.testdir({ archives: {} });
  const node = new Node(dir);
  node.files = filesIn(dir);
  const tar = tarOf(PARTS);
  const formats: Record<string, Buffer> = { tar, 'tar.gz': gzipSync(tar), 'tar.zst': zstdCompressSync(tar) };
  if (has('xz')) formats['tar.xz'] = execFileSync('xz', ['-c'], { input: tar });
  for (const [format, bytes] of Object.entries(formats)) {
    const path = join(dir, 'archives', format);
    writeFileSync(path, bytes);
    const dest = join(dir, 'out', format);
    const input = { path, dest, strip: 1 };
    const done = await node.do(format, 'unarchive', input);
    t.match(done, { changed: true, output: { files: 3, bytes: 300_020 } }, format);
    t.equal(readFileSync(join(dest, 'bin/tool'), 'utf8'), '#!/bin/sh\n');
    t.equal(readFileSync(join(dest, 'bin/again'), 'utf8'), '#!/bin/sh\n');
    t.equal(mode(join(dest, 'bin/tool')), '755', 'no set-uid bit, and nobody else may write');
    t.equal(mode(join(dest, 'bin')), '750');
    t.equal(lstatSync(join(dest, 'bin/tool')).uid, process.getuid?.(), 'of us, not of the archive');
    t.equal(readlinkSync(join(dest, 'current')), 'bin/tool');
    t.match(await node.do('again', 'unarchive', input), { changed: false }, `${format} again`);
    await node.undo(format, 'unarchive');
    t.same(readdirSync(join(dir)), ['archives', 'state'], `${format} undone: also the folders above`);
  }
});

t.test('zip', { skip: !has('zip') && 'no zip here to make one' }, async (t) => {
  const dir = t.testdir({ in: { sub: { 'run.sh': '#!/bin/sh\n' }, 'a.txt': 'hello' } });
  const node = new Node(dir);
  symlinkSync('a.txt', join(dir, 'in/link'));
  execFileSync('sh', ['-c', 'chmod 755 in/sub/run.sh; cd in && zip -qry ../a.zip .'], { cwd: dir });
  const input = { path: join(dir, 'a.zip'), dest: join(dir, 'out') };
  t.match(await node.do('r', 'unarchive', input), { changed: true, output: { files: 2 } });
  t.equal(mode(join(dir, 'out/sub/run.sh')), '755');
  t.equal(readlinkSync(join(dir, 'out/link')), 'a.txt');
  t.match(await node.do('r2', 'unarchive', input), { changed: false });
});

t.test('what is there is kept, replaced and brought back; only what differs is written', async (t) => {
  const dir = t.testdir({ out: { app: { bin: { tool: 'older', mine: 'mine' } } } });
  const node = new Node(dir);
  node.files = filesIn(dir);
  const path = join(dir, 'a.tgz');
  writeFileSync(path, gzipSync(tarOf(PARTS)));
  const out = (...parts: string[]): string => join(dir, 'out/app', ...parts);
  symlinkSync('lib', out('current'));
  const input = { path, dest: join(dir, 'out') };
  await node.do('r1', 'unarchive', input);
  t.equal(readlinkSync(out('current')), 'bin/tool');
  writeFileSync(out('lib/data'), 'by hand');
  const { diffs } = await node.do('r2', 'unarchive', input);
  t.match(
    diffs.map((diff) => diff.path),
    [out('lib/data')],
  );
  await node.undo('r2', 'unarchive');
  t.equal(readFileSync(out('lib/data'), 'utf8'), 'by hand');
  t.match(await failure(node.undo('r1', 'unarchive')), { code: 'UNDO_CONFLICT', message: /lib\/data/ });
  await node.do('r3', 'unarchive', input);
  await node.undo('r1', 'unarchive');
  t.same(readdirSync(out()), ['bin', 'current']);
  t.same(readdirSync(out('bin')), ['mine', 'tool']);
  t.equal(readFileSync(out('bin/tool'), 'utf8'), 'older');
  t.equal(readlinkSync(out('current')), 'lib');
});

t.test('an archive of the plan, of which a part is wanted', async (t) => {
  const dir = t.testdir({ files: {} });
  const node = new Node(dir);
  node.files = filesIn(dir);
  const bytes = gzipSync(tarOf(PARTS));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(join(dir, 'files', sha256), bytes);
  node.blobs = { 'app.tgz': { sha256, size: bytes.length } };
  const input = { src: 'app.tgz', dest: join(dir, 'out'), include: ['app/bin/*'], strip: 2 };
  t.match(await node.do('r', 'unarchive', input), { output: { files: 2, sha256 } });
  t.same(readdirSync(join(dir, 'out')), ['again', 'tool']);
  t.match(await failure(node.do('r', 'unarchive', { ...input, src: 'other.tgz' })), { code: 'SRC_UNKNOWN' });
  await node.do('r', 'unarchive', { src: 'app.tgz', dest: `${join(dir, 'out')}/` });
  t.match(await node.do('r', 'unarchive', input), { changed: false });
  // What is known of it is enough to look, with the archive out of reach.
  const manifests = readdirSync(join(dir, 'state/unpacked'));
  t.equal(manifests.length, 2, 'of two in one directory both are known');
  await node.do('r', 'unarchive', { ...input, dest: `${input.dest}//` });
  t.same(readdirSync(join(dir, 'state/unpacked')), manifests, 'however the directory is written');
});

t.test('a component comes in the architecture of the node, one that the plan does not fetch is told', async (t) => {
  const dir = t.testdir({ files: {} });
  const node = new Node(dir);
  node.files = filesIn(dir);
  const keep = (bytes: Buffer): string => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(dir, 'files', sha256), bytes);
    return sha256;
  };
  const tool = keep(Buffer.from('a program'));
  const archive = keep(gzipSync(tarOf(PARTS)));
  // Sizes are not known before they are fetched.
  node.blobs = {
    [componentBlob('runc', architectureOf())]: { sha256: tool, executable: true },
    [componentBlob('etcd', architectureOf())]: { sha256: archive },
    [componentBlob('helm', 'vax')]: { sha256: archive },
  };
  const input = { component: 'runc', dest: join(dir, 'bin/') };
  const placed = await node.do('r', 'copy', { ...input, dest: `${input.dest}/` });
  t.match(placed, { changed: true, output: { sha256: tool, mode: '0755', bytes: 9, files: 1 } });
  t.equal(readFileSync(join(dir, 'bin/runc'), 'utf8'), 'a program');
  t.match(await node.do('r', 'copy', { ...input, dest: `${input.dest}/` }), { changed: false, output: { bytes: 9 } });
  const unpack = { component: 'etcd', dest: join(dir, 'out'), include: ['app/bin/*'], strip: 2 };
  t.match(await node.do('r', 'unarchive', unpack), { output: { files: 2, sha256: archive } });
  t.match(await node.do('r', 'unarchive', unpack), { changed: false });
  const missing = failure(node.do('r', 'copy', { component: 'helm', dest: join(dir, 'helm') }));
  t.match(await missing, { code: 'COMPONENT_NOT_HERE', remedy: /download\.arch/, evidence: /helm@vax/ });
  await node.undo('r', 'copy');
  t.throws(() => lstatSync(join(dir, 'bin/runc')), { code: 'ENOENT' });
});

t.test('an archive that was damaged in the cache is not unpacked, but brought anew', async (t) => {
  const dir = t.testdir({ files: {} });
  const node = new Node(dir);
  const bytes = tarOf([{ path: 'a', content: 'right' }]);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const open = async () => ({ stream: Readable.from([bytes]), offset: 0, total: bytes.length });
  node.files = filesIn(dir, { fromController: () => ({ name: 'the controller', patience: 0, open }) });
  node.blobs = { 'a.tar': { sha256, size: bytes.length } };
  const input = { src: 'a.tar', dest: join(dir, 'out') };
  const cached = join(dir, 'files', sha256);
  writeFileSync(cached, tarOf([{ path: 'a', content: 'wrong' }]));
  await node.do('r', 'unarchive', input);
  t.equal(readFileSync(join(dir, 'out/a'), 'utf8'), 'right');
  writeFileSync(join(dir, 'out/a'), 'by hand');
  writeFileSync(cached, tarOf([{ path: 'a', content: 'wrong' }]));
  await node.do('r', 'unarchive', input);
  t.equal(readFileSync(join(dir, 'out/a'), 'utf8'), 'right', 'also when its list is known');
  writeFileSync(join(dir, 'out/a'), 'by hand');
  writeFileSync(cached, '');
  await node.do('r', 'unarchive', input);
  t.equal(readFileSync(join(dir, 'out/a'), 'utf8'), 'right', 'an empty one, as a power cut leaves it');
});

t.test('a symlink is exchanged at once: whatever the agent dies of, one of the two is there', async (t) => {
  const dir = t.testdir({ out: {} });
  const host = realHost();
  const link = join(dir, 'out/l');
  const makeLink: typeof host.files.makeLink = async (path, target, owner) => {
    await host.files.makeLink(path, target, owner);
    if (dying) throw new Error('killed');
  };
  let dying = true;
  const node = new Node(dir, { ...host, files: { ...host.files, makeLink } });
  symlinkSync('older', link);
  const path = join(dir, 'a.tar');
  writeFileSync(path, tarOf([{ path: 'l', type: 'SymbolicLink', linkpath: 'newer' }]));
  const input = { path, dest: join(dir, 'out') };
  await t.rejects(node.do('r', 'unarchive', input));
  t.equal(readlinkSync(link), 'older');
  dying = false;
  await node.do('r', 'unarchive', input);
  t.same([readlinkSync(link), readdirSync(join(dir, 'out'))], ['newer', ['l']]);
  await node.undo('r', 'unarchive');
  t.equal(readlinkSync(link), 'older');
});

t.test('archives that mean harm, or nothing: told by the entry, and nothing is written', async (t) => {
  const dir = t.testdir({ elsewhere: { passwd: 'root' } });
  const node = new Node(dir);
  const path = join(dir, 'a.tar');
  const dest = join(dir, 'deep/out');
  const refuses = async (bytes: Buffer, error: object, more: object = {}, what = JSON.stringify(error)) => {
    writeFileSync(path, bytes);
    t.match(await failure(node.do('r', 'unarchive', { path, dest, ...more })), error, what);
    t.throws(() => lstatSync(join(dir, 'deep')), { code: 'ENOENT' }, 'nothing was written');
    t.same(readdirSync(join(dir, 'elsewhere')), ['passwd']);
  };
  const ok: Part = { path: 'fine', content: 'fine' };
  const unsafe = (message: RegExp) => ({ code: 'ARCHIVE_UNSAFE', message, remedy: /include/ });
  await refuses(tarOf([ok, { path: '../elsewhere/x', content: 'x' }]), unsafe(/"\.\.\/elsewhere\/x".* leads out/));
  await refuses(tarOf([ok, { path: 'a/../../x', content: 'x' }]), unsafe(/leads out/));
  await refuses(tarOf([ok, { path: '/etc/cron.d/x', content: 'x' }]), unsafe(/absolute name/));
  const link = (linkpath: string): Part => ({ path: 'l', type: 'SymbolicLink', linkpath });
  await refuses(tarOf([link('/etc')]), unsafe(/symlink that leads out .*\/etc/));
  await refuses(tarOf([link('../../elsewhere')]), unsafe(/symlink that leads out/));
  await refuses(
    tarOf([{ path: 'd', type: 'Directory' }, link('d'), { path: 'l/x', content: 'x' }]),
    unsafe(/below the symlink l/),
  );
  const named = (path: string, linkpath: string): Part => ({ path, type: 'SymbolicLink', linkpath });
  await refuses(
    tarOf([{ path: 'x/evil', content: 'x' }, named('d/d/s', '../..'), named('x', 'd/d/s/../..')]),
    unsafe(/"x\/evil".* lies below the symlink x/),
  );
  await refuses(tarOf([named('d/d/s', '../..'), named('x', 'd/d/s/..')]), unsafe(/"x".* symlink that leads out/));
  await refuses(
    tarOf([named('x', 'd/d/s/..'), named('d/d/s', 'y'), named('d/d/y', '../..')]),
    unsafe(/"x".* leads out/),
  );
  await refuses(
    tarOf([
      { path: 'a', content: 'a' },
      { path: 'a/b', content: 'b' },
    ]),
    unsafe(/below the file a/),
  );
  await refuses(
    tarOf([
      { path: 'a/b', content: 'b' },
      { path: 'a', content: 'a' },
    ]),
    unsafe(/below the file a/),
  );
  await refuses(
    tarOf([{ path: 'a', content: 'a' }, { path: 'h', type: 'Link', linkpath: 'a' }, named('a', '.')]),
    unsafe(/"h".* hard link to a, which comes again/),
  );
  await refuses(zipWith('../evil'), { code: 'ARCHIVE_UNSAFE', message: /\.\.\/evil/ });
  await refuses(tarOf([{ path: 'h', type: 'Link', linkpath: '/etc/shadow' }]), unsafe(/hard link to \/etc\/shadow/));
  await refuses(tarOf([{ path: 'dev', type: 'CharacterDevice' }]), unsafe(/device/));
  await refuses(tarOf([{ path: 'pipe', type: 'FIFO' }]), unsafe(/device or a pipe/));
  const bomb = gzipSync(tarOf([{ path: 'zeros', content: Buffer.alloc(5_000_000) }]));
  await refuses(
    bomb,
    { code: 'ARCHIVE_TOO_LARGE', message: /1000000 bytes \(at zeros\)/, remedy: /max_bytes/ },
    { max_bytes: 1_000_000 },
  );
  await refuses(
    tarOf([ok, { ...ok, path: 'b' }]),
    { code: 'ARCHIVE_TOO_LARGE', remedy: /max_entries/ },
    { max_entries: 1 },
  );
  await refuses(gzipSync(tarOf(PARTS)).subarray(0, 300), { code: 'ARCHIVE_BROKEN', message: /unexpected end/ });
  await refuses(tarOf(PARTS).subarray(0, 4096), { code: 'ARCHIVE_BROKEN' }, {}, 'a tar that was cut');
  await refuses(Buffer.from('<html>not found</html>'), { code: 'ARCHIVE_UNKNOWN' });
  t.match(await failure(node.do('r', 'unarchive', { path: join(dir, 'none'), dest })), { code: 'ARCHIVE_MISSING' });
});

t.test('a symlink on the node does not lead what is unpacked elsewhere', async (t) => {
  const dir = t.testdir({ out: {}, elsewhere: { d: {} } });
  const node = new Node(dir);
  const path = join(dir, 'a.tar');
  writeFileSync(path, tarOf([{ path: 'd/x', content: 'x' }]));
  symlinkSync('../elsewhere/d', join(dir, 'out/d'));
  t.match(await failure(node.do('r', 'unarchive', { path, dest: join(dir, 'out') })), {
    code: 'UNPACK_IN_THE_WAY',
    remedy: /dest: .*elsewhere\/d and include/,
  });
  t.same(readdirSync(join(dir, 'elsewhere/d')), []);
  mkdirSync(join(dir, 'moved'));
  symlinkSync('moved', join(dir, 'link'));
  await node.do('r', 'unarchive', { path, dest: join(dir, 'link') });
  t.same(readdirSync(join(dir, 'moved')), ['d'], 'the destination itself may be one');
});
