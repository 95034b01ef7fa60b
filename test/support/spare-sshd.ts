/** A real sshd on a spare machine, for one test file: its own host key, accounts and configuration. */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { SpareMachine } from './spare-machine.ts';
import { noSpareMachine } from './spare-machine.ts';

/** Why there can be none here; false: there can. */
export function noSpareSshd(): string | false {
  const missing = ['sshd', 'sudo', 'ssh-keygen', 'openssl'].filter((name) => !inPath(name));
  return noSpareMachine() || (missing.length > 0 && `needs ${missing.join(', ')}`);
}

function inPath(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${name}`]);
    return true;
  } catch {
    return false;
  }
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Makes a key pair; returns the path of the private one. */
export function sshKey(path: string): string {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);
  return path;
}

/** An account of the spare machine besides root. */
export interface Account {
  name: string;
  uid: number;
  password: string;
  /** Right side of its sudoers line; absent: none. */
  sudo?: string;
}

/**
 * Starts sshd in `machine`; `folder` gets the key pair `id` that root and all accounts accept, and the logins end up in
 * `log()`. `newHostKey` gives it another one, as a machine that was set up anew has.
 */
export async function spareSshd(machine: SpareMachine, folder: string, accounts: readonly Account[]) {
  const port = await freePort();
  const id = sshKey(join(folder, 'id'));
  writeFileSync(join(folder, 'authorized_keys'), readFileSync(`${id}.pub`), { mode: 0o644 });
  const lines = (map: (account: Account) => string): string => accounts.map((account) => `${map(account)}\n`).join('');
  const root = 'root:x:0:0:root:/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n';
  machine.etc('passwd', root + lines(({ name, uid }) => `${name}:x:${uid}:${uid}::/:/bin/sh`));
  machine.etc('shadow', `root:*:1::::::\n${lines((a) => `${a.name}:${hash(a.password)}:20000:0:99999:7:::`)}`, 0o600);
  const sudoers = lines(({ name, sudo }) => (sudo === undefined ? '' : `${name} ${sudo}`));
  machine.etc('sudoers', `Defaults lecture=never, !mail_badpass, !mail_no_user\n${sudoers}`, 0o440);
  writeFileSync(join(folder, 'log'), '');
  const running: { child?: ReturnType<typeof spawn> } = {};

  const start = async (hostKey: string): Promise<void> => {
    const options = {
      Port: String(port),
      ListenAddress: '127.0.0.1',
      HostKey: hostKey,
      AuthorizedKeysFile: join(folder, 'authorized_keys'),
      StrictModes: 'no',
      UsePAM: 'no',
      PidFile: 'none',
      PermitRootLogin: 'yes',
      PrintMotd: 'no',
      SetEnv: `PATH=${machine.bin}:/usr/bin:/bin`,
    };
    const config = join(folder, 'sshd_config');
    writeFileSync(
      config,
      Object.entries(options)
        .map(([name, value]) => `${name} ${value}\n`)
        .join(''),
    );
    const [program, ...args] = machine.argv(['/usr/sbin/sshd', '-D', '-f', config, '-E', join(folder, 'log')]);
    running.child = spawn(program, args, { stdio: 'ignore' });
    await answering(port);
  };
  const stop = async (): Promise<void> => {
    const { child } = running;
    if (child === undefined) return;
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill();
    await closed;
  };

  await start(sshKey(join(folder, 'host')));
  return {
    port,
    id,
    stop,
    log: () => readFileSync(join(folder, 'log'), 'utf8'),
    newHostKey: async () => {
      await stop();
      await start(sshKey(join(folder, 'host2')));
    },
  };
}

function hash(password: string): string {
  return execFileSync('openssl', ['passwd', '-6', '-stdin'], { input: password, encoding: 'utf8' }).trim();
}

async function answering(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const there = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (there) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('sshd did not start');
}
