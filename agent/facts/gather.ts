import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { gatherCgroups } from './cgroups.ts';
import { gatherCpu } from './cpu.ts';
import { gatherDisks } from './disks.ts';
import { gatherDmi } from './dmi.ts';
import { gatherFilesystems } from './filesystems.ts';
import { gatherBootId, gatherMachineId } from './identity.ts';
import { gatherInterfaces } from './interfaces.ts';
import { architectureOf, gatherHostname, gatherKernel } from './kernel.ts';
import { gatherListening } from './listening.ts';
import { gatherMemory, gatherSwap } from './memory.ts';
import { gatherMounts } from './mounts.ts';
import { gatherOs } from './os-release.ts';
import { gatherPackageManager } from './package-manager.ts';
import { gatherPackages } from './packages.ts';
import { gatherRoutes } from './routes.ts';
import { gatherSelinux } from './selinux.ts';
import { gatherSystem } from './system.ts';
import { gatherTimeSync } from './time-sync.ts';
import { gatherVirtualization } from './virtualization.ts';

/** What one gatherer may take, so that one that hangs costs its own part only. */
const LIMIT_MS = 6_000;
/** The limit is counted in so many ticks. */
const TICKS = 20;

/** All facts, gathered side by side. Never throws: a part that fails stays empty and its name is in `missing`. */
export async function gatherFacts(host: Host, limitMs = LIMIT_MS): Promise<Facts> {
  const begun = host.bootTimeMs();
  const at = host.nowMs();
  const missing: string[] = [];

  async function part<T>(name: string, empty: T, gather: () => T | Promise<T>): Promise<T> {
    try {
      return await within(limitMs, gather);
    } catch {
      missing.push(name);
      return empty;
    }
  }

  const parts = {
    hostname: part('hostname', '', () => gatherHostname(host)),
    os: part<Facts['os']>('os', { id: '', id_like: [], version: '', name: '' }, () => gatherOs(host)),
    architecture: part('architecture', '', () => architectureOf()),
    kernel: part('kernel', { release: '', version: '' }, () => gatherKernel(host)),
    cpu: part('cpu', { count: 0, model: '' }, () => gatherCpu(host)),
    memory: part('memory', { total: 0, available: 0 }, () => gatherMemory(host)),
    swap: part<Facts['swap']>('swap', { total: 0, devices: [] }, () => gatherSwap(host)),
    interfaces: part<Facts['interfaces']>('interfaces', [], () => gatherInterfaces(host)),
    filesystems: part<Facts['filesystems']>('filesystems', [], () => gatherFilesystems(host)),
    machine_id: part('machine_id', '', () => gatherMachineId(host)),
    boot_id: part('boot_id', '', () => gatherBootId(host)),
    package_manager: part<Facts['package_manager']>('package_manager', 'none', () => gatherPackageManager(host)),
  };
  /** Parts without an empty value: one that cannot be had is absent. */
  const optional = {
    system: part<Facts['system']>('system', undefined, () => gatherSystem()),
    disks: part<Facts['disks']>('disks', undefined, () => gatherDisks(host)),
    mounts: part<Facts['mounts']>('mounts', undefined, () => gatherMounts(host)),
    routes: part<Facts['routes']>('routes', undefined, () => gatherRoutes(host)),
    dmi: part<Facts['dmi']>('dmi', undefined, () => gatherDmi(host)),
    virtualization: part<Facts['virtualization']>('virtualization', undefined, () => gatherVirtualization(host)),
    cgroups: part<Facts['cgroups']>('cgroups', undefined, () => gatherCgroups(host)),
    time_sync: part<Facts['time_sync']>('time_sync', undefined, () => gatherTimeSync(host)),
    packages: part<Facts['packages']>('packages', undefined, () => gatherPackages(host)),
    listening: part<Facts['listening']>('listening', undefined, () => gatherListening(host)),
    selinux: part<Facts['selinux']>('selinux', undefined, () => gatherSelinux(host)),
  };
  const settled = await Promise.all(
    Object.entries(optional).map(async ([name, value]) => [name, await value] as const),
  );
  return {
    hostname: await parts.hostname,
    os: await parts.os,
    architecture: await parts.architecture,
    kernel: await parts.kernel,
    cpu: await parts.cpu,
    memory: await parts.memory,
    swap: await parts.swap,
    interfaces: await parts.interfaces,
    filesystems: await parts.filesystems,
    machine_id: await parts.machine_id,
    boot_id: await parts.boot_id,
    ...Object.fromEntries(settled.filter(([, value]) => value !== undefined)),
    package_manager: await parts.package_manager,
    gathered: { at_ms: at, took_ms: host.bootTimeMs() - begun },
    ...(missing.length > 0 ? { missing: missing.sort() } : {}),
  };
}

/** Ticks and no clock: when the whole agent stood still (its machine boots, or was suspended), nothing in it has hung. */
async function within<T>(limitMs: number, work: () => T | Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  let left = TICKS;
  const timer = setInterval(() => {
    left -= 1;
    if (left === 0) reject(new Error(`not done within ${limitMs} ms`));
  }, limitMs / TICKS);
  try {
    return await Promise.race([work(), promise]);
  } finally {
    clearInterval(timer);
  }
}
