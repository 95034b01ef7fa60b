import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = '/proc/sys';
/** The same for all labs of the host, wherever they are kept: the settings are the host's. */
const FILE = '/run/kk-lab-settings.json';
/** Settings a node shares with the host: nodes have no namespace for these, and systemd-sysctl or a kubelet sets some. */
const SHARED = ['vm', 'kernel', 'fs', 'net/ipv4/ip_forward'];
/** Not settings but switches to pull, counters, or values the kernel adjusts by itself. */
const MOVING =
  /^(vm\/(stat_refresh|compact_memory|drop_caches)|kernel\/(random|ns_last_pid|tainted|hostname|domainname|perf_\w+|pty)|fs\/binfmt_misc)(\/|$)/;

interface Saved {
  /** The boot the values belong to; after another boot they mean nothing. */
  boot: string;
  values: Record<string, string>;
}

/** Remember the host's settings, unless they were remembered in this boot already. */
export function saveSysctls(): void {
  if (read()) return;
  const saved: Saved = { boot: bootId(), values: Object.fromEntries(settings()) };
  writeFileSync(FILE, JSON.stringify(saved));
}

/** Set back what is no longer as remembered, forget it all, and name what could not be set back. */
export function restoreSysctls(): string[] {
  const failed = Object.entries(read()?.values ?? {}).filter(([key, value]) => !setBack(key, value));
  rmSync(FILE, { force: true });
  return failed.map(([key]) => key);
}

/** Set the one setting `key` (e.g. net/ipv4/ip_forward) back to what was remembered. */
export function restoreSysctl(key: string): void {
  const value = read()?.values[key];
  if (value !== undefined) setBack(key, value);
}

/** False when the kernel would not have it. */
function setBack(key: string, value: string): boolean {
  const path = join(ROOT, key);
  try {
    if (readFileSync(path, 'utf8') !== value) writeFileSync(path, value);
    return true;
  } catch {
    return false;
  }
}

/** Set `key` (e.g. net/ipv4/ip_forward) on the host. */
export function setSysctl(key: string, value: string): void {
  writeFileSync(join(ROOT, key), value);
}

function read(): Saved | undefined {
  if (!existsSync(FILE)) return undefined;
  const saved = JSON.parse(readFileSync(FILE, 'utf8')) as Saved;
  return saved.boot === bootId() ? saved : undefined;
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function* settings(keys: readonly string[] = SHARED): Generator<[string, string]> {
  for (const key of keys) {
    if (MOVING.test(key)) continue;
    const path = join(ROOT, key);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) yield* settings(readdirSync(path).map((name) => `${key}/${name}`));
    else if (stat !== undefined && (stat.mode & 0o600) === 0o600) {
      try {
        yield [key, readFileSync(path, 'utf8')];
      } catch {
        // Some settings exist and answer nothing on this kernel; there is nothing to set back.
      }
    }
  }
}
