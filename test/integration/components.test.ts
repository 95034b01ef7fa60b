/** Components, from a mirror through the controller to real agents. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { architectureOf } from '../../agent/facts/index.ts';
import { planOf, startLine } from '../support/line.ts';
import { mirror } from '../support/mirror.ts';

const NODES = ['n1', 'n2'];
const ARCH = architectureOf();
const RUNC = randomBytes(6_000_000);
const SHA = createHash('sha256').update(RUNC).digest('hex');
const AT = `/github.com/opencontainers/runc/releases/download/v9.9.9/runc.${ARCH}`;

t.test('fetched once, after the mirror was mended, and put on every node', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of NODES) await line.agent(name);
  const server = await mirror(t, { [AT]: randomBytes(1000) });
  const out = join(line.folder, 'out');
  await mkdir(out);
  const config = `  config:
    download:
      arch: [${ARCH}]
      mirror: ${server.url}
      overrides: {runc: {version: v9.9.9, sha256: ${SHA}}}
`;
  const plan = planOf(
    NODES,
    `        - name: runtime
          hosts: all
          tasks:
            - {name: fetch, on: controller, blob.fetch: runc, register: fetched}
            - {name: note, command: {shell: "echo {{ components.runc.version }} > ${out}/{{ node_name }}.version"}, needs: []}
            - {name: place, copy: {component: runc, dest: "${out}/{{ node_name }}-runc"}, needs: []}
`,
    config,
  );
  const failed = await line.apply(plan);
  t.equal(failed.view.status, 'failed');
  t.match(failed.view.failures, [
    { error: { code: 'COMPONENT_WRONG_SHA256', message: /runc v9.9.9/, evidence: /gave 1000 bytes/ } },
  ]);
  await t.rejects(stat(join(out, 'n1-runc')), { code: 'ENOENT' });

  server.answers[AT] = RUNC;
  await line.client.retry(failed.view.id, { by: 'ada' });
  const { view, lines } = await line.follow(failed.view.id);
  t.ok(lines.some((item) => item.type === 'progress' && new RegExp(`^${ARCH}: \\d of 6 MB$`).test(item.text)));
  t.equal(view.status, 'done', JSON.stringify(view.failures));
  t.ok((await readFile(join(out, 'n2-runc'))).equals(RUNC));
  t.equal((await stat(join(out, 'n1-runc'))).mode & 0o777, 0o755, 'a program may be run');
  t.equal(await readFile(join(out, 'n1.version'), 'utf8'), 'v9.9.9\n');
  t.equal(server.asked.length, 2, 'once wrong, once right, whatever many nodes there are');

  await server.stop();
  const again = await line.apply(plan);
  t.equal(again.view.status, 'done', 'what is there is not asked for');
  t.match(again.view.nodes, [{ changed: 1 }, { changed: 1 }], 'only the command without creates');

  await writeFile(join(out, 'n1-runc'), 'somebody else');
  const check = await line.apply(plan, { check: true });
  t.equal(check.view.status, 'done', JSON.stringify(check.view.failures));
});
