import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';

/** Units that set the clock, by the distributions' names. */
const UNITS = ['chrony', 'chronyd', 'systemd-timesyncd', 'ntp', 'ntpd', 'ntpsec', 'openntpd', 'ptp4l'].map(
  (name) => `${name}.service`,
);

/** Whether the clock is kept right, by whom, and what time zone the node is in. */
export async function gatherTimeSync(host: Host): Promise<NonNullable<Facts['time_sync']>> {
  const short = { timeoutMs: 5_000 };
  const [clock, units, link] = await Promise.all([
    host.run(['timedatectl', 'show', '--property=NTPSynchronized', '--value'], short),
    host.run(['systemctl', 'is-active', '--', ...UNITS], short),
    host.files.readLink('/etc/localtime').catch(() => undefined),
  ]);
  const said = clock.code === 0 ? clock.stdout.trim() : '';
  const states = units.stdout.split('\n').map((line) => line.trim());
  const service = UNITS.find((_, index) => states[index] === 'active');
  return {
    ...(said === '' ? {} : { synchronized: said === 'yes' }),
    ...(service === undefined ? {} : { service }),
    // localtime(5): without the link it is UTC.
    timezone: link?.split('/zoneinfo/')[1] ?? 'UTC',
  };
}
