import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { needText, readText } from './text.ts';

/** Unified (cgroups(7)) where the root has a list of controllers, also of none; else what the kernel has for version 1. */
export async function gatherCgroups(host: Host): Promise<NonNullable<Facts['cgroups']>> {
  const unified = await readText(host, '/sys/fs/cgroup/cgroup.controllers');
  if (unified !== undefined) return { version: 2, controllers: unified.trim().split(/\s+/).filter(Boolean) };
  return { version: 1, controllers: parseCgroups(await needText(host, '/proc/cgroups')) };
}

/** /proc/cgroups: name, hierarchy, number of groups, enabled. */
export function parseCgroups(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , , enabled] = line.split('\t');
    return enabled === '1' && !name.startsWith('#') ? [name] : [];
  });
}
