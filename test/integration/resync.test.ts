/** A controller whose database was set back (restored from a backup) hears from the nodes what it has forgotten. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { StreamLine } from '../../controller/views/types.ts';
import { type Line, planOf, startLine } from '../support/line.ts';

const NODES = ['n1', 'n2'];

/** The database with what SQLite keeps beside it. */
async function copyDatabase(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(to)) if (name.startsWith('controller.db')) await rm(join(to, name));
  for (const name of await readdir(from))
    if (name.startsWith('controller.db')) await cp(join(from, name), join(to, name));
}

/** Follows a run until so many steps of that name have ended. */
async function untilEnded(line: Line, run: string, name: string, count: number): Promise<void> {
  const enough = new AbortController();
  let seen = 0;
  for await (const item of line.client.follow(run, { logs: false }, enough.signal)) {
    if (item.type === 'ended' && item.name === name) seen += 1;
    if (seen === count) break;
  }
  enough.abort();
}

t.test('set back in the middle of a run, it is told everything anew and the run ends right', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of NODES) await line.agent(name);
  const out = join(line.folder, 'out');
  await mkdir(out);
  const add = (what: string) => `command: {shell: "echo ${what} >> ${out}/{{ node_name }}"}`;
  const until = (what: string) => `wait_for: {path: "${out}/${what}", timeout_seconds: 60}`;
  const run = await line.start(
    planOf(
      NODES,
      `        - name: steps
          hosts: all
          tasks:
            - {name: first, ${add('first')}}
            - {name: copied, ${until('copied')}}
            - {name: second, ${add('second')}, register: said}
            - {name: third, ${add('third')}}
            - {name: told, debug: told}
            - {name: set-back, ${until('set-back')}}
            - {name: last, ${add('last')}}
        - name: after
          hosts: n1
          tasks:
            - {name: end, ${add('end')}, needs: [{task: last, of: all}]}
`,
    ),
  );
  const [state, backup] = [join(line.folder, 'controller'), join(line.folder, 'backup')];
  await untilEnded(line, run, 'first', 2);
  await line.stopController();
  await copyDatabase(state, backup);
  await line.startController();

  await writeFile(join(out, 'copied'), '');
  await untilEnded(line, run, 'told', 2);
  // What came in between and is forgotten on the node leaves a gap in the numbers of what it still has.
  const { run: between } = await line.client.exec({ selector: ['n1'], argv: ['true'] });
  await line.follow(between);
  await line.stopController();
  // The nodes have met a generation that the backup does not reach by its own next start.
  const so = line.said.length;
  await line.startController();
  await line.heard((one) => one.message === 'connected to the controller' && line.said.indexOf(one) >= so);
  await line.stopController();
  await copyDatabase(backup, state);
  await line.agents.get('n1')?.stop();
  await line.agent('n1');
  await line.startController();

  await untilEnded(line, run, 'told', 2);
  await writeFile(join(out, 'set-back'), '');
  await line.heard(({ who, message }) => who === '' && /held until/.test(message));
  await line.client.adopt({});
  const { view, lines } = await line.follow(run);
  t.equal(view.status, 'done', JSON.stringify(view.failures));
  t.equal(await readFile(join(out, 'n1'), 'utf8'), 'first\nsecond\nthird\nlast\nend\n', 'each step ran once');
  t.equal(await readFile(join(out, 'n2'), 'utf8'), 'first\nsecond\nthird\nlast\n');
  const ends = lines.filter((one: StreamLine) => one.type === 'ended').map(({ node, name }) => `${node} ${name}`);
  t.equal(ends.length, 15);
  t.equal(new Set(ends).size, 15, 'and its end is known once');
  t.notOk(
    line.said.some(({ details }) => details['code'] === 'SEQUENCE_GAP'),
    'without a gap',
  );
});
