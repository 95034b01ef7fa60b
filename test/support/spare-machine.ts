/**
 * This machine as a node would be, without touching it: a mount namespace with empty /run, /var/lib and
 * /usr/local/lib, a systemctl that only writes down what it was asked, and accounts of its own. What runs in it is real:
 * sh, curl, wget, sshd, sudo.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Why there can be none here; false: there can. */
export function noSpareMachine(): string | false {
  const { status } = spawnSync('unshare', ['-m', 'true']);
  return status === 0 ? false : 'needs root (mount namespaces)';
}

/** What a program in the spare machine left behind. */
export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** One spare machine; every program in it gets the same folders, but a mount namespace of its own. */
export class SpareMachine {
  readonly #folder: string;
  /** First in the PATH: a program put here hides the machine's own. */
  readonly bin: string;
  readonly #disks: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.bin = join(folder, 'bin');
    this.#disks = join(folder, 'disks');
    for (const name of ['bin', 'etc', 'disks/run/systemd/system', 'disks/run/sshd', 'disks/var', 'disks/lib']) {
      mkdirSync(join(folder, name), { recursive: true, mode: 0o755 });
    }
    this.program('systemctl', 'exit 0');
  }

  /** Puts a shell script into {@link bin}. */
  program(name: string, body: string): void {
    const path = join(this.bin, name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
  }

  /** Hides a file of /etc behind one with this text. */
  etc(name: string, text: string, mode = 0o644): void {
    writeFileSync(join(this.#folder, 'etc', name), text, { mode });
  }

  /** A folder of the spare machine as this one sees it. */
  path(of: 'library' | 'run', ...rest: string[]): string {
    return join(this.#disks, of === 'library' ? 'lib' : 'run', ...rest);
  }

  /** argv of a program inside. */
  argv(command: readonly string[]): [string, ...string[]] {
    const mounts = [
      `for f in $(ls ${this.#folder}/etc); do mount --bind ${this.#folder}/etc/$f /etc/$f; done`,
      `mount --bind ${this.#disks}/run /run`,
      `mount --bind ${this.#disks}/var /var/lib`,
      `mount --bind ${this.#disks}/lib /usr/local/lib`,
      `PATH=${this.bin}:$PATH exec "$@"`,
    ];
    return ['unshare', '-m', '--propagation', 'private', 'sh', '-ec', mounts.join('\n'), 'sh', ...command];
  }

  /** Runs a shell line inside, to its end, without a terminal. */
  async sh(line: string, environment: Record<string, string> = {}, shell = 'sh'): Promise<Ran> {
    const [program, ...args] = this.argv([shell, '-c', line]);
    const child = spawn(program, args, { env: { PATH: '/usr/bin:/bin', ...environment }, detached: true });
    const ran: Ran = { code: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => (ran.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (ran.stderr += text));
    child.stdin.end();
    [ran.code] = (await once(child, 'close')) as [number | null];
    return ran;
  }
}
