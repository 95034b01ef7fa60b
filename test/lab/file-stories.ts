import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Test } from 'tap';
import { Header } from 'tar';
import { stringify } from 'yaml';
import { until } from '../../scripts/lab/commands.ts';
import type { Fleet } from './fleet.ts';
import { changes } from './line-stories.ts';
import { measured, story } from './story.ts';

const NODES = ['node1', 'node2'];
const MIB = 1024 * 1024;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function tarOf(files: Record<string, string>): Buffer {
  const blocks = Object.entries(files).flatMap(([path, text]) => {
    const [block, body] = [Buffer.alloc(512), Buffer.from(text)];
    new Header({ path, type: 'File', size: body.length, mode: 0o755, mtime: new Date(0) }).encode(block, 0);
    return [block, body, Buffer.alloc((512 - (body.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** All that file actions touch here, with kind, mode, owner, content and target of links. */
function picture(fleet: Fleet, node: string): Promise<string> {
  return fleet.on(
    node,
    `find /etc /opt /usr/local /srv -printf '%p %y %m %U:%G %l\\n' | sort
     find /etc /opt /srv -type f -print0 | sort -z | xargs -0 sha256sum`,
  );
}

/** A web server on the machine of the controller; what was asked of it is kept. */
async function webServer(
  host: string,
  answers: Record<string, (request: IncomingMessage, reply: ServerResponse) => void>,
) {
  const asked: { path: string; range: string | undefined }[] = [];
  const server = createServer((request, reply) => {
    const path = request.url ?? '';
    asked.push({ path, range: request.headers.range });
    const answer = answers[path];
    if (answer) answer(request, reply);
    else reply.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const url = `http://${host}:${(server.address() as AddressInfo).port}`;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url, asked, close };
}

/** A file from some byte on, so slowly that somebody can do something meanwhile; `sent` counts its bytes. */
function slowly(file: Buffer, sent: { bytes: number }) {
  return (request: IncomingMessage, reply: ServerResponse): void => {
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = from > 0 ? { 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` } : {};
    reply.writeHead(from > 0 ? 206 : 200, { 'content-length': file.length - from, ...range });
    let at = from;
    const next = (): void => {
      if (at >= file.length) return void reply.end();
      const part = file.subarray(at, at + MIB / 4);
      at += part.length;
      sent.bytes += part.length;
      reply.write(part, () => setTimeout(next, 25));
    };
    next();
  };
}

/** Files from the plan, from the web and out of archives: there, the same again, and gone again. The nodes have joined. */
export async function fileStories(t: Test, fleet: Fleet): Promise<void> {
  const large = randomBytes(60 * MIB);
  const other = randomBytes(5 * MIB);
  const slow = randomBytes(8 * MIB);
  const sent = { bytes: 0 };
  const evil = tarOf({ fine: 'fine', '../../etc/cron.d/evil': '* * * * * root id\n' });
  const web = await webServer(new URL(fleet.endpoint).hostname, {
    '/tool.tgz': (_, reply) =>
      void reply.end(gzipSync(tarOf({ 'tool-1.0/bin/tool': '#!/bin/sh\n', 'tool-1.0/LICENSE': 'free\n' }))),
    '/evil.tar': (_, reply) => void reply.end(evil),
    '/other': (_, reply) => void reply.end(other),
    '/slow': slowly(slow, sent),
  });
  t.teardown(web.close);
  const tool = gzipSync(tarOf({ 'tool-1.0/bin/tool': '#!/bin/sh\n', 'tool-1.0/LICENSE': 'free\n' }));
  const role = fleet.path('playbooks/roles/shipping');
  await mkdir(join(role, 'files/conf.d'), { recursive: true });
  await writeFile(join(role, 'files/large.bin'), large);
  await writeFile(join(role, 'files/conf.d/a.conf'), 'a = 1\n');
  await writeFile(join(role, 'files/conf.d/run.sh'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(fleet.path('beside.txt'), 'beside the plan\n');
  const hosts = Object.fromEntries(
    NODES.map((name) => [name, { address: fleet.addressOf(name), ssh: false as const }]),
  );
  await fleet.inventory('files-inventory.yaml', hosts);
  const planWith = async (name: string, tasks: object[], nodes = NODES): Promise<string> => {
    await writeFile(join(role, 'tasks.yaml'), stringify(tasks));
    const play = { name, hosts: nodes, roles: ['shipping'] };
    await writeFile(fleet.path('playbooks/files.yaml'), stringify({ plays: [play] }));
    const spec = { inventory: { file: 'files-inventory.yaml' }, playbooks: ['playbooks/files.yaml'] };
    await fleet.file(`${name}.yaml`, stringify({ apiVersion: 'kk.dev/v1', kind: 'Plan', metadata: { name }, spec }));
    return `${name}.yaml`;
  };
  const pictures = (): Promise<string[]> => Promise.all(NODES.map((node) => picture(fleet, node)));

  await story(t, 'copy, download, unarchive, stat and http: done, nothing again, and undone', async (t) => {
    for (const node of NODES) await fleet.on(node, 'mkdir -p /srv/there && echo older > /srv/there/beside.txt');
    const before = await pictures();
    const plan = await planWith('files', [
      { copy: { src: 'large.bin', dest: '/opt/kk-files.bin', mode: '0640', group: 'adm' } },
      { copy: { src: 'conf.d', dest: '/etc/kk-files/conf.d', directory_mode: '0750' } },
      { copy: { src: './beside.txt', dest: '/srv/there/' } },
      { download: { url: [`${web.url}/none`, `${web.url}/other`], sha256: sha256(other), dest: '/opt/kk-downloaded' } },
      { unarchive: { url: `${web.url}/tool.tgz`, sha256: sha256(tool), dest: '/opt/tool', strip: 1 } },
      { stat: { path: '/opt/tool/bin/tool', sha256: true }, register: 'tool' },
      { assert: { that: ['tool.exists', "tool.mode == '0755'"] } },
      { http: { url: `${web.url}/tool.tgz`, status: 200 }, register: 'answer' },
    ]);
    const { code, run, stderr } = await fleet.apply(plan);
    t.equal(code, 0, `${stderr}${JSON.stringify(run.failures)}`);
    t.equal(changes(run), 10, 'five on each');
    measured(t, `60 MiB to two nodes, and the rest: ${run.durationMs} ms`);
    for (const node of NODES) {
      t.equal(await fleet.on(node, 'sha256sum < /opt/kk-files.bin'), `${sha256(large)}  -\n`);
      t.equal(await fleet.on(node, 'stat -c "%a %G" /opt/kk-files.bin'), '640 adm\n');
      t.equal(
        await fleet.on(node, 'cat /srv/there/beside.txt; stat -c %a /etc/kk-files/conf.d/run.sh'),
        'beside the plan\n755\n',
      );
      t.equal(await fleet.on(node, 'find /opt/tool -type f | sort'), '/opt/tool/LICENSE\n/opt/tool/bin/tool\n');
    }
    const again = await fleet.apply(plan);
    t.equal(changes(again.run), 0, '0 changed');
    t.equal(web.asked.filter(({ path }) => path === '/other').length, NODES.length, 'downloaded once by each');
    t.equal((await fleet.kk('rollback', run.id, '--yes')).code, 0);
    t.same(await pictures(), before, 'the nodes are as they were');
  });

  await story(t, 'an agent that is killed in the middle of a download goes on where it was', async (t) => {
    const download = { url: `${web.url}/slow`, sha256: sha256(slow), dest: '/opt/kk-slow' };
    const going = fleet.applying(await planWith('slow', [{ download }], ['node1']));
    t.ok(await until(async () => sent.bytes > 3 * MIB, 30_000, 50), 'it has begun');
    await fleet.on('node1', 'systemctl kill -s KILL kk-agent');
    const { code, run } = await going.ended;
    t.equal(code, 0, JSON.stringify(run.failures));
    const ranges = web.asked.filter(({ path }) => path === '/slow').map(({ range }) => range);
    t.match(ranges, [undefined, /^bytes=[1-9]\d+-$/]);
    t.equal(await fleet.on('node1', 'sha256sum < /opt/kk-slow; rm /opt/kk-slow'), `${sha256(slow)}  -\n`);
  });

  await story(t, 'fetch and cp: files of the nodes come here, and files from here go there', async (t) => {
    for (const node of NODES)
      await fleet.on(node, `echo of ${node} > /srv/there/one.log; echo more > /srv/there/two.log`);
    const fetch = { path: '/srv/there/*.log', dest: fleet.path('fetched') };
    const { code, run } = await fleet.apply(await planWith('fetch', [{ fetch }]));
    t.equal(code, 0, JSON.stringify(run.failures));
    t.equal(changes(run), 0, 'nothing on a node is changed');
    t.equal(await readFile(fleet.path('fetched/node2/srv/there/one.log'), 'utf8'), 'of node2\n');
    t.match(await fleet.kk('cp', 'node1,node2:/srv/there/*.log', fleet.path('logs')), {
      code: 0,
      stdout: /node1 {2}2 files/,
    });
    t.equal(await readFile(fleet.path('logs/node1/one.log'), 'utf8'), 'of node1\n');
    t.match(await fleet.kk('cp', fleet.path('beside.txt'), join(role, 'files/conf.d'), 'node1,node2:/srv/there/new/'), {
      code: 0,
    });
    t.equal(await fleet.on('node2', 'cd /srv/there/new && ls; rm -r /srv/there'), 'beside.txt\nconf.d\n');
  });

  await story(t, 'wrong digests, archives that mean harm and full disks end in errors with a remedy', async (t) => {
    await fleet.on('node1', 'mkdir -p /mnt/small && mount -t tmpfs -o size=1m tmpfs /mnt/small');
    const fails = async (task: object, error: object): Promise<void> => {
      const { code, run } = await fleet.apply(await planWith('bad', [task], ['node1']));
      t.equal(code, 3);
      t.match(run.failures, [{ error: { ...error, remedy: /\S/ } }]);
    };
    const dest = '/mnt/small/file';
    const zeros = '0'.repeat(64);
    await fails(
      { download: { url: `${web.url}/evil.tar`, sha256: zeros, dest } },
      { code: 'BLOB_WRONG_SHA256', message: /evil\.tar gave/ },
    );
    const unarchive = { url: `${web.url}/evil.tar`, sha256: sha256(evil), dest: '/srv/x' };
    await fails({ unarchive }, { code: 'ARCHIVE_UNSAFE', message: /cron\.d\/evil/ });
    t.equal(await fleet.on('node1', 'ls -d /srv/x /etc/cron.d/evil 2>/dev/null || true'), '');
    await fails({ copy: { src: 'large.bin', dest } }, { code: 'DISK_FULL', message: /mnt\/small/ });
    t.equal(await fleet.on('node1', 'ls -A /mnt/small; umount /mnt/small'), '', 'nothing half is left');
    await fails({ http: { url: `${web.url}/none` } }, { code: 'HTTP_UNEXPECTED', message: /404/ });
  });
}
