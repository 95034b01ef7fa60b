/** download and http against a web server of the test's own, stat, and the cache that downloads go through. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { bytesOf } from '../../agent/config/settings.ts';
import { Throttle } from '../../agent/files/throttle.ts';
import { fileFromWeb } from '../../agent/files/web.ts';
import { ACTIONS } from '../../shared/actions/index.ts';
import { filesIn } from '../support/node-files.ts';
import { failure, Node } from '../support/undo-node.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const FILE = randomBytes(400_000);
const SHA = sha256(FILE);

/** Answers by path; what was asked is kept. */
async function server(t: Test, answers: Record<string, (request: IncomingMessage, reply: ServerResponse) => void>) {
  const asked: { path: string; headers: IncomingMessage['headers'] }[] = [];
  const http = createServer((request, reply) => {
    const path = request.url ?? '';
    asked.push({ path, headers: request.headers });
    const answer = answers[path.replace(/\?.*/, '')];
    if (answer) answer(request, reply);
    else reply.writeHead(404).end('no');
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    http.closeAllConnections();
    return new Promise((resolve) => http.close(resolve));
  });
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, asked };
}

/** The whole file or a range of it; `cut`: only so many bytes, then the connection breaks. */
function gives(file: Buffer, cut = () => Number.POSITIVE_INFINITY) {
  return ({ headers }: IncomingMessage, reply: ServerResponse): void => {
    const [, from] = /^bytes=(\d+)-$/.exec(headers.range ?? '') ?? [];
    const rest = file.subarray(Number(from ?? 0));
    if (rest.length === 0) return void reply.writeHead(416).end('no such bytes');
    const range = { 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` };
    reply.writeHead(from ? 206 : 200, { 'content-length': rest.length, ...(from ? range : {}) });
    const bytes = cut();
    if (bytes >= rest.length) return void reply.end(rest);
    reply.write(rest.subarray(0, bytes), () => reply.destroy());
  };
}

t.test("what contradicts itself, or could be anybody's, is refused before anything runs", (t) => {
  const refuses = (kind: 'download' | 'http', input: object, why: RegExp) =>
    t.match(ACTIONS[kind].input.safeParse({ url: 'https://x/y', dest: '/d', ...input }).error?.message, why);
  refuses('download', {}, /exactly one of sha256/);
  refuses('download', { sha256: SHA, checksum_url: 'https://x/sums' }, /exactly one of sha256/);
  refuses('download', { sha256: 'none', url: 'http://x/y' }, /only https/);
  refuses('download', { sha256: 'none', insecure: true }, /only https/);
  refuses('download', { checksum_url: 'http://x/sums' }, /only https/);
  refuses('download', { sha256: SHA, url: 'https://me:secret@x/y' }, /as a header/);
  refuses('download', { sha256: SHA, headers: { 'PRIVATE-TOKEN': 'abc\n' } }, /end with a newline/);
  refuses('download', { sha256: SHA, url: 'ftp://x/y' }, /Invalid URL/);
  t.ok(ACTIONS.download.input.safeParse({ url: 'http://x/y', dest: '/d', sha256: SHA, insecure: true }).success);
  t.end();
});

t.test('download: goes on where it was cut off, by range; again nothing is asked; undone', async (t) => {
  const dir = t.testdir();
  const node = new Node(dir);
  node.files = filesIn(dir);
  let cuts = 2;
  const web = await server(t, { '/f': gives(FILE, () => (cuts-- > 0 ? 150_000 : Number.POSITIVE_INFINITY)) });
  const dest = join(dir, 'out');
  const input = { url: `${web.url}/f`, sha256: SHA, dest, mode: '0755' };
  t.match(await node.do('r1', 'download', input), {
    changed: true,
    output: { sha256: SHA, bytes: 400_000, mode: '0755' },
  });
  t.equal(sha256(readFileSync(dest)), SHA);
  t.match(
    web.asked.map(({ headers }) => headers.range),
    [undefined, /^bytes=\d+-$/, /^bytes=\d+-$/],
  );
  t.match(await node.do('r2', 'download', input), { changed: false });
  t.equal(web.asked.length, 3);
  await node.do('r3', 'download', { ...input, dest: join(dir, 'second') });
  t.equal(web.asked.length, 3, 'from the cache');
  writeFileSync(dest, 'by hand');
  t.match(await node.do('r4', 'download', input), { changed: true, diffs: [{ before: 'by hand' }] });
  await node.undo('r4', 'download');
  t.equal(readFileSync(dest, 'utf8'), 'by hand');
  t.match(await failure(node.undo('r1', 'download')), { code: 'UNDO_CONFLICT' });
});

t.test('without a digest, a cut download goes on only with what the server says is the same file', async (t) => {
  const { signal } = new AbortController();
  const other = randomBytes(FILE.length);
  /** The server's file, by what it says of it; `changes`: it is another one after the cut. */
  const get = async (tag: Record<string, string>, changes = false) => {
    let asked = 0;
    const web = await server(t, {
      '/f': (request, reply) => {
        asked += 1;
        const isSame = !changes || asked === 1;
        for (const [name, value] of Object.entries(tag))
          reply.setHeader(name, isSame ? value : `${value.slice(0, -1)}2"`);
        const whole = { headers: {} } as IncomingMessage;
        const wish = !isSame && request.headers['if-range'] !== undefined ? whole : request;
        gives(isSame ? FILE : other, () => (asked === 1 ? 150_000 : Number.POSITIVE_INFINITY))(wish, reply);
      },
    });
    const { cache } = filesIn(t.testdir());
    const question = { url: `${web.url}/f`, headers: {}, silentMs: 5_000, proxy: {}, insecure: false };
    const sha = await cache.keep({ source: fileFromWeb(question, { patience: 1, isKnown: false }), signal });
    return { sha, asked: web.asked.map(({ headers }) => [headers.range !== undefined, headers['if-range']]) };
  };
  const tag = { etag: '"v1"' };
  t.match(await get(tag), {
    sha: SHA,
    asked: [
      [false, undefined],
      [true, '"v1"'],
    ],
  });
  t.match(
    await get(tag, true),
    {
      sha: sha256(other),
      asked: [
        [false, undefined],
        [true, '"v1"'],
      ],
    },
    'all of the new one',
  );
  t.match(
    await get({}, true),
    {
      sha: sha256(other),
      asked: [
        [false, undefined],
        [false, undefined],
      ],
    },
    'it says nothing',
  );
  t.match(
    await get({ etag: 'W/"v1"' }),
    {
      sha: SHA,
      asked: [
        [false, undefined],
        [false, undefined],
      ],
    },
    'it is not sure',
  );
});

t.test('download: the beginning that an earlier life left is used, unless it is spoilt', async (t) => {
  const dir = t.testdir({ files: {} });
  const part = join(dir, 'files', `${SHA}.part`);
  const web = await server(t, { '/f': gives(FILE) });
  const get = async (beginning: Buffer, name: string) => {
    const node = new Node(join(dir, name));
    node.files = filesIn(dir, { limit: 1 });
    mkdirSync(join(dir, name), { recursive: true });
    writeFileSync(part, beginning);
    await node.do('r', 'download', { url: `${web.url}/f`, sha256: SHA, dest: join(dir, name, 'f') });
    t.equal(sha256(readFileSync(join(dir, name, 'f'))), SHA, name);
    t.same(readdirSync(join(dir, 'files')), [], 'above its limit, the cache keeps nothing that is not in use');
    return web.asked.splice(0).map(({ headers }) => headers.range);
  };
  t.same(await get(FILE.subarray(0, 1000), 'good'), ['bytes=1000-']);
  t.same(await get(Buffer.alloc(1000), 'spoilt'), ['bytes=1000-', undefined]);
  t.same(await get(FILE, 'whole'), ['bytes=400000-'], 'nothing more to come');
});

t.test('a whole file that an earlier life had not named yet is not asked for again', async (t) => {
  const dir = t.testdir({ files: { [`${SHA}.part`]: FILE } });
  const cache = filesIn(dir).cache;
  const open = () => Promise.reject(new Error('asked'));
  const wanted = { sha256: SHA, size: FILE.length, source: { name: 'it', patience: 0, open } };
  const { signal } = new AbortController();
  t.equal(await cache.use({ ...wanted, signal }, async (path) => sha256(readFileSync(path))), SHA);
});

t.test('files without a digest: two at once do not spoil each other, and what was left of one goes', async (t) => {
  const dir = t.testdir({ files: { [`${'a'.repeat(64)}.once`]: 'left' } });
  const { cache } = filesIn(dir, { limit: 1 });
  const { signal } = new AbortController();
  const bytes = [randomBytes(2000), randomBytes(3000)];
  const both = Promise.withResolvers<void>();
  let begun = 0;
  const keep = (one: Buffer) => {
    const stream = async function* () {
      yield one.subarray(0, 1000);
      begun += 1;
      if (begun === 2) both.resolve();
      await both.promise;
      yield one.subarray(1000);
    };
    const open = async () => ({ stream: Readable.from(stream()), offset: 0, total: one.length });
    return cache.keep({ source: { name: 'https://x/get?…', patience: 0, open }, signal });
  };
  t.same(await Promise.all(bytes.map(keep)), bytes.map(sha256));
  t.same(readdirSync(join(dir, 'files')).sort(), bytes.map(sha256).sort());
});

t.test('download: mirrors in turn, and what none of them gives', async (t) => {
  const dir = t.testdir();
  const node = new Node(dir);
  node.files = filesIn(dir);
  const elsewhere = await server(t, { '/f': gives(FILE) });
  const web = await server(t, {
    '/other': (_, reply) => void reply.end('something else'),
    '/busy': (_, reply) => void reply.writeHead(503).end(),
    '/moved': (_, reply) => void reply.writeHead(302, { location: '/f' }).end(),
    '/away': (_, reply) => void reply.writeHead(302, { location: `${elsewhere.url}/f` }).end(),
    '/loop': (_, reply) => void reply.writeHead(302, { location: '/loop' }).end(),
    '/f': gives(FILE),
  });
  const from = (...paths: string[]) => ({
    url: paths.map((path) => web.url + path),
    sha256: SHA,
    dest: join(dir, 'f'),
  });
  const refused = await failure(node.do('r1', 'download', from('/other', '/busy', '/none', '/loop')));
  t.match(refused, { code: 'DOWNLOAD_FAILED', evidence: /BLOB_WRONG_SHA256.*\n.*503.*\n.*404.*\n.*more than 5 times/ });
  t.match(await failure(node.do('r1', 'download', from('/other'))), {
    code: 'BLOB_WRONG_SHA256',
    message: new RegExp(sha256(Buffer.from('something else'))),
  });
  t.match(await failure(node.do('r1', 'download', from('/none?key=secret'))), {
    code: 'DOWNLOAD_REFUSED',
    message: /none\?… answered 404/,
  });
  t.throws(() => statSync(join(dir, 'f')), { code: 'ENOENT' });
  t.match(await node.do('r2', 'download', from('/other', '/moved')), { changed: true });
  const secret = { url: `${web.url}/away`, sha256: SHA, dest: join(dir, 'h'), headers: { 'PRIVATE-TOKEN': 'secret' } };
  node.files = filesIn(join(dir, 'anew'));
  await node.do('r4', 'download', secret);
  t.equal(web.asked.at(-1)?.headers['private-token'], 'secret');
  t.match(elsewhere.asked, [{ headers: { 'private-token': undefined, 'accept-encoding': 'identity' } }]);
  const closed = { url: 'http://127.0.0.1:1/f', sha256: sha256(Buffer.of(1)), dest: join(dir, 'g') };
  t.match(await failure(node.do('r3', 'download', closed)), { code: 'DOWNLOAD_NO_ANSWER', message: /ECONNREFUSED/ });
});

t.test('a proxy is asked for what lies behind it', async (t) => {
  const dir = t.testdir();
  const node = new Node(dir);
  const proxy = await server(t, { 'http://far.example/f': gives(FILE) });
  const input = { url: 'http://far.example/f', sha256: SHA, dest: join(dir, 'f') };
  node.files = filesIn(dir, { proxy: { HTTP_PROXY: proxy.url } });
  t.match(await node.do('r1', 'download', input), { changed: true });
  node.files = filesIn(join(dir, 'two'));
  t.match(await node.do('r2', 'download', { ...input, dest: join(dir, 'g'), proxy: proxy.url }), { changed: true });
  t.equal(proxy.asked.length, 2);
});

t.test('what is damaged in the cache is found and brought anew', async (t) => {
  const dir = t.testdir();
  const node = new Node(dir);
  node.files = filesIn(dir);
  const web = await server(t, { '/f': gives(FILE) });
  const input = { url: `${web.url}/f`, sha256: SHA, dest: join(dir, 'f') };
  await node.do('r1', 'download', input);
  truncateSync(join(dir, 'files', SHA), 1000);
  writeFileSync(join(dir, 'f'), 'old');
  await node.do('r2', 'download', input);
  t.equal(sha256(readFileSync(join(dir, 'f'))), SHA);
});

t.test('all that is pulled together stays below the rate', async (t) => {
  let now = 0;
  const waited: number[] = [];
  const pause = async (ms: number): Promise<void> => void waited.push(ms);
  const throttle = new Throttle({ bytesPerSecond: 1000, nowMs: () => now, pause });
  await Promise.all([throttle.spend(500), throttle.spend(500)]);
  now = 5000;
  await throttle.spend(100);
  t.same(waited, [500, 1000, 100], 'two at once share it, and what was not used is not saved up');
  await new Throttle({ bytesPerSecond: undefined, nowMs: () => now, pause }).spend(10 ** 9);
  t.equal(waited.length, 3);
});

t.test('settings in bytes', (t) => {
  t.equal(bytesOf('cache', '500M'), 500 * 1024 ** 2);
  t.equal(bytesOf('bandwidth', ''), undefined);
  t.throws(() => bytesOf('bandwidth', '5 MB/s'), {
    code: 'SETTING_INVALID',
    message: /--bandwidth \(KK_AGENT_BANDWIDTH\)/,
  });
  t.end();
});

t.test('http: the answer, bounded, and what was expected of it', async (t) => {
  const node = new Node(t.testdir());
  node.files = filesIn(node.state);
  const web = await server(t, {
    '/json': (_, reply) => void reply.writeHead(200, { 'content-type': 'application/json' }).end('{"ready":true}'),
    '/large': (_, reply) => void reply.end('x'.repeat(1_000_000)),
    '/echo': (request, reply) => void request.pipe(reply.writeHead(201, { 'x-method': request.method })),
    '/sick': (_, reply) => void reply.writeHead(500).end('the database is away'),
  });
  const elsewhere = await server(t, { '/echo': (request, reply) => void request.pipe(reply) });
  const moved = await server(t, {
    '/away': (_, reply) => void reply.writeHead(307, { location: `${elsewhere.url}/echo` }).end(),
    '/here': (_, reply) => void reply.writeHead(308, { location: '/echo' }).end(),
    '/echo': (request, reply) => void request.pipe(reply),
  });
  const ask = (input: object) => node.do('r', 'http', input);
  t.match(await ask({ url: `${web.url}/json`, match: 'rea.y' }), {
    changed: false,
    output: { status: 200, json: { ready: true } },
  });
  const { output } = await ask({ url: `${web.url}/large` });
  t.match([output.bytes, output.body.length], [1_000_000, 65_536]);
  const put = { url: `${web.url}/echo`, method: 'PUT', json: { a: [1] }, headers: { authorization: 'Bearer s3cret' } };
  t.match(await ask(put), { output: { status: 201, body: '{"a":[1]}', headers: { 'x-method': 'PUT' } } });
  t.equal(web.asked.at(-1)?.headers.authorization, 'Bearer s3cret');
  const post = { method: 'POST', body: 's3cret' };
  t.match(await ask({ url: `${moved.url}/here`, ...post }), { output: { status: 200, body: 's3cret' } });
  t.match(await failure(ask({ url: `${moved.url}/away`, ...post })), { code: 'HTTP_UNEXPECTED', message: /gave 307/ });
  t.same(elsewhere.asked, [], 'the body is for the server that was asked');
  t.match(await ask({ url: `${moved.url}/away` }), { output: { status: 200 } }, 'without one it is followed');
  const sick = await failure(ask({ url: `${web.url}/sick?token=s3cret` }));
  t.match(sick, { code: 'HTTP_UNEXPECTED', message: /GET .*\/sick\?… gave 500/, evidence: 'the database is away' });
  t.match(await ask({ url: `${web.url}/sick`, status: [500, 503] }), { output: { status: 500 } });
  t.match(await failure(ask({ url: `${web.url}/json`, match: 'nothing' })), {
    code: 'HTTP_UNEXPECTED',
    message: /not found/,
  });
  t.match(await failure(ask({ url: 'http://127.0.0.1:1/' })), { code: 'HTTP_NO_ANSWER', message: /ECONNREFUSED/ });
});

t.test('stat: what is there', async (t) => {
  const dir = t.testdir({ f: 'hello', d: {} });
  symlinkSync('f', join(dir, 'l'));
  const node = new Node(dir);
  const at = async (path: string, more: object = {}) =>
    (await node.do('r', 'stat', { path: join(dir, path), ...more })).output;
  t.match(await at('f', { sha256: true }), {
    exists: true,
    kind: 'file',
    size: 5,
    sha256: sha256(Buffer.from('hello')),
  });
  t.match(await at('d'), { exists: true, kind: 'directory' });
  t.match(await at('l'), { kind: 'symlink', target: 'f' });
  t.match(await at('l', { follow: true }), { kind: 'file', size: 5 });
  t.same(await at('none'), { path: join(dir, 'none'), exists: false });
});
