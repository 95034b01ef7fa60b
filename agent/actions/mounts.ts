import type { Host } from '../host/host.ts';
import { mountFailed } from './mount-errors.ts';
import { type Mounted, parseMountinfo } from './mountinfo.ts';
import { processesIn } from './processes-in.ts';

/** A journal is replayed, a server is waited for. */
const MOUNT_MS = 5 * 60_000;

/** UUID=, LABEL= and their like, as udev has them in /dev/disk. */
const TAGS: Readonly<Record<string, string>> = {
  UUID: 'by-uuid',
  LABEL: 'by-label',
  PARTUUID: 'by-partuuid',
  PARTLABEL: 'by-partlabel',
  ID: 'by-id',
};

/** What is mounted on the machine, and mounting (mount(8)). */
export interface Mounts {
  list(): Promise<Mounted[]>;
  /** The device that a source names, without symlinks; anything else comes back as it is. */
  sourceOf(src: string): Promise<string>;
  /** Throws MOUNT_*. */
  mount(path: string, wanted: { src: string; type: string; options: string }, signal: AbortSignal): Promise<void>;
  remount(path: string, options: string, signal: AbortSignal): Promise<void>;
  /** Throws MOUNT_BUSY, which names the processes that use it. */
  unmount(path: string, signal: AbortSignal): Promise<void>;
}

/** `root`: what /proc and /dev are below. */
export function mountsOf(host: Host, root: string): Mounts {
  async function run(path: string, argv: readonly [string, ...string[]], signal: AbortSignal): Promise<void> {
    const { code, stderr } = await host.run(argv, { timeoutMs: MOUNT_MS, signal, env: { LC_ALL: 'C' } });
    if (code === 0) return;
    const isBusy = argv[0] === 'umount' && /busy/.test(stderr);
    throw mountFailed(path, stderr, isBusy ? await processesIn(path, host, root) : []);
  }

  return {
    // Of the agent itself: a service may see other mounts than people do, and what it mounts is seen where it looks.
    list: async () => parseMountinfo((await host.files.read(`${root}/proc/self/mountinfo`))?.toString('utf8') ?? ''),

    async sourceOf(src) {
      const [, tag = '', value = ''] = /^([A-Z]+)="?(.*?)"?$/.exec(src) ?? [];
      const folder = TAGS[tag];
      // udev writes what is no letter, digit or one of a few others as \x20.
      const name = value.replace(/[^\w#+\-.:=@]/g, (one) =>
        [...Buffer.from(one)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
      );
      const path = folder === undefined ? src : `${root}/dev/disk/${folder}/${name}`;
      if (!path.startsWith('/')) return src;
      const found = await host.files.real(path);
      if (found !== undefined || folder === undefined) return found ?? src;
      // Without udev there are no such links; mount(8) reads the devices themselves then, and so does findfs(8).
      const { code, stdout } = await host.run(['findfs', `${tag}=${value}`], { timeoutMs: MOUNT_MS });
      return code === 0 ? stdout.trim() : src;
    },

    mount: (path, { src, type, options }, signal) =>
      run(path, ['mount', '-t', type, '-o', options, '--', src, path], signal),
    remount: (path, options, signal) => run(path, ['mount', '-o', `remount,${options}`, '--', path], signal),
    unmount: (path, signal) => run(path, ['umount', '--', path], signal),
  };
}
