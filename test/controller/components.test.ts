/** Components against a mirror of the test's own: what a plan fetches, its lock file, the download. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { compile } from '../../controller/compile/compile.ts';
import { Downloads } from '../../controller/components/downloads.ts';
import { fetchComponent } from '../../controller/components/fetch.ts';
import { proxiesIn } from '../../controller/config/proxy.ts';
import { loadSources, parsePlan } from '../../controller/plan/index.ts';
import { openBlobs } from '../../controller/store/blobs.ts';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
import { desk } from '../support/cli-desk.ts';
import { type Answer, mirror } from '../support/mirror.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const KUBELET = randomBytes(300_000);
const SHA = sha256(KUBELET);
const AT = '/dl.k8s.io/release/v1.29.3/bin/linux/amd64/kubelet';

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kk-components-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A plan that fetches kubelet and etcd; `config`: lines of YAML under spec.config. */
function planText(config: string, tasks = ''): string {
  return `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: lab}
spec:
  inventory:
    hosts: {cp1: {address: 10.0.0.1}, w1: {address: 10.0.0.2}}
  config:
${config.replace(/^/gm, '    ')}
  playbooks:
    - name: site
      plays:
        - name: install
          hosts: all
          tasks:
            - {id: fetch-etcd, on: controller, needs: [], blob.fetch: {component: etcd}}
            - {id: fetch-kubelet, on: controller, needs: [], blob.fetch: kubelet}
            - {id: unpack, unarchive: {component: etcd, dest: /usr/local/bin}, needs: []}
            - {id: place, copy: {component: kubelet, dest: /usr/local/bin/kubelet}, needs: []}
            - {id: say, debug: "{{ components.kubelet.version }} {{ components.versions.pause }}"}
${tasks}`;
}

async function parsed(folder: string, text: string) {
  writeFileSync(join(folder, 'plan.yaml'), text);
  return parsePlan(await loadSources(join(folder, 'plan.yaml')));
}

async function problems(folder: string, config: string, tasks?: string): Promise<string[]> {
  const found = await parsed(folder, planText(config, tasks));
  const line = ({ message, remedy, position }: ErrorReport) => `${position?.line} ${message} ${remedy}`;
  return 'problems' in found ? found.problems.map(line) : [];
}

const CONFIG = 'kubernetes: {version: v1.29.3}';

t.test('what a plan fetches follows from the version of Kubernetes, and each node gets its architecture', async (t) => {
  const folder = await folderOf(t);
  const config = `${CONFIG}\ndownload: {arch: [amd64, arm64]}`;
  const found = await parsed(folder, planText(config));
  if ('problems' in found) throw new Error(JSON.stringify(found.problems));
  const { plan } = found;
  const row = plan.components?.files.map(({ component, version, arch, from, urls }) => [
    component,
    version,
    arch,
    from,
    urls[0],
  ]);
  t.strictSame(row?.slice(1, 3), [
    [
      'etcd',
      'v3.5.24',
      'arm64',
      'data',
      'https://github.com/etcd-io/etcd/releases/download/v3.5.24/etcd-v3.5.24-linux-arm64.tar.gz',
    ],
    ['kubelet', 'v1.29.3', 'amd64', undefined, 'https://dl.k8s.io/release/v1.29.3/bin/linux/amd64/kubelet'],
  ]);
  t.match(plan.config['components'], { kubelet: { version: 'v1.29.3' }, versions: { pause: '3.9' } });

  const compiled = compile(plan);
  if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems));
  const { tasks, common } = compiled.graph;
  const named = (key: string) => tasks.find((task) => task.key.endsWith(`/${key}`));
  t.strictSame(named('unpack')?.edges, [{ task: named('fetch-etcd')?.index, of: 'all' }], 'it needs the file');
  const unpack = common.tasks[named('unpack')?.index ?? -1];
  t.match(unpack?.inputs, { strip: 1, include: ['*/etcd', '*/etcdctl', '*/etcdutl'] }, 'as the archive is laid out');
  t.strictSame(Object.keys(unpack?.blobs ?? {}), ['etcd@amd64', 'etcd@arm64']);
});

t.test('what contradicts itself or does not exist is told at its place, all at once', async (t) => {
  const folder = await folderOf(t);
  const told = (config: string, what: RegExp) => problems(folder, config).then((all) => t.match(all.join('\n'), what));
  await told('kubernetes: {version: 1.29.3}', /^8 kubernetes.version is "1.29.3".*Write v1.29.3/);
  await told('kubernetes: {version: v1.19.9}', /^8 .*the oldest is v1.20/);
  await told(
    `${CONFIG}\ndownload: {arch: [amd64, sparc]}`,
    /^9 There is no etcd, kubelet for the architecture "sparc"/m,
  );
  const override = (of: string) => `${CONFIG}\ndownload:\n  arch: [amd64, arm64]\n  overrides:\n    ${of}`;
  await told(override('kubelt: {version: v1.2.3}'), /^12 There is no component "kubelt". Did you mean "kubelet"/);
  await told(override('kubelet: {url: "http://x/y"}'), /^12 .*url is one for amd64 and arm64. Write url: {amd64/);
  await told(override('kubelet: {url: {amd64: "http://x/y"}}'), /^12 .*url says nothing for arm64/);
  await told(override('kubelet: {url: "http://x/{arch}", path: "./{arch}"}'), /^12 .*both url and path/);
  await told(override('kubelet: {path: "./{arch}"}'), /^12 There is no file .\/amd64/);
  await told(override('kubelet: {sha256: abc}'), /^12 .*64 hexadecimal digits/);
  await told(override('etcd: {url: "https://me:secret@x/{arch}"}'), /^12 etcd has no address that can be fetched\. /);
  const extra = (task: string) => problems(folder, CONFIG, `            - ${task}\n`).then(([first]) => first);
  t.match(await extra('copy: {component: helm, dest: /x}'), /Nothing in the plan fetches the component helm/);
  t.match(await extra('copy: {component: kubelett, dest: /x}'), /no component "kubelett". Did you mean "kubelet"/);
  t.match(await extra('unarchive: {component: kubelet, dest: /x}'), /one file and no archive. Use copy/);
  t.match(await extra('copy: {component: "{{ node_name }}", dest: /x}'), /cannot be a template/);
  t.equal(await extra('{copy: {component: "{{ item }}", dest: /x/}, loop: [kubelet]}'), undefined);
});

t.test('a sha256 is asked once, pinned beside the plan, and needs no network then', async (t) => {
  const { run, folder } = await desk(t, false);
  const server = await mirror(t, { [`${AT}.sha256`]: SHA, [AT]: KUBELET });
  const plan = join(folder, 'cluster.yaml');
  const lock = join(folder, 'cluster.lock.yaml');
  const config = `${CONFIG}\ndownload: {mirror: "${server.url}"}`;
  writeFileSync(plan, planText(config));

  const first = await run(['components', plan, '-o', 'json']);
  t.equal(first.code, 0, first.err);
  t.match(JSON.parse(first.out), [
    { component: 'etcd', from: 'data' },
    { component: 'kubelet', version: 'v1.29.3', arch: 'amd64', sha256: SHA, from: 'lock', urls: [server.url + AT] },
  ]);
  const text = readFileSync(lock, 'utf8');
  t.match(text, `components:\n  kubelet:\n    v1.29.3:\n      amd64: ${SHA}\n`);
  t.strictSame(
    server.asked.map(({ path }) => path),
    [`${AT}.sha256`],
    'only what is not known, and only of what tasks name',
  );
  await server.stop();
  t.equal((await run(['plan', plan])).code, 0, 'the lock file is enough');

  const changed = await mirror(t, {
    [`${AT}.sha256`]: `${'b'.repeat(64)}  kubelet\n`,
    '/github.com/etcd-io/etcd/releases/download/v3.5.24/SHA256SUMS': `${'c'.repeat(64)}  etcd-v3.5.24-linux-amd64.tar.gz\n`,
  });
  const set = ['--set', `download.mirror=${changed.url}`];
  t.equal((await run(['components', plan, ...set])).code, 0, 'the lock file wins');
  const update = await run(['components', plan, ...set, '--update']);
  t.match(
    update.err,
    /COMPONENT_CHANGED[\s\S]*etcd v3.5.24[\s\S]*components.yaml[\s\S]*kubelet v1.29.3[\s\S]*the lock file says/,
  );
  t.equal(readFileSync(lock, 'utf8'), text, 'and nothing is taken silently');

  writeFileSync(lock, text.replace(SHA, 'short'));
  t.match((await run(['plan', plan])).err, /cluster.lock.yaml:\d+:\d+[\s\S]*64 hexadecimal digits/);
});

t.test('what cannot be asked is told with address and remedy', async (t) => {
  const { run, folder } = await desk(t, false);
  const plan = join(folder, 'plan.yaml');
  const server = await mirror(t, { [AT]: KUBELET });
  const asks = async (config: string) => {
    writeFileSync(plan, planText(`${CONFIG}\ndownload: ${config}`));
    return (await run(['plan', plan])).err;
  };
  t.match(
    await asks(`{mirror: "${server.url}"}`),
    /CHECKSUM_UNKNOWN[\s\S]*kubelet v1.29.3[\s\S]*is there[\s\S]*overrides.kubelet.sha256/,
  );
  delete server.answers[AT];
  t.match(
    await asks(`{mirror: "${server.url}"}`),
    /COMPONENT_NOT_FOUND[\s\S]*kubelet v1.29.3 for amd64[\s\S]*kubernetes.version/,
  );
  await server.stop();
  const looked = await asks(`{mirror: "${server.url}"}`);
  t.match(
    looked,
    /^The sha256 of \S.* could not be asked\. They will be when the plan is applied\.\n$/,
    'a look needs no network',
  );
  const gone = (await run(['components', plan])).err;
  t.match(gone, /COMPONENT_UNREACHABLE[\s\S]*ECONNREFUSED[\s\S]*download.mirror/);
  t.equal(gone.split('COMPONENT_UNREACHABLE').length, 2, 'one trouble, told once');
  const second = await mirror(t, { [`${AT}.sha256`]: SHA });
  t.equal(await asks(`{mirror: ["${server.url}", "${second.url}"]}`), '', 'another mirror is asked then');
});

t.test('proxies are taken as people write them, and what is none is told', async (t) => {
  const found = proxiesIn({ HTTP_PROXY: 'proxy:3128', https_proxy: 'http://proxy:3128', NO_PROXY: 'localhost' });
  const address = 'http://proxy:3128';
  t.same(found, { proxies: { http_proxy: address, https_proxy: address, no_proxy: 'localhost' }, wrong: [] });
  const wrong = proxiesIn({ HTTP_PROXY: 'socks5://x:1', HTTPS_PROXY: 'not an address' });
  t.same(wrong, { proxies: { http_proxy: '', https_proxy: '', no_proxy: '' }, wrong: ['HTTP_PROXY', 'HTTPS_PROXY'] });

  const state = await mkdtemp(join(tmpdir(), 'kk-proxy-'));
  t.teardown(() => rm(state, { recursive: true, force: true }));
  for (const http_proxy of ['10.0.0.1:3128', 'socks5://x:1']) {
    const env = { PATH: process.env['PATH'], KK_STATE: state, http_proxy };
    const { stdout } = await promisify(execFile)(process.execPath, ['controller/main.ts', 'version'], { env });
    t.match(stdout, /^kk-controller /, `a command works with the proxy ${http_proxy}`);
  }
});

t.test('a file beside the plan stands in for a component', async (t) => {
  const folder = await folderOf(t);
  writeFileSync(join(folder, 'my-kubelet'), KUBELET);
  const found = await parsed(folder, planText(`${CONFIG}\ndownload: {overrides: {kubelet: {path: my-kubelet}}}`));
  if ('problems' in found) throw new Error(JSON.stringify(found.problems));
  const compiled = compile(found.plan);
  if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems));
  const place = compiled.graph.common.tasks.find(({ key }) => key.endsWith('/place'));
  t.strictSame(place?.blobs, { 'kubelet@amd64': { sha256: SHA, size: KUBELET.length, executable: true } });
});

/** The controller's side, on a folder of its own. */
async function controller(t: Test, folder?: string) {
  const at = folder ?? (await folderOf(t));
  const blobs = await openBlobs(join(at, 'blobs'), Date.now);
  const pauses: number[] = [];
  const pause = async (ms: number) => void pauses.push(ms);
  const downloads = await Downloads.open({ blobs, folder: join(at, 'downloads'), nowMs: Date.now, pause });
  const { act } = fetchComponent(downloads);
  const fetch = (urls: string[], more: { sha256?: string; signal?: AbortSignal } = {}) => {
    const files = { amd64: { urls, sha256: more.sha256 ?? SHA } };
    const inputs = { component: 'kubelet', origins: { kubelet: { version: 'v1.29.3', files } }, timeout: 60 };
    const signal = more.signal ?? new AbortController().signal;
    return act({ run: 'r', plan: 'lab', node: 'cp1', task: 't', inputs, signal });
  };
  const failing = (...args: Parameters<typeof fetch>): Promise<ErrorReport> =>
    fetch(...args).then(
      () => t.fail('it should fail') as never,
      (thrown: unknown) => (thrown instanceof KkError ? thrown.report : Promise.reject(thrown)),
    );
  return { at, blobs, fetch, failing, pauses };
}

/** The file or a range of it; `cut`: how many bytes come before the connection breaks, once they have `arrived`. */
function gives(file: Buffer, cut: () => number, etag = '"one"', arrived = (_size: number) => true): Answer {
  return ({ headers }, reply) => {
    const isSame = headers['if-range'] === undefined || headers['if-range'] === etag;
    const [, from] = (isSame && /^bytes=(\d+)-$/.exec(headers.range ?? '')) || [];
    const rest = file.subarray(Number(from ?? 0));
    if (rest.length === 0) return void reply.writeHead(416).end();
    const range = from ? { 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` } : {};
    reply.writeHead(from ? 206 : 200, { 'content-length': rest.length, etag, ...range });
    const bytes = cut();
    if (bytes >= rest.length) return void reply.end(rest);
    const end = Number(from ?? 0) + bytes;
    reply.write(rest.subarray(0, bytes), function breakOff() {
      if (bytes === 0 || arrived(end)) reply.destroy();
      else setTimeout(breakOff, 5);
    });
  };
}

const WHOLE = () => Number.POSITIVE_INFINITY;

t.test('a file is fetched once, goes on where it broke off, and lies in the store under its sha256', async (t) => {
  const { at, blobs, fetch, pauses } = await controller(t);
  const cuts = [100_000, 0, 100_000];
  const folder = join(at, 'downloads');
  const arrived = (size: number) => readdirSync(folder).some((name) => statSync(join(folder, name)).size >= size);
  const server = await mirror(t, {
    [AT]: gives(KUBELET, () => cuts.shift() ?? Number.POSITIVE_INFINITY, undefined, arrived),
  });
  const both = await Promise.all([fetch([server.url + AT]), fetch([server.url + AT])]);
  t.match(both[0], {
    changed: true,
    output: { version: 'v1.29.3', files: { amd64: { sha256: SHA, bytes: 300_000 } } },
  });
  t.equal(both[1]?.changed, false, 'who waits for another brings nothing');
  const ranges = server.asked.map(({ headers }) => [headers.range, headers['if-range']]);
  t.strictSame(ranges[0], [undefined, undefined]);
  t.match(ranges.at(-1), [/^bytes=\d+-$/, '"one"']);
  t.equal(ranges.length, 4, 'two asked, one went');
  t.ok(pauses.length === 3);
  const found = await blobs.open(SHA);
  const bytes = Buffer.alloc(KUBELET.length + 1);
  t.equal(await found?.read(bytes, 0), KUBELET.length);
  t.ok(bytes.subarray(0, KUBELET.length).equals(KUBELET));
  await found?.close();
  t.strictSame(readdirSync(join(at, 'downloads')), []);
  t.match(await fetch([]), { changed: false }, 'no network is needed then');
});

t.test('a controller that died goes on with what it had; what was spoilt meanwhile is fetched anew', async (t) => {
  const first = await controller(t);
  const part = join(first.at, 'downloads', SHA);
  writeFileSync(part, KUBELET.subarray(0, 200_000));
  const server = await mirror(t, { [AT]: gives(KUBELET, WHOLE) });
  await (await controller(t, first.at)).fetch([server.url + AT]);
  t.equal(server.asked[0]?.headers.range, 'bytes=200000-');

  const second = await controller(t);
  writeFileSync(join(second.at, 'downloads', SHA), randomBytes(200_000));
  await second.fetch([server.url + AT]);
  t.equal(await second.blobs.size(SHA), KUBELET.length);
});

t.test('an edition that changed under way is not glued to the old one', async (t) => {
  const { fetch } = await controller(t);
  const old = randomBytes(300_000);
  const editions: Answer[] = [gives(old, () => 100_000, '"old"'), gives(KUBELET, WHOLE, '"new"')];
  const server = await mirror(t, { [AT]: (request, reply) => editions.shift()?.(request, reply) });
  t.match(await fetch([server.url + AT]), { changed: true });
  t.equal(server.asked.length, 2);
});

t.test('mirrors are asked in order; what none of them gives is told with what each said', async (t) => {
  const { at, fetch, failing } = await controller(t);
  const wrong = await mirror(t, { [AT]: randomBytes(5000) });
  const down = await mirror(t, {});
  await down.stop();
  const absent = await mirror(t, {});
  const urls = [down, wrong, absent].map(({ url }) => url + AT);
  t.match(await failing(urls), {
    code: 'COMPONENT_WRONG_SHA256',
    message: /kubelet v1.29.3 for amd64/,
    evidence: /ECONNREFUSED[\s\S]*gave 5000 bytes[\s\S]*answered 404/,
  });
  t.match(await failing([urls[2] ?? '']), { code: 'COMPONENT_NOT_FOUND', remedy: /download.arch/ });
  t.match(await failing([urls[0] ?? '']), {
    code: 'COMPONENT_UNREACHABLE',
    message: `kubelet v1.29.3 for amd64 could not be fetched from ${new URL(down.url).host}.`,
    evidence: /ECONNREFUSED/,
    remedy: /apply --resume/,
  });
  t.match(await failing([]), { code: 'COMPONENT_NOT_FOUND', remedy: /apply --resume/ });
  const right = await mirror(t, { [AT]: gives(KUBELET, WHOLE) });
  t.match(await fetch([...urls, right.url + AT]), { changed: true });
  t.strictSame(readdirSync(join(at, 'blobs')), [SHA]);
});

t.test(
  'a redirect is followed, but never from https to http; a cancelled run ends at once and keeps what came',
  async (t) => {
    const { at, fetch } = await controller(t);
    const target = await mirror(t, { '/there': gives(KUBELET, WHOLE) });
    const server = await mirror(t, {
      [AT]: (_, reply) => void reply.writeHead(302, { location: `${target.url}/there` }).end(),
    });
    t.match(await fetch([server.url + AT]), { changed: true });

    const other = await controller(t);
    const stop = new AbortController();
    const slow = await mirror(t, {
      [AT]: (_, reply) => {
        reply.writeHead(200, { 'content-length': KUBELET.length });
        reply.write(KUBELET.subarray(0, 50_000));
        setImmediate(() => stop.abort(new Error('cancelled')));
      },
    });
    await t.rejects(other.fetch([slow.url + AT], { signal: stop.signal }), /cancelled/);
    t.ok(statSync(join(other.at, 'downloads', SHA)).size <= 50_000);
    t.not(other.at, at);
  },
);
