import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { needText } from './text.ts';

/** CPUs that are online, hardware threads each counted; what the kubelet reports as capacity. */
export async function gatherCpu(host: Host): Promise<Facts['cpu']> {
  return parseCpuinfo(await needText(host, '/proc/cpuinfo'));
}

/** arm64 has no `model name`; the implementer and part numbers say the same for who looks them up. */
export function parseCpuinfo(text: string): Facts['cpu'] {
  const first = (key: string): string | undefined => new RegExp(`^${key}\\s*:\\s*(.+)$`, 'm').exec(text)?.[1]?.trim();
  const count = text.match(/^processor\s*:/gm)?.length ?? 0;
  if (count === 0) throw new Error('/proc/cpuinfo lists no processor');
  const implementer = first('CPU implementer');
  const numbers = implementer === undefined ? '' : `implementer ${implementer} part ${first('CPU part') ?? '?'}`;
  return { count, model: first('model name') ?? first('Model') ?? numbers };
}
