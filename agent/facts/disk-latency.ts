import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import type { EtcdDiskFacts } from '../../shared/checks/rules/etcd-disk.ts';
import { trouble } from '../../shared/checks/troubles.ts';
import { MIB, mib } from '../../shared/checks/units.ts';
import { reportOf } from '../../shared/errors.ts';
import { Json } from '../../shared/share.ts';
import type { Host } from '../host/host.ts';
import { absentDirectories, isDirectory, nearestDirectory } from './existing.ts';
import { filesystemOf } from './filesystems.ts';
import type { Gathered } from './gathered.ts';
import { trySysfs } from './text.ts';

/** The recipe's file of 22 MiB, with room to spare for what else writes meanwhile. */
const NEEDED_BYTES = 64 * MIB;
/**
 * A disk that needs longer for 10,000 writes is judged by those it did: over 1,000 of one at the limit of 10 ms, enough for a
 * 99th percentile. --runtime ends fio in order, the limit kills it.
 */
const RUNTIME_SECONDS = 10;
const LIMIT_MS = 60_000;
const PROBE = /^\.kk-fio-[0-9a-f]{12}$/;

/**
 * The workload of etcd's log, as etcd's FAQ and everybody's prechecks measure it. `--thread`: otherwise fio's worker is a
 * process in a session of its own, which a kill would not reach.
 */
const FIO = [
  'fio',
  '--name=kk-etcd',
  '--rw=write',
  '--ioengine=sync',
  '--fdatasync=1',
  '--size=22m',
  '--bs=2300',
  '--thread',
  `--runtime=${RUNTIME_SECONDS}`,
  '--output-format=json',
] as const;

/**
 * Measures the latency of fdatasync in etcd's data directory with fio. Works in a folder of its own there and takes away
 * all that it made, also the data directory if that was absent; what was there is never touched. Where etcd already serves
 * nothing is measured: a member must not be slowed down to find out how fast its disk is.
 */
export async function probeDiskLatency(host: Host, directory: string, signal: AbortSignal): Promise<Gathered> {
  const nothing = { directory, serving: false } satisfies EtcdDiskFacts;
  const refused = (text: string): Gathered => ({ facts: nothing, trouble: text });

  if (await isServing(host, directory)) return { facts: { directory, serving: true } };
  if ((await host.run(['fio', '--version'])).code !== 0) {
    return refused(trouble('FIO_MISSING', `there is no fio on the node to measure the disk of ${directory} with`));
  }
  const space = await filesystemOf(host, await nearestDirectory(host, directory));
  if (space !== undefined && space.available < NEEDED_BYTES) {
    const text = `${space.mount} has ${mib(space.available)} free, the test in ${directory} needs ${mib(NEEDED_BYTES)}`;
    return refused(trouble('DISK_FULL', text));
  }

  const made = await absentDirectories(host, directory);
  const probe = join(directory, `.kk-fio-${randomBytes(6).toString('hex')}`);
  try {
    if (made.length > 0) await host.files.makeDirectory(directory, { mode: 0o700 });
    await removeLeftovers(host, directory);
    await host.files.makeDirectory(probe, { mode: 0o700 });
  } catch (thrown) {
    await clean(host, probe, made);
    return refused(trouble('DIRECTORY_UNUSABLE', `${directory} cannot be used: ${reportOf(thrown).message}`));
  }
  try {
    const { code, stdout, stderr } = await host.run(FIO, { cwd: probe, timeoutMs: LIMIT_MS, signal });
    const report = code === 0 ? readReport(stdout) : undefined;
    if (report === undefined) {
      const said = (stderr || stdout).trim().slice(0, 500) || 'it said nothing';
      return refused(trouble('FIO_FAILED', `fio in ${directory} ended with ${code} and no usable report: ${said}`));
    }
    return { facts: { directory, serving: false, fio: report } satisfies EtcdDiskFacts };
  } catch (thrown) {
    if (signal.aborted) return refused(trouble('CANCELLED', `the disk test in ${directory} was cancelled`));
    return refused(trouble('FIO_FAILED', `fio in ${directory} failed: ${reportOf(thrown).message}`));
  } finally {
    await clean(host, probe, made);
  }
}

/** A member directory alone may be the rest of an old cluster: only with a process does it serve. */
async function isServing(host: Host, directory: string): Promise<boolean> {
  if (!(await isDirectory(host, join(directory, 'member')))) return false;
  const pids = (await host.files.list('/proc')).filter((name) => /^\d+$/.test(name));
  const names = await Promise.all(pids.map((pid) => trySysfs(host, `/proc/${pid}/comm`)));
  return names.includes('etcd');
}

/** What a killed agent left: kubeadm refuses an etcd directory that is not empty. */
async function removeLeftovers(host: Host, directory: string): Promise<void> {
  const names = (await host.files.list(directory)).filter((name) => PROBE.test(name));
  await Promise.all(names.map((name) => host.files.remove(join(directory, name))));
}

/** rmdir and not a recursive removal: what somebody put there in the meantime stays. */
async function clean(host: Host, probe: string, made: readonly string[]): Promise<void> {
  if ((await host.files.stat(probe)) !== undefined) await host.files.remove(probe);
  for (const directory of made.toReversed()) await host.run(['rmdir', '--', directory]);
}

const FioOutput = z.looseObject({
  'fio version': Json.optional(),
  'global options': Json.optional(),
  jobs: z.array(z.record(z.string(), Json)).min(1),
});

/** The job's parts that say what was measured and how; the rest of fio's report says nothing about one writer. */
const KEPT = ['jobname', 'error', 'job options', 'job_runtime', 'write', 'sync'];

/** fio's own JSON, cut to what the verdict rests on. Some versions print notes before it. undefined: no report. */
export function readReport(stdout: string): Json | undefined {
  try {
    const report = FioOutput.parse(JSON.parse(stdout.slice(stdout.search(/^\{/m))));
    const [job = {}] = report.jobs;
    return {
      'fio version': report['fio version'] ?? null,
      ...(report['global options'] === undefined ? {} : { 'global options': report['global options'] }),
      jobs: [Object.fromEntries(Object.entries(job).filter(([key]) => KEPT.includes(key)))],
    };
  } catch {
    return undefined;
  }
}
