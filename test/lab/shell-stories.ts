import type { Test } from 'tap';
import { person } from '../support/person.ts';
import type { Fleet } from './fleet.ts';
import { story } from './story.ts';

const NODE = 'node1';

/** A person at a terminal on a node, through its packaged agent; and hooks and scripts of a plan. */
export async function shellStories(t: Test, fleet: Fleet): Promise<void> {
  const shell = (...args: string[]) => person(['shell', NODE, ...args], { KK_STATE: fleet.stateFolder });

  await story(t, 'a login shell on the node: a full-screen program, a changed size, the way out', async (t) => {
    const me = await shell();
    await me.until(/On node1\. Enter, then ~\. leaves/);
    me.type('echo "I am $(id -un) on $(hostname) in $PWD, $TERM"\r');
    await me.until(/I am root on node1 in \/root, xterm/);
    me.type('top -d 0.5\r');
    await me.until(/load average/);
    await me.until(/COMMAND/);
    me.resize(110, 45);
    me.type('q');
    // What is typed before is top's.
    await me.until(/node1:~# /);
    me.type('until [ "$(stty size)" = "45 110" ]; do sleep 0.1; done; echo is "$(stty size)"\r');
    await me.until(/is 45 110/);
    me.type('exit 12\r');
    t.equal(await me.ended, 12);
    const beside = await fleet.on(NODE, 'ls /usr/local/lib/kk-agent/current/');
    t.match(beside, /^pty-[0-9a-f]{8}\.node$/m, 'the native part lies beside the executable');
  });

  await story(t, 'nothing stays of a session whose person, whose agent or whose cable is gone', async (t) => {
    const isGone = (pid: string): Promise<boolean> => fleet.eventually(NODE, `! kill -0 ${pid}`);
    const busy = async (name: string) => {
      const me = await shell('--', `echo $$ > /tmp/${name}; trap '' INT; while :; do sleep 1; done`);
      t.ok(await fleet.eventually(NODE, `test -s /tmp/${name}`));
      await me.until(/leaves/);
      return { me, pid: (await fleet.on(NODE, `cat /tmp/${name}`)).trim() };
    };
    const killed = await busy('killed');
    process.kill(killed.me.pid, 'SIGKILL');
    t.ok(await isGone(killed.pid), 'the command was killed');
    const left = await busy('left');
    left.me.type('\r~.');
    t.equal(await left.me.ended, 4);
    t.ok(await isGone(left.pid), 'it was left');
    const orphan = await busy('orphan');
    await fleet.on(NODE, 'systemctl kill -s KILL kk-agent');
    t.equal(await orphan.me.ended, 1);
    t.match(orphan.me.seen, /SHELL_CUT/);
    t.ok(await isGone(orphan.pid), 'the agent was killed');
    const again = await shell('--', 'exit 5');
    t.equal(await again.ended, 5, 'the next one waits for the agent');
  });

  await story(t, 'scripts and hooks run as tasks, and leave nothing behind', async (t) => {
    await fleet.file('pre.sh', '#!/bin/bash\nset -eu\necho "$STAGE $1 $(stat -c %a "$0")" >> /tmp/hooks\n');
    await fleet.file('post.sh', 'echo post >> /tmp/hooks; exit "$(cat /tmp/exit 2>/dev/null || echo 0)"\n');
    await fleet.file(
      'hooks.yaml',
      `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: hooks}
spec:
  inventory: {file: inventory.yaml}
  playbooks:
    - name: site
      plays:
        - name: work
          hosts: [${NODE}]
          tasks:
            - {name: as a user, script: {content: "echo script of $(id -un) >> /tmp/hooks-of-nobody", user: nobody}}
  hooks:
    - before: work
      scripts: {all: pre.sh}
      args: [word]
      env: {STAGE: before}
    - after: work
      scripts: {hosts: {${NODE}: post.sh}}
`,
    );
    const first = await fleet.apply('hooks.yaml');
    t.equal(first.code, 0, first.stderr);
    t.equal(await fleet.on(NODE, 'cat /tmp/hooks /tmp/hooks-of-nobody'), 'before word 400\npost\nscript of nobody\n');
    t.equal(await fleet.on(NODE, 'ls -A /run/kk-agent-scripts'), '', 'no script stays on the node');
    await fleet.on(NODE, 'echo 3 > /tmp/exit');
    const second = await fleet.apply('hooks.yaml');
    t.equal(second.code, 3);
    t.match(second.run.failures, [{ node: NODE, error: { code: 'COMMAND_FAILED', message: /exited with 3/ } }]);
  });
}
