/** Where an installed agent lives on a node (ENGINE 4.8). */
export interface Layout {
  /** Holds a folder per version and the link `current`. */
  library: string;
  state: string;
  /** Holds a link to the current executable, for people: `kk-agent status` on a node just works. */
  commands: string;
  /** Where systemd looks for an administrator's units. */
  units: string;
  /** Secrets of steps, in memory. */
  runtime: string;
  /** Scripts of steps while they run: root's alone to write to, in memory. */
  scripts: string;
  /** What systemd keeps about the units. */
  traces: readonly string[];
}

/** The layout the systemd units are written for. */
export const LAYOUT: Layout = {
  library: '/usr/local/lib/kk-agent',
  state: '/var/lib/kk-agent',
  commands: '/usr/local/bin',
  units: '/etc/systemd/system',
  runtime: '/run/kk-agent',
  scripts: '/run/kk-agent-scripts',
  traces: ['/var/lib/systemd/timers/stamp-kk-agent-renew.timer'],
};
