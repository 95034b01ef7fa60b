import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';

/** Units that set the clock, by the distributions' names. */
const UNITS = ['chrony', 'chronyd', 'systemd-timesyncd', 'ntp', 'ntpd', 'ntpsec', 'openntpd', 'ptp4l'].map(
  (name) => `${name}.service`,
);

const TIMESYNCD = 'systemd-timesyncd.service';
/** It is there once timesyncd has set the clock in this boot: systemd-timesyncd.service(8). */
const SYNCHRONIZED = '/run/systemd/timesync/synchronized';

/**
 * By whom the clock is kept right, whether it is as far as that leaves word, and what time zone the node is in. timedatectl
 * is not asked: it starts a service, which writes to the disk.
 */
export async function gatherTimeSync(host: Host): Promise<NonNullable<Facts['time_sync']>> {
  const [units, mark, link] = await Promise.all([
    host.run(['systemctl', 'is-active', '--', ...UNITS], { timeoutMs: 5_000 }),
    host.files.stat(SYNCHRONIZED).catch(() => undefined),
    host.files.readLink('/etc/localtime').catch(() => undefined),
  ]);
  const states = units.stdout.split('\n').map((line) => line.trim());
  const service = UNITS.find((_, index) => states[index] === 'active');
  return {
    ...(service === TIMESYNCD ? { synchronized: mark !== undefined } : {}),
    ...(service === undefined ? {} : { service }),
    // localtime(5): without the link it is UTC.
    timezone: link?.split('/zoneinfo/')[1] ?? 'UTC',
  };
}
