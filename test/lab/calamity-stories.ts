import type { Test } from 'tap';
import { stringify } from 'yaml';
import { cut, join, powerloss } from '../../scripts/lab/api.ts';
import { until } from '../../scripts/lab/commands.ts';
import type { Fleet } from './fleet.ts';
import { story } from './story.ts';

/** How long the commands take under which things die. */
const SECONDS = Number(process.env['KK_LAB_SECONDS'] ?? 20);
const NODES = ['node1', 'node2', 'node3'];
const LOG = '/var/lib/kk-calamity';

/** A command that tells when it begins and ends, on disk. */
const telling = (name: string, end = ''): string =>
  `echo begun >> ${LOG}/${name}; sync ${LOG}/${name}; sleep ${SECONDS}; echo ended >> ${LOG}/${name}${end}`;

/** Files, a unit, and three long commands at once: one that nothing can repeat, one that knows how to recover, one with a mark. */
function calamityPlan(): object {
  const tasks = [
    { id: 'folder', name: 'Make the folder', directory: { path: LOG } },
    { id: 'settings', name: 'Write the settings', file: { path: '/etc/kk-calamity', content: 'on {{ node_name }}\n' } },
    {
      id: 'unit',
      name: 'Run the service',
      systemd: {
        unit: 'kk-calamity.service',
        content: '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n',
        enabled: true,
        state: 'started',
      },
    },
    { id: 'plain', name: 'Work that cannot be repeated', needs: ['unit'], command: { shell: telling('plain') } },
    {
      id: 'mended',
      name: 'Work that can be mended',
      needs: ['unit'],
      command: { shell: telling('mended') },
      recover: [
        {
          name: 'Clear what was half done',
          command: { shell: `echo cleared >> ${LOG}/mended`, creates: `${LOG}/never` },
        },
      ],
    },
    {
      id: 'marked',
      name: 'Work that leaves a mark',
      needs: ['unit'],
      command: { shell: telling('marked', `; touch ${LOG}/mark`), creates: `${LOG}/mark` },
    },
    {
      id: 'after',
      name: 'Write that all is done',
      needs: ['plain', 'mended', 'marked'],
      file: { path: `${LOG}/after`, content: 'done\n' },
    },
  ];
  const plays = [{ name: 'calamity', hosts: NODES, tasks }];
  const spec = { inventory: { file: 'inventory.yaml' }, playbooks: [{ name: 'calamity', plays }] };
  return { apiVersion: 'kk.dev/v1', kind: 'Plan', metadata: { name: 'calamity' }, spec };
}

/** All at once, in the middle of a real plan. */
export async function calamityStories(t: Test, fleet: Fleet): Promise<void> {
  await story(t, 'a power loss, a cable out, an agent and the controller killed, in one run', async (t) => {
    await fleet.file('calamity.yaml', stringify(calamityPlan()));
    const applying = fleet.apply('calamity.yaml');
    for (const node of NODES)
      for (const work of ['plain', 'mended', 'marked'])
        t.ok(await fleet.eventually(node, `grep begun ${LOG}/${work}`, 60_000), `${work} has begun on ${node}`);

    await cut(fleet.name, 'node1');
    await fleet.on('node3', 'kill -9 $(systemctl show -p MainPID --value kk-agent)');
    await powerloss(fleet.name, 'node2');
    await fleet.endController('SIGKILL');
    // At once: the apply waits a little for whoever keeps the controller running, then starts one of its own.
    await fleet.serve();
    await fleet.bootAgain('node2');
    t.ok(
      await until(
        async () => (await fleet.try('node1', `grep ended ${LOG}/plain`)).code === 0,
        (SECONDS + 30) * 1000,
        500,
      ),
      'the node without a cable works on',
    );
    await join(fleet.name, 'node1');

    const { code, run, stderr } = await applying;
    t.equal(code, 3, stderr);
    t.match(run.failures, [{ node: 'node2', task: /plain$/, outcome: 'interrupted', error: { remedy: /.{7}/ } }]);
    t.equal(run.failures.length, 1, 'what was lost is named, once');
    for (const node of ['node1', 'node3']) {
      for (const work of ['plain', 'mended', 'marked'])
        t.equal(await fleet.on(node, `cat ${LOG}/${work}`), 'begun\nended\n', `${work} ran once on ${node}`);
      t.equal(await fleet.on(node, `cat ${LOG}/after`), 'done\n');
    }
    t.equal(await fleet.on('node2', `cat ${LOG}/plain`), 'begun\n', 'what cannot be repeated is not');
    t.equal(await fleet.on('node2', `cat ${LOG}/mended`), 'begun\ncleared\nbegun\nended\n', 'recovered, then done');
    t.equal(await fleet.on('node2', `cat ${LOG}/marked`), 'begun\nbegun\nended\n', 'without its mark it is done again');
    t.not((await fleet.try('node2', `test -e ${LOG}/after`)).code, 0, 'what needs the lost work has not begun');
    for (const node of NODES) {
      t.equal(await fleet.on(node, 'cat /etc/kk-calamity'), `on ${node}\n`);
      t.equal(await fleet.on(node, 'systemctl is-active kk-calamity'), 'active\n', node);
    }
  });
}
