import { z } from 'zod';
import { Json } from '../../share.ts';
import { defineRule, fail, pass, unknown, warn } from '../define-rule.ts';
import { ms } from '../units.ts';

/** The probe's findings. `fio` is fio's own JSON, cut to the parts that say what was measured and how. */
export const EtcdDiskFacts = z.object({
  directory: z.string(),
  /** etcd runs in the directory already: it was not measured, since that would slow the member down. */
  serving: z.boolean(),
  fio: Json.optional(),
});
export type EtcdDiskFacts = z.infer<typeof EtcdDiskFacts>;

/** The one number of fio's JSON that counts: the 99th percentile of the latency of fdatasync, in nanoseconds. */
const FioReport = z.object({
  jobs: z.tuple([
    z.object({
      error: z.literal(0),
      sync: z.object({
        lat_ns: z.object({
          N: z.number().min(1),
          percentile: z.object({ '99.000000': z.number() }),
        }),
      }),
    }),
  ]),
});

/** Parameters of etcd_disk: the agent reads the directory from them too. */
export const EtcdDiskParams = z.strictObject({
  /** etcd's data directory as configured. */
  data_dir: z.string().startsWith('/'),
  warn_from_ms: z.number().positive(),
  fail_from_ms: z.number().positive(),
});
export type EtcdDiskParams = z.infer<typeof EtcdDiskParams>;

/**
 * etcd syncs each entry of its log before it answers. etcd's hardware guide and FAQ ask for wal_fsync p99 below 10 ms;
 * the fio recipe (blocks of 2,300 bytes, each followed by fdatasync) is the one that guide refers to.
 */
export const etcdDisk = defineRule({
  name: 'etcd_disk',
  summary: 'the disk of etcd’s data directory syncs fast enough (fio, p99 of fdatasync)',
  needs: 'etcd_disk',
  facts: EtcdDiskFacts,
  params: EtcdDiskParams,
  judge(facts, params) {
    const where = facts.directory;
    if (facts.serving) {
      return pass(
        `etcd already serves from ${where}, so its disk was not measured: see etcd_disk_wal_fsync_duration_seconds`,
        { directory: where, serving: true },
      );
    }
    const evidence: Json = { directory: where, fio: facts.fio ?? null };
    const report = FioReport.safeParse(facts.fio);
    if (!report.success) {
      return unknown(
        `fio's report for ${where} has no p99 of sync latency`,
        'install fio 3.5 or later on the node: earlier ones do not report the latency of fdatasync',
        evidence,
      );
    }
    const { N: samples, percentile } = report.data.jobs[0].sync.lat_ns;
    const p99 = percentile['99.000000'];
    const found = `p99 of fdatasync in ${where} is ${ms(p99)} over ${samples} writes`;
    const remedy = `put ${where} on an SSD or NVMe disk of its own, away from other writers`;
    if (p99 >= params.fail_from_ms * 1e6) {
      return fail(
        `${found}, wanted below ${params.warn_from_ms} ms (fails from ${params.fail_from_ms} ms)`,
        remedy,
        evidence,
      );
    }
    if (p99 >= params.warn_from_ms * 1e6) {
      return warn(`${found}, wanted below ${params.warn_from_ms} ms`, remedy, evidence);
    }
    return pass(`${found}, wanted below ${params.warn_from_ms} ms`, evidence);
  },
});
