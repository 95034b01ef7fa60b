import type { Test } from 'tap';
import { stringify } from 'yaml';
import type { RunSummary } from '../../controller/views/types.ts';
import { until } from '../../scripts/lab/commands.ts';
import type { Fleet } from './fleet.ts';
import { story } from './story.ts';

const NODES = ['node1', 'node2', 'node3'];
/** Where commands write that they ran: what kk does not know of, and does not undo. */
const COUNTS = '/var/lib/kk-verbs';
const GO = '/run/kk-verbs-go';

interface Wish {
  /** What the second task's command does, on node1. */
  second: string;
  greeting?: string;
}

const counted = (name: string): string => `echo ${name} >> ${COUNTS}/${name}`;

/** Files, a unit and commands that count themselves; one of them, on node1, breaks or not. */
function verbsPlan({ second, greeting = 'hello' }: Wish): object {
  const unit = '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n';
  const tasks = [
    { id: 'folder', name: 'Make the folder', directory: { path: '/etc/kk-verbs/conf.d', mode: '0750' } },
    {
      id: 'settings',
      name: 'Write the settings',
      file: { path: '/etc/kk-verbs/conf.d/settings', content: `${greeting} {{ node_name }}\n`, mode: '0640' },
    },
    {
      id: 'known',
      name: 'Change what was there',
      file: { path: '/etc/kk-known', content: `${greeting}\n`, mode: '0600' },
    },
    { id: 'old', name: 'Take away what was there', file: { path: '/etc/kk-old', state: 'absent' } },
    {
      id: 'unit',
      name: 'Run the service',
      systemd: { unit: 'kk-verbs.service', content: unit, enabled: true, state: 'started' },
    },
    {
      id: 'first',
      name: 'Work until told',
      command: { shell: `${counted('first')}; while ! test -e ${GO}; do sleep 0.2; done` },
      rollback: [{ name: 'Undo it', command: { shell: counted('undone') } }],
    },
    { id: 'second', name: 'Break', on: 'node1', command: { shell: second } },
    {
      id: 'third',
      name: 'Work after it',
      needs: [{ task: 'second', of: 'all' }],
      command: { shell: counted('third') },
    },
  ];
  return plan('verbs', NODES, tasks);
}

function plan(name: string, hosts: string[], tasks: object[]): object {
  const spec = { inventory: { file: 'inventory.yaml' }, playbooks: [{ name, plays: [{ name, hosts, tasks }] }] };
  return { apiVersion: 'kk.dev/v1', kind: 'Plan', metadata: { name }, spec };
}

/** All of /etc with kind, mode, owner, content and target of links; every unit's state. */
function picture(fleet: Fleet, node: string): Promise<string> {
  return fleet.on(
    node,
    `cd /etc && find . -printf '%p %y %m %U:%G %l\\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum &&
     systemctl list-unit-files --no-legend --no-pager | sort && systemctl list-units --no-legend --no-pager --plain \
       --type=service --state=running,exited | grep -v '^user' | awk '{print $1, $3, $4}' | sort`,
  );
}

/**
 * All that was written to the disk since the node was made, with its times, and settings and mounts. But for the agent's own
 * folder, and what a machine writes when nobody does anything: the journal, and what ends with a login.
 */
function written(fleet: Fleet, node: string): Promise<string> {
  return fleet.on(
    node,
    `cd /disk/upper && find . \\( -path ./var/lib/kk-agent -o -path ./var/log \\) -prune -o -printf '%p %y %m %U:%G %s %T@ %C@ %l\\n' | sort
     sysctl -a 2>/dev/null | grep -vE '^(fs\\.(dentry-state|file-nr|inode)|kernel\\.(random|ns_last_pid|perf|pty|tainted)|vm\\.(stat|nr))' | grep -v conntrack_count
     cut -d' ' -f4- /proc/self/mountinfo | grep -v ' /run/user/' | sort; ls /run/systemd/system /run/systemd/transient | grep -v '^session-'`,
  );
}

const pictures = async (fleet: Fleet, look: typeof picture): Promise<string[]> =>
  Promise.all(NODES.map((node) => look(fleet, node)));

/** What a person does to a run, in the middle of one that breaks. */
export async function verbStories(t: Test, fleet: Fleet): Promise<void> {
  const lines = async (node: string, name: string): Promise<number> =>
    Number((await fleet.on(node, `cat ${COUNTS}/${name} 2>/dev/null | wc -l`)).trim());
  const counts = (name: string): Promise<number[]> => Promise.all(NODES.map((node) => lines(node, name)));
  const write = (wish: Wish): Promise<string> => fleet.file('verbs.yaml', stringify(verbsPlan(wish)));
  const everywhere = (line: string): Promise<unknown> => Promise.all(NODES.map((node) => fleet.on(node, line)));
  const runs = async (): Promise<RunSummary[]> => JSON.parse((await fleet.kk('runs', '-o', 'json')).stdout);
  const newest = async (): Promise<RunSummary> => {
    const [run] = await runs();
    if (run === undefined) throw new Error('there is no run');
    return run;
  };
  const says = (t: Test, ended: { code: number; stdout: string; stderr: string }, code: number, ...parts: RegExp[]) => {
    const { stdout, stderr } = ended;
    t.equal(ended.code, code, ended.code === code ? 'its exit code' : `${stdout}${stderr}`);
    for (const part of parts) t.match(stdout, part, `it says ${part}`);
  };

  await everywhere(`mkdir -p ${COUNTS} && echo known > /etc/kk-known && chmod 640 /etc/kk-known && chown 65534:65534 /etc/kk-known
    echo old > /etc/kk-old && chmod 4711 /etc/kk-old`);
  const before = await pictures(fleet, picture);

  await story(t, 'apply --check --diff tells what would change, and writes nothing', async (t) => {
    const path = await write({ second: counted('second') });
    const untouched = await pictures(fleet, written);
    const checked = await fleet.kk('apply', path, '--check', '--diff');
    says(
      t,
      checked,
      0,
      /Would change \(\d+\)/,
      /\+hello/,
      /-known/,
      /kk-verbs\.service/,
      /Dry run: nothing was changed; \d+ steps? would change, \d+ are as wanted, \d+ cannot be told/,
    );
    const after = await pictures(fleet, written);
    for (const [at, node] of NODES.entries()) t.equal(after[at], untouched[at], `${node} is as it was, to the inode`);
    t.same(await counts('second'), [0, 0, 0], 'no command ran');
  });

  await story(t, 'pause, resume, a failure, retry, and a mended plan: what is done is not done again', async (t) => {
    const path = await write({ second: `${counted('second')}; exit 3` });
    const begun = await fleet.kk('apply', path, '--detach');
    says(t, begun, 0, /started\. Watch it with: kk-controller logs/);
    for (const node of NODES) t.ok(await fleet.eventually(node, `test -s ${COUNTS}/first`), `${node} is at work`);
    says(t, await fleet.kk('pause', 'last'), 0, /is paused\. It goes on with: kk-controller resume/);
    await everywhere(`touch ${GO}`);
    const told = async (): Promise<boolean> =>
      ((await fleet.kk('logs', 'last')).stdout.match(/first changed/g) ?? []).length === NODES.length;
    t.ok(await until(told, 20_000, 500), 'what was at work ends');
    // A command of its own goes to the node and back after all that: enough for the next task to begin, if it would.
    t.equal((await fleet.kk('exec', 'all', '--', 'true')).code, 0);
    t.same(await counts('second'), [0, 0, 0], 'nothing new begins');
    const run = (await runs()).find(({ name }) => name === 'verbs');
    if (run === undefined) throw new Error('the paused run is not listed');
    t.equal(run.status, 'paused');
    const resumed = await fleet.kk('resume', run.id);
    says(
      t,
      resumed,
      3,
      /Failures\n\s+node1: verbs\/verbs\/second failed, which blocked 3 more steps/,
      /COMMAND_FAILED/,
      /Failed on 1 of 3 nodes/,
      /Mend the cause, then go on: kk-controller retry/,
    );
    says(
      t,
      await fleet.kk('retry', run.id),
      3,
      /revision 2 runs again:\n {2}verbs\/verbs\/second on node1 \(not done\)\n {2}verbs\/verbs\/third on node1, node2, node3 \(not done\)/,
    );
    t.same(await counts('second'), [2, 0, 0], 'tried once more');
    await write({ second: counted('second') });
    const mended = await fleet.kk('apply', '--resume', run.id, path);
    says(t, mended, 0, /revision 3 runs again:/, /Done: 3 nodes, \d+ ok \(18 kept\)/);
    t.same(await counts('first'), [1, 1, 1], 'once, over all revisions');
    t.same(await counts('second'), [3, 0, 0]);
    t.same(await counts('third'), [1, 1, 1]);
    t.equal(await fleet.on('node2', 'cat /etc/kk-verbs/conf.d/settings'), 'hello node2\n');
    for (const node of NODES) t.equal(await fleet.on(node, 'systemctl is-active kk-verbs'), 'active\n');

    const undone = await fleet.kk('rollback', run.id, '--yes');
    says(
      t,
      undone,
      0,
      /Undoes of run \S+, in this order:/,
      /CANNOT undo, and leaves as it is:\n[\s\S]*verbs\/verbs\/third/,
      /Done: 3 nodes/,
    );
    t.same(await counts('undone'), [1, 1, 1], 'the command by its rollback task');
    const after = await pictures(fleet, picture);
    for (const [at, node] of NODES.entries()) t.equal(after[at], before[at], `${node} is as before`);
  });

  await story(t, 'a task is skipped, and why is told; what was changed by hand is not rolled back', async (t) => {
    const path = await write({ second: 'exit 4' });
    t.equal((await fleet.kk('apply', path)).code, 3);
    const { id } = await newest();
    says(
      t,
      await fleet.kk('skip', 'second', '--reason', 'mounted by hand'),
      0,
      /Taken out\n {2}verbs\/verbs\/second: mounted by hand/,
      /Done: /,
    );
    t.same(await counts('third'), [2, 2, 2], 'what needs it went on');

    await fleet.on('node2', 'cp -p /etc/kk-known /root/kk-known && echo mine >> /etc/kk-known');
    says(
      t,
      await fleet.kk('rollback', id, '--yes'),
      3,
      /node2: verbs\/verbs\/known failed/,
      /UNDO_CONFLICT/,
      /\/etc\/kk-known/,
      /do: /,
    );
    t.equal(await fleet.on('node2', 'tail -n 1 /etc/kk-known'), 'mine\n', 'it is left alone');
    await fleet.on('node2', 'cp -p /root/kk-known /etc/kk-known');
    says(t, await fleet.kk('rollback', id, '--yes'), 0, /Done: /);
    const after = await pictures(fleet, picture);
    for (const [at, node] of NODES.entries()) t.equal(after[at], before[at], `${node} is as before`);
  });

  await story(t, 'apply --auto-rollback leaves nothing of a run that failed', async (t) => {
    const path = await write({ second: 'exit 5' });
    const failed = await fleet.kk('apply', path, '--auto-rollback');
    says(t, failed, 3, /Failed on 1 of 3 nodes/);
    t.match(failed.stderr, /it is rolled back, but for what these commands change[\s\S]*verbs\/verbs\/third/);
    const isUndone = async (): Promise<boolean> => {
      const { name, status } = await newest();
      return name.startsWith('rollback of ') && status === 'done';
    };
    t.ok(await until(isUndone, 60_000, 500), 'it is rolled back by itself');
    const after = await pictures(fleet, picture);
    for (const [at, node] of NODES.entries()) t.equal(after[at], before[at], `${node} is as before`);
  });

  await story(
    t,
    'cancel lets a step with a permit finish, unless forced; what escapes by setsid does not outlive its timeout',
    async (t) => {
      const shell = `echo $$ > ${COUNTS}/permit; exec sleep 3571`;
      const disruptive = [{ id: 'drain', name: 'Drain', permit: 'etcd', command: { shell } }];
      const path = await fleet.file('permit.yaml', stringify(plan('permit', ['node1'], disruptive)));
      const applying = fleet.apply(path.slice(fleet.folder.length + 1));
      t.ok(await fleet.eventually('node1', 'pgrep -fx "sleep 3571"'));
      const run = await newest();
      says(t, await fleet.kk('cancel', run.id), 0, /is asked to cancel/);
      // It comes to the node after the cancel.
      t.equal((await fleet.kk('exec', 'node1', '--', 'true')).code, 0);
      t.equal((await fleet.try('node1', 'pgrep -fx "sleep 3571"')).code, 0, 'it may finish');
      says(t, await fleet.kk('cancel', run.id, '--force'), 0, /is asked to cancel/);
      const { code, run: ended } = await applying;
      t.equal(code, 4);
      t.equal(ended.status, 'cancelled');
      t.not((await fleet.try('node1', 'pgrep -fx "sleep 3571"')).code, 0, 'nothing is left');

      const runaway = 'setsid sh -c "echo begun; sleep 3572 & setsid sleep 3573" & sleep 3574';
      const task = { id: 'escape', name: 'Escape', command: { shell: runaway }, timeout: '2s' };
      const late = await fleet.file('late.yaml', stringify(plan('late', NODES, [task])));
      says(t, await fleet.kk('apply', late), 3, /COMMAND_TIMEOUT/, /Failed on 3 of 3 nodes/);
      for (const node of NODES)
        t.not((await fleet.try(node, 'pgrep -fx "sleep 357[234]"')).code, 0, `nothing is left on ${node}`);
    },
  );
}
