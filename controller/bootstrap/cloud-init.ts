/** User-data for machines that join at their first boot, without a person (cloud-init, `#cloud-config`). */
import { stringify } from 'yaml';
import { fetchScript, type JoinLine, scriptEnvironment } from './join-script.ts';

const FOLDER = '/etc/kk-join';
const UNIT = '/etc/systemd/system/kk-join.service';
/** A machine that has not got in by then stops asking, minutes. */
const GIVE_UP_MINUTES = 24 * 60;

/**
 * A cloud-config with the join as a unit: it waits for the network, tries again until the controller lets it in, also after
 * a reboot, and takes itself away when it is done. The token lies in a file of root's and is in no argument.
 */
export function cloudConfig(line: JoinLine & { token: string }): string {
  const { token, ...rest } = line;
  const config = {
    write_files: [
      { path: `${FOLDER}/token`, permissions: '0600', owner: 'root:root', content: `${token}\n` },
      { path: `${FOLDER}/join.sh`, permissions: '0700', owner: 'root:root', content: script(rest) },
      { path: UNIT, permissions: '0644', owner: 'root:root', content: UNIT_TEXT },
    ],
    runcmd: [
      ['systemctl', 'daemon-reload'],
      ['systemctl', 'enable', '--now', '--no-block', 'kk-join.service'],
    ],
  };
  return `#cloud-config\n${stringify(config, { lineWidth: 0 })}`;
}

const UNIT_TEXT = `# Made by the user-data of kk-controller join-command --cloud-init; gone when the machine has joined.
[Unit]
Description=kk: make this machine a node
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart=/bin/sh ${FOLDER}/join.sh
Restart=on-failure
RestartSec=15

[Install]
WantedBy=multi-user.target
`;

/** All of it is in a function, for it removes itself while it runs. */
function script(line: JoinLine): string {
  return `#!/bin/sh
leave() {
  systemctl --quiet disable kk-join.service
  rm -rf ${FOLDER} ${UNIT}
  systemctl daemon-reload
  exit 0
}
# After a failed try only: a machine without a clock of its own begins with a time long past, or long after the image's.
failed() {
  if [ -n "$(find ${FOLDER}/token -mmin +${GIVE_UP_MINUTES})" ]; then
    echo 'kk: this machine has not been let in for a day: it asks no more' >&2
    leave
  fi
  exit 1
}
join() {
  if command -v curl >/dev/null 2>&1; then
    ${fetchScript(line, 'curl')} >${FOLDER}/fetched.sh || failed
  else
    ${fetchScript(line, 'wget')} >${FOLDER}/fetched.sh || failed
  fi
  KK_JOIN_TOKEN=$(cat ${FOLDER}/token) ${scriptEnvironment(line)}sh ${FOLDER}/fetched.sh || failed
  leave
}
join
`;
}
