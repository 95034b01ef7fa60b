/** The one ssh command of a node: its arguments, and what it starts there. Pure. */
import type { SshSettings } from '../plan/types.ts';

/** sudo's question, as we make it put it. It never stands in anything else's output. */
export const SUDO_QUESTION = 'KK-WANTS-SUDO-PASSWORD:';

/**
 * Reads a script of n bytes after a line that says n, and runs it with the connection's addresses as $1. It is quoted
 * for whatever login shell there is (also csh and fish): no single quote, no exclamation mark, no line break.
 */
const LOADER = 'echo KK-READY; IFS= read -r n && s=$(head -c "$n") && eval "$s"';

/** The same as root: $0 is the loader, which sudo gets as a plain argument. */
const WITH_SUDO = [
  'command -v sudo >/dev/null 2>&1 || { echo KK-NO-SUDO; exit 1; }',
  'LC_ALL=C; export LC_ALL',
  `exec sudo -S -p "${SUDO_QUESTION}" -- sh -c "$0" kk "$SSH_CONNECTION"`,
].join('; ');

/** What ssh runs on the node. */
export function remoteCommand(user: string): string {
  return user === 'root' ? `exec sh -c '${LOADER}' kk "$SSH_CONNECTION"` : `exec sh -c '${WITH_SUDO}' '${LOADER}'`;
}

/** The arguments of `ssh`. None of them is secret. */
export function sshArguments(ssh: SshSettings): string[] {
  const options: Record<string, string> = {
    // One connection, ours alone: no sharing, no forwarding, no commands of the user's configuration.
    ControlMaster: 'no',
    ControlPath: 'none',
    ClearAllForwardings: 'yes',
    PermitLocalCommand: 'no',
    RemoteCommand: 'none',
    ConnectTimeout: String(ssh.connectTimeout),
    ConnectionAttempts: '1',
    // A node that vanishes in the middle is noticed within half a minute.
    ServerAliveInterval: '10',
    ServerAliveCountMax: '3',
    StrictHostKeyChecking: ssh.hostKeys === 'strict' ? 'yes' : 'accept-new',
    BatchMode: ssh.passwordFile === undefined ? 'yes' : 'no',
    NumberOfPasswordPrompts: '1',
  };
  if (ssh.knownHostsFile !== undefined) options.UserKnownHostsFile = `"${ssh.knownHostsFile}"`;
  if (ssh.privateKeyFile !== undefined) options.IdentitiesOnly = 'yes';
  if (ssh.passwordFile !== undefined && ssh.privateKeyFile === undefined) {
    options.PreferredAuthentications = 'password,keyboard-interactive';
    options.PubkeyAuthentication = 'no';
  }
  return [
    '-T',
    '-a',
    '-x',
    ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ...(ssh.privateKeyFile === undefined ? [] : ['-i', ssh.privateKeyFile]),
    ...(ssh.jump === undefined ? [] : ['-J', ssh.jump]),
    '-p',
    String(ssh.port),
    '-l',
    ssh.user,
    '--',
    ssh.host,
    remoteCommand(ssh.user),
  ];
}

/**
 * Environment that makes ssh ask our helper for the password instead of a terminal. Only paths and names are in it: the
 * helper reads the password from the file that the plan names. DISPLAY is for OpenSSH before 8.4, which knows no
 * SSH_ASKPASS_REQUIRE and asks a helper only where it believes in a screen.
 */
export function askpassEnvironment(ssh: SshSettings, helper: string): Record<string, string> {
  if (ssh.passwordFile === undefined) return {};
  return {
    SSH_ASKPASS: helper,
    SSH_ASKPASS_REQUIRE: 'force',
    DISPLAY: 'none',
    KK_SSH_LOGIN: `${ssh.user}@${ssh.host.toLowerCase()}`,
    KK_SSH_JUMP: ssh.jump ?? '',
    KK_SSH_PASSWORD_FILE: ssh.passwordFile,
  };
}
