/** Secrets and certificates from a plan to its nodes: a real controller and real agents over loopback TLS. */
import { X509Certificate } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { isSignedBy } from '../../shared/certificates.ts';
import { planOf, startLine } from '../support/line.ts';

/** Every file below a folder in which the text stands. */
async function holding(folder: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && (await readFile(path)).includes(text)) found.push(path);
  }
  return found;
}

t.test('secrets and certificates of a plan', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of ['n1', 'n2', 'n3']) await line.agent(name);
  const out = (node: string, name: string): string => join(line.folder, `${node}-out`, name);
  const at = (name: string): string => `${line.folder}/{{ node_name }}-out/${name}`;
  const sans = '["DNS:{{ node_name }}", "IP:{{ node_address }}"]';
  const plan = planOf(
    ['n1', 'n2', 'n3'],
    `        - name: secrets
          hosts: [n1, n2]
          tasks:
            - directory: {path: "${line.folder}/{{ node_name }}-out", mode: "0700"}
            - {on: controller, secret.make: {name: token, kind: bootstrap_token}}
            - file: {path: "${at('token')}", content: "{{ secret('token') }}", mode: "0600"}
            - command: {argv: [sh, -c, "cat > ${at('stdin')}"], stdin: "{{ secret('token') }}"}
            - command: {argv: [cat, "${at('token')}"]}
              register: shown
              changed_when: false
            - {command: {argv: [sh, -c, "cat ${at('token')} >&2; exit 3"]}, ignore_errors: true}
        - name: certificates
          hosts: [n1, n2]
          tasks:
            - certificate_request: {key: "${at('key')}", subject: {CN: "{{ node_name }}", O: lab}, sans: ${sans}}
              register: request
            - on: controller
              per: members
              pki.issue: {ca: lab, csr: "{{ request.csr }}", subject: {CN: "{{ node_name }}", O: lab}, sans: ${sans}, usages: [server]}
              register: issued
            - file: {path: "${at('crt')}", content: "{{ issued.certificate }}", mode: "0644"}
            - file: {path: "${at('ca')}", content: "{{ issued.ca }}", mode: "0644"}
        - {name: other, hosts: n3, tasks: [{debug: nothing}]}
`,
    '    groups: {members: [n1, n2]}\n',
  );
  let token = '';

  await t.test('a secret comes to the steps that name it, and is nowhere else', async (t) => {
    const { view, lines } = await line.apply(plan);
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    token = await readFile(out('n1', 'token'), 'utf8');
    t.match(token, /^[a-z0-9]{6}\.[a-z0-9]{16}$/);
    for (const node of ['n1', 'n2']) {
      t.equal(await readFile(out(node, 'token'), 'utf8'), token);
      t.equal(await readFile(out(node, 'stdin'), 'utf8'), token);
      t.equal((await stat(out(node, 'token'))).mode & 0o777, 0o600);
    }
    t.notMatch(JSON.stringify({ view, lines, said: line.said }), token);
    t.match(JSON.stringify(lines), new RegExp(`[*]{${token.length}}`), 'in its place are asterisks');
    for (const folder of ['controller', 'n1', 'n2', 'n3'])
      t.same(await holding(join(line.folder, folder), token), await printed(join(line.folder, folder)), folder);
  });

  /** What a command that is not sensitive prints is on its own node, whole, until the run is forgotten. */
  async function printed(folder: string): Promise<string[]> {
    return (await holding(folder, token)).filter((path) => /\/runs\/.*std(out|err)$/.test(path));
  }

  await t.test('certificates by the plan’s CA, for keys that stay on their nodes', async (t) => {
    for (const node of ['n1', 'n2']) {
      const [certificate, ca] = [await readFile(out(node, 'crt')), await readFile(out(node, 'ca'))];
      t.ok(isSignedBy(new X509Certificate(certificate), new X509Certificate(ca)));
      t.equal(new X509Certificate(certificate).subject, `O=lab\nCN=${node}`);
      t.same(
        await holding(join(line.folder, 'controller'), (await readFile(out(node, 'key'), 'utf8')).slice(40, 80)),
        [],
      );
    }
  });

  await t.test('applied again, nothing changes', async (t) => {
    const { view } = await line.apply(plan);
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    t.same(await counts(), { secrets: ['token'], certificates: 2 });
    t.equal(await readFile(out('n1', 'token'), 'utf8'), token);
  });

  /** What the controller's database holds. */
  async function counts() {
    const database = new DatabaseSync(join(line.folder, 'controller/controller.db'), { readOnly: true });
    try {
      const secrets = database.prepare('SELECT name FROM secrets ORDER BY name').all();
      const certificates = database.prepare('SELECT body FROM certificates').all();
      return { secrets: secrets.map(({ name }) => String(name)), certificates: certificates.length };
    } finally {
      database.close();
    }
  }

  await t.test('while the controller is away a step waits for its secret, and goes on with it', async (t) => {
    const go = join(line.folder, 'go');
    const run = await line.start(
      planOf(
        ['n1'],
        `        - name: away
          hosts: all
          tasks:
            - {on: controller, secret.make: {name: late, kind: password, keep: run}}
            - command: {shell: "while [ ! -e ${go} ]; do sleep 0.05; done"}
            - {file: {path: "${at('late')}", content: "{{ secret('late') }}", mode: "0600"}, timeout: 1}
`,
      ),
    );
    for await (const item of line.client.follow(run, { logs: false }, new AbortController().signal)) {
      if (item.type === 'begun' && item.node === 'n1' && item.name === 'command') break;
    }
    await line.stopController();
    await writeFile(go, '');
    await line.heard(({ who, message }) => who === 'n1' && /a secret cannot be had yet/.test(message));
    await t.rejects(stat(out('n1', 'late')));
    await line.startController();
    const { view } = await line.follow(run);
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    const late = await readFile(out('n1', 'late'), 'utf8');
    t.match(late, /^[A-Za-z0-9]{32}$/);
    for (const folder of ['controller', 'n1']) t.same(await holding(join(line.folder, folder), late), [], folder);

    t.same((await counts()).secrets, ['late', 'token']);
    const back = await line.client.rollback(run, { start: true, by: 'test' });
    t.equal((await line.follow(back.run ?? '')).view.status, 'done');
    await t.rejects(stat(out('n1', 'late')));
    t.same((await counts()).secrets, ['token'], 'a rollback deletes what its run made');
  });
});
