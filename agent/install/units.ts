import { getAsset, isSea } from 'node:sea';
import { KkError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';

/** The units of an agent, in the order they are started. */
export const UNIT_NAMES = [
  'kk-agent.service',
  'kk-agent-renew.service',
  'kk-agent-renew.timer',
  'kk-agent-upgrade.service',
] as const;

/** Texts by unit name. */
export type UnitTexts = Record<(typeof UNIT_NAMES)[number], string>;

const SERVICE = 'kk-agent.service';
const TIMER = 'kk-agent-renew.timer';
const GUARD = 'kk-agent-upgrade.service';

/** The units inside this executable. Throws KkError NOT_PACKAGED when it runs from source, where there is nothing to install. */
export function packagedUnits(): UnitTexts {
  if (!isSea()) {
    throw new KkError({
      code: 'NOT_PACKAGED',
      message: 'Only the packaged agent can install itself; this one runs from source.',
      remedy: 'Run `npm run package-agent` and use dist/agent/linux-x64/kk-agent.',
    });
  }
  return Object.fromEntries(UNIT_NAMES.map((name) => [name, getAsset(name, 'utf8')])) as UnitTexts;
}

/**
 * Writes the units that differ, and has systemd enable the agent and run the newest: restarted when `restart` or its
 * unit changed, started when it was not running, else left alone. Throws KkError SYSTEMD_FAILED.
 * @returns the names of the units written
 */
export async function enableUnits(
  host: Pick<Host, 'files' | 'run'>,
  folder: string,
  texts: UnitTexts,
  restart: boolean,
): Promise<string[]> {
  const written: string[] = [];
  for (const name of UNIT_NAMES) {
    const path = `${folder}/${name}`;
    const text = Buffer.from(texts[name]);
    if ((await host.files.read(path))?.equals(text)) continue;
    await host.files.writeAtomic(path, text, { mode: 0o644 });
    written.push(name);
  }
  if (restart || written.length > 0) await systemctl(host, ['daemon-reload']);
  await systemctl(host, ['enable', SERVICE, TIMER, GUARD]);
  await systemctl(host, [restart || written.includes(SERVICE) ? 'restart' : 'start', SERVICE]);
  await systemctl(host, [written.includes(TIMER) ? 'restart' : 'start', TIMER]);
  return written;
}

/** Has systemd run the agent anew, and does not wait for it. Throws KkError SYSTEMD_FAILED. */
export function restartInTime(host: Pick<Host, 'run'>): Promise<void> {
  return systemctl(host, ['restart', '--no-block', SERVICE]);
}

/** Has systemd run the timer of renewals by its newest unit, and does not wait for it. Throws KkError SYSTEMD_FAILED. */
export function restartTimerInTime(host: Pick<Host, 'run'>): Promise<void> {
  return systemctl(host, ['restart', '--no-block', TIMER]);
}

/** Starts the guard of an upgrade and does not wait for it. Throws KkError SYSTEMD_FAILED. */
export function startGuard(host: Pick<Host, 'run'>): Promise<void> {
  return systemctl(host, ['start', '--no-block', GUARD]);
}

/** Starts a program as a unit of its own, which outlives the agent. Throws KkError SYSTEMD_FAILED. */
export async function startDetached(host: Pick<Host, 'run'>, unit: string, argv: readonly string[]): Promise<void> {
  await asked(host, ['systemd-run', '--no-ask-password', '--quiet', '--collect', '--unit', unit, ...argv]);
}

/** Stops, disables and removes all units, with what an administrator has added to them. Throws KkError SYSTEMD_FAILED. */
export async function removeUnits(host: Pick<Host, 'files' | 'run'>, folder: string): Promise<void> {
  const there: string[] = [];
  for (const name of UNIT_NAMES) if ((await host.files.stat(`${folder}/${name}`)) !== undefined) there.push(name);
  if (there.length > 0) {
    // Commands outlive the agent; they do not outlive its leaving, nor do their cgroups.
    await host.files.makeDirectory(`${folder}/${SERVICE}.d`);
    await host.files.writeAtomic(
      `${folder}/${SERVICE}.d/leaving.conf`,
      Buffer.from('[Service]\nKillMode=control-group\n'),
    );
    await systemctl(host, ['daemon-reload']);
    await systemctl(host, ['disable', '--now', ...there]);
  }
  for (const name of UNIT_NAMES) {
    await host.files.remove(`${folder}/${name}`);
    await host.files.remove(`${folder}/${name}.d`);
  }
  await systemctl(host, ['daemon-reload']);
  // What is left of failed units is in systemd's memory only.
  await host.run(['systemctl', '--no-ask-password', '--quiet', 'reset-failed', ...UNIT_NAMES]);
}

async function systemctl(host: Pick<Host, 'run'>, args: readonly string[]): Promise<void> {
  await asked(host, ['systemctl', '--no-ask-password', '--quiet', ...args]);
}

async function asked(host: Pick<Host, 'run'>, argv: [string, ...string[]]): Promise<void> {
  const { code, stdout, stderr } = await host.run(argv, { timeoutMs: 60_000 });
  if (code === 0) return;
  throw new KkError({
    code: 'SYSTEMD_FAILED',
    message: `\`${argv.join(' ')}\` ended with ${code}.`,
    evidence: `${stderr}${stdout}`.trim(),
    remedy: 'See `journalctl -u kk-agent` and `systemctl status kk-agent`; install again when it is mended.',
  });
}
