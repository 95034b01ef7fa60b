import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { StreamLine } from '../../controller/views/types.ts';
import { planOf, startLine } from '../support/line.ts';

const NODES = ['n1', 'n2'];

const outcomes = (lines: readonly StreamLine[], task: string) =>
  Object.fromEntries(
    lines.flatMap((line) =>
      line.type === 'ended' && line.task.endsWith(`/${task}`) ? [[line.node, line.outcome]] : [],
    ),
  );

t.test('blocks over real agents', async (t) => {
  const line = await startLine();
  t.teardown(() => line.close());
  for (const name of NODES) {
    await line.agent(name);
    await mkdir(join(line.folder, 'out', name), { recursive: true });
  }
  const out = `${line.folder}/out/{{ node_name }}`;

  await t.test('rescued on one node; the others wait for the block, not for what is in it', async (t) => {
    const { view, lines } = await line.apply(
      planOf(
        NODES,
        `        - name: upgrade
          hosts: all
          any_errors_fatal: true
          tasks:
            - id: up
              block:
                - {id: try, command: "test {{ node_name }} = n1"}
                - {id: more, command: {shell: "touch ${out}/more", creates: "${out}/more"}}
              rescue:
                - {id: back, command: {shell: "touch ${out}/back", creates: "${out}/back"}}
              always:
                - {id: tidy, command: {shell: "touch ${out}/tidy", creates: "${out}/tidy"}}
            - {id: both, command: "ls ${line.folder}/out/n1/more ${line.folder}/out/n2/back", needs: [{task: up, of: all}]}
`,
      ),
    );
    t.equal(view.status, 'done', JSON.stringify(view.failures));
    t.same(view.failures, []);
    t.same(outcomes(lines, 'up'), { n1: 'ok', n2: 'ok' });
    t.same(outcomes(lines, 'try'), { n1: 'ok', n2: 'failed' });
    t.same(outcomes(lines, 'back'), { n1: 'skipped', n2: 'ok' });
    t.same(outcomes(lines, 'both'), { n1: 'ok', n2: 'ok' });
    t.match(
      view.nodes.map(({ state, rescued, failed, blocked }) => [state, rescued, failed, blocked]),
      [
        ['done', 0, 0, 0],
        ['done', 1, 0, 0],
      ],
    );
    t.same((await readdir(join(line.folder, 'out/n2'))).sort(), ['back', 'tidy']);
  });

  await t.test('cancelled in the middle: always runs, and the permit goes on', async (t) => {
    const run = await line.start(
      planOf(
        NODES,
        `        - name: long
          hosts: all
          tasks:
            - id: work
              permit: one
              block:
                - {id: begun, command: {shell: "touch ${line.folder}/out/begun", creates: "${line.folder}/out/begun"}}
                - {id: wait, wait_for: {path: "${line.folder}/out/go", timeout_seconds: 60}}
                - {id: never, command: "touch ${out}/never"}
              always:
                - {id: swept, command: {shell: "touch ${out}/swept", creates: "${out}/swept"}}
`,
      ),
    );
    const holder = await new Promise<string>((resolve) => {
      void (async () => {
        for await (const item of line.client.follow(run, { logs: false }, new AbortController().signal))
          if (item.type === 'begun' && item.task.endsWith('/wait')) return resolve(item.node);
      })();
    });
    await line.client.cancel(run, { by: 'test' });
    await writeFile(join(line.folder, 'out/go'), '');
    const { view, lines } = await line.follow(run);
    t.equal(view.status, 'cancelled');
    t.equal(outcomes(lines, 'wait')[holder], 'ok', 'the block holds a permit: what is at work is let finish');
    t.same(outcomes(lines, 'swept'), { [holder]: 'ok' }, 'always of the begun block, and of no other');
    const made = await Promise.all(NODES.map((name) => readdir(join(line.folder, 'out', name))));
    t.notOk(made.flat().includes('never'));
  });
});
