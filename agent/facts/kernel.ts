import { machine } from 'node:os';
import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { needText } from './text.ts';

/** `uname -r` and `uname -v`. */
export async function gatherKernel(host: Host): Promise<Facts['kernel']> {
  const [release, version] = await Promise.all([
    needText(host, '/proc/sys/kernel/osrelease'),
    needText(host, '/proc/sys/kernel/version'),
  ]);
  return { release, version };
}

/** `uname -n`: what the machine calls itself now, not what a file says for the next boot. */
export async function gatherHostname(host: Host): Promise<string> {
  return await needText(host, '/proc/sys/kernel/hostname');
}

/** Kubernetes' spelling of `uname -m`. The machine's, not that of the Node binary. */
export function architectureOf(name: string = machine()): string {
  const spelling: Record<string, string> = { x86_64: 'amd64', aarch64: 'arm64', armv7l: 'arm', i686: '386' };
  return Object.hasOwn(spelling, name) ? (spelling[name] ?? name) : name;
}
