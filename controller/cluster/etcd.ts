import { z } from 'zod';
import { AbsolutePath, DataFolder, Duration, Port } from './fields.ts';

const Backup = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('the timer. One before control planes join a cluster that is there (mode internal) is taken in any case'),
  dir: AbsolutePath.default('/var/lib/etcd-backup'),
  keep: z.int().min(1).default(5).describe('snapshots'),
  schedule: z.string().min(1).default('*-*-* 02:00:00').describe('OnCalendar of systemd'),
  jitter: Duration.default('30m').describe('random delay of the timer'),
});

/** `etcd`: where it runs, and how it is tuned. */
export const Etcd = z.strictObject({
  mode: z
    .enum(['external', 'internal', 'endpoints'])
    .default('external')
    .describe(
      'external: a service on the group etcd; internal: static pods of kubeadm on the control planes; endpoints: one that is there already',
    ),
  endpoints: z
    .array(z.string().regex(/^https?:\/\/[^/\s]+:\d+$/, 'a URL with its port, such as https://10.0.0.9:2379'))
    .default([])
    .describe('of mode endpoints, with ca_file, cert_file and key_file'),
  ca_file: z.string().default('').describe("on the controller's machine, relative to the plan"),
  cert_file: z.string().default(''),
  key_file: z.string().default(''),
  data_dir: DataFolder.default('/var/lib/etcd'),
  port: Port.default(2379),
  peer_port: Port.default(2380),
  metrics_port: Port.default(2381),
  cluster_token: z.string().min(1).default('k8s-etcd'),
  heartbeat_interval: z.int().min(10).max(10_000).default(250).describe('ms'),
  election_timeout: z.int().min(50).max(50_000).default(5000).describe('ms, at least five heartbeats'),
  snapshot_count: z.int().min(1).default(10_000).describe('transactions'),
  auto_compaction_retention: z.int().min(0).default(8).describe('hours; 0: never'),
  quota_backend_bytes: z.int().min(0).default(8_589_934_592),
  max_request_bytes: z.int().min(1024).default(1_572_864),
  extra_env: z
    .record(
      z.string().regex(/^ETCD_[A-Z0-9_]+$/, 'a variable of etcd: ETCD_…'),
      z.union([z.string(), z.number(), z.boolean()]),
    )
    .default({})
    .describe('ETCD_… of the unit'),
  backup: Backup.prefault({}),
});
