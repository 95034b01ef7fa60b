import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../agent/host/host.ts';

/** A systemctl that keeps one unit's state in a folder, and notes what it was asked to do. */
export function fakeSystemd(
  host: Host,
  dir: string,
): { host: Host; calls: () => string[]; set: (name: string, value: string) => void } {
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  const script = `#!/bin/sh
cd '${dir}'
get() { cat "$1" 2>/dev/null || echo "$2"; }
[ "$1" = show ] || echo "$*" >> calls
now() { awk '{ printf "%d", $1 * 1000000 }' /proc/uptime; }
case "$1" in
  show) printf 'LoadState=%s\\nActiveState=%s\\nSubState=%s\\nUnitFileState=%s\\nFragmentPath=%s\\nDropInPaths=\\nNeedDaemonReload=no\\nExecMainStartTimestampMonotonic=%s\\n' "$(get load loaded)" "$(get active inactive)" "$(get sub dead)" "$(get enabled disabled)" "$(get fragment)" "$(get started 0)" ;;
  enable) echo enabled > enabled ;;
  disable) echo disabled > enabled ;;
  daemon-reload) echo loaded > load ;;
  stop) echo inactive > active ;;
  start|restart) [ -e broken ] && { echo failed > active; echo 'Job failed.' >&2; exit 1; }; echo active > active; now > started ;;
esac
exit 0
`;
  writeFileSync(join(bin, 'systemctl'), script, { mode: 0o755 });
  writeFileSync(join(bin, 'journalctl'), '#!/bin/sh\nfor i in $(seq 30); do echo "journal $i"; done | tail -n 20\n', {
    mode: 0o755,
  });
  const PATH = `${bin}:/usr/bin:/bin`;
  return {
    host: { ...host, run: (argv, options) => host.run(argv, { ...options, env: { PATH } }) },
    calls() {
      const calls = existsSync(join(dir, 'calls')) ? readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n') : [];
      writeFileSync(join(dir, 'calls'), '');
      return calls.filter((call) => call !== '');
    },
    set: (name, value) => writeFileSync(join(dir, name), value),
  };
}
