import type { Host } from '../host/host.ts';
import { needText, readText } from './text.ts';

/** machine-id(5). `uninitialized` is what an image carries before its first boot. */
export async function gatherMachineId(host: Host): Promise<string> {
  const text = (await readText(host, '/etc/machine-id')) ?? (await readText(host, '/var/lib/dbus/machine-id'));
  const id = text?.trim() ?? '';
  if (id === '' || id === 'uninitialized') throw new Error('the machine has no machine-id');
  return id;
}

/** Another one after each boot. */
export async function gatherBootId(host: Host): Promise<string> {
  return await needText(host, '/proc/sys/kernel/random/boot_id');
}
