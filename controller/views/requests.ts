import { z } from 'zod';
import { BlobRef, Sha256 } from '../../shared/blob.ts';

/**
 * What the operator API is asked: the bodies of its requests, checked by the server and typed for its client. Durations
 * are seconds.
 */

/** Bytes of one request; a plan with its roles, templates and files goes in whole. */
export const MAX_BODY = 64 * 1024 * 1024;

const Name = z.string().min(1).max(253);
const By = z.string().max(253).default('');

export const SourcesBody = z.strictObject({
  plan: z.string().min(1),
  texts: z.record(z.string(), z.string()),
  files: z.record(z.string().max(4200), BlobRef).optional(),
  playbookPath: z.array(z.string()).optional(),
  playbooks: z.array(z.string()).optional(),
  refused: z.record(z.string(), z.string()).optional(),
  offered: z.strictObject({ playbooks: z.array(z.string()), roles: z.array(z.string()) }).optional(),
});

const ApplyOptionsBody = z.strictObject({
  runVars: z.record(z.string(), z.json()).default({}),
  tags: z.array(z.string()).default([]),
  skipTags: z.array(z.string()).default([]),
  skipPrechecks: z.boolean().default(false),
  prechecksOnly: z.boolean().default(false),
  /** The run is rolled back by itself when it fails. */
  autoRollback: z.boolean().default(false),
  /** A dry run: nothing on the nodes is changed. */
  check: z.boolean().default(false),
  /** False: refused when another run holds one of its nodes. */
  wait: z.boolean().default(true),
  by: By,
});

export const ApplyBody = z.strictObject({ sources: SourcesBody, options: ApplyOptionsBody.prefault({}) });
export type ApplyBody = z.input<typeof ApplyBody>;

export const BackupBody = z.strictObject({
  /** Absolute. */
  file: z.string().min(2).max(4096).startsWith('/'),
  logs: z.boolean().default(true),
});
export type BackupBody = z.input<typeof BackupBody>;

const TaskArgument = z.string().min(1).max(1000);

export const RollbackBody = z
  .strictObject({
    to: TaskArgument.optional(),
    tasks: z.array(TaskArgument).max(1000).default([]),
    nodes: z.array(Name).max(100_000).default([]),
    withDependents: z.boolean().default(false),
    /** False: only tells what it would do. */
    start: z.boolean().default(false),
    by: By,
  })
  .prefault({});
export type RollbackBody = z.input<typeof RollbackBody>;

export const ResumeBody = z.strictObject({
  sources: SourcesBody,
  options: ApplyOptionsBody.extend({
    /** Default: the last run of the plan's name. */
    run: Name.optional(),
    rerun: z.array(TaskArgument).max(1000).default([]),
    /** A run is arranged for when it begins. */
    autoRollback: z.literal(false).default(false),
  }).prefault({}),
});
export type ResumeBody = z.input<typeof ResumeBody>;

export const RetryBody = z
  .strictObject({
    nodes: z.array(Name).max(100_000).default([]),
    tasks: z.array(TaskArgument).max(1000).default([]),
    by: By,
  })
  .prefault({});
export type RetryBody = z.input<typeof RetryBody>;

export const SkipBody = z.strictObject({
  task: TaskArgument,
  reason: z.string().min(1).max(1000),
  nodes: z.array(Name).max(100_000).default([]),
  by: By,
});
export type SkipBody = z.input<typeof SkipBody>;

export const AskBody = z.strictObject({ by: By }).prefault({});
export type AskBody = z.input<typeof AskBody>;

/** `fingerprint`: of the key that the person was shown (shared/identity.ts keyFingerprint). */
export const DecideBody = z.strictObject({ fingerprint: z.string().max(100), by: By });
export type DecideBody = z.input<typeof DecideBody>;

export const AdoptBody = z.strictObject({ run: Name.optional(), by: By }).prefault({});
export type AdoptBody = z.input<typeof AdoptBody>;

export const PermitBody = z.strictObject({ name: z.string().min(1).max(200), by: By });
export type PermitBody = z.input<typeof PermitBody>;

const Selector = z.array(z.string().min(1).max(10_000)).min(1).max(10_000);

export const FactsBody = z.strictObject({ selector: Selector, by: By });
export type FactsBody = z.input<typeof FactsBody>;

export const ExecBody = z.strictObject({
  selector: Selector,
  argv: z.tuple([z.string()], z.string()),
  timeoutSeconds: z.number().min(0).max(86_400).default(0),
  forks: z.int().min(1).max(100_000).optional(),
  by: By,
});
export type ExecBody = z.input<typeof ExecBody>;

/** `cp`: to nodes with the digests of what is copied, by path; from them with the folder it comes into. */
export const CopyBody = z.strictObject({
  direction: z.enum(['to', 'from']),
  selector: z.array(z.string().min(1)).min(1),
  copies: z
    .array(
      z.strictObject({
        from: z.string().min(1).max(4096).startsWith('/'),
        to: z.string().min(1).max(4096).startsWith('/'),
        blobs: z.record(z.string().max(4200), BlobRef).default({}),
      }),
    )
    .min(1)
    .max(1000),
  by: By,
});
export type CopyBody = z.input<typeof CopyBody>;

/** More than a plan may name. */
export const BlobsBody = z.strictObject({ sha256: z.array(Sha256).max(200_000) });
export type BlobsBody = z.input<typeof BlobsBody>;

export const ScanBody = z.strictObject({
  network: z.string().min(1).max(100),
  ports: z.array(z.int().min(1).max(65_535)).min(1).max(16),
  timeoutSeconds: z.number().min(0.1).max(10).default(1),
  from: Name.optional(),
  by: By,
});
export type ScanBody = z.input<typeof ScanBody>;

const Cells = z.int().min(0).max(10_000);

/** The first message of a shell's WebSocket. */
export const ShellBody = z.strictObject({
  node: Name,
  user: Name.optional(),
  argv: z.array(z.string()).max(10_000).default([]),
  term: z.string().max(64).default(''),
  columns: Cells,
  rows: Cells,
  now: z.boolean().default(false),
  by: By,
});
export type ShellBody = z.input<typeof ShellBody>;

/** The text messages after it. */
export const ShellResizeBody = z.strictObject({ columns: Cells, rows: Cells });
export type ShellResizeBody = z.input<typeof ShellResizeBody>;

export const CancelBody = z.strictObject({ force: z.boolean().default(false), by: By }).prefault({});
export type CancelBody = z.input<typeof CancelBody>;

/** `task`: its key; absent: all that the run waits for. `node`: whose step is meant; absent: those of all nodes. */
export const ConfirmBody = z.strictObject({
  yes: z.boolean(),
  task: z.string().max(1000).optional(),
  node: Name.optional(),
  by: By,
});
export type ConfirmBody = z.input<typeof ConfirmBody>;

export const RemoveBody = z.strictObject({ force: z.boolean().default(false), by: By }).prefault({});
export type RemoveBody = z.input<typeof RemoveBody>;

export const UpgradeBody = z.strictObject({
  selector: z.array(z.string().min(1)).max(10_000).default([]),
  batch: z.int().min(1).max(10_000).default(10),
  limitSeconds: z.number().min(5).max(3600).default(60),
});
export type UpgradeBody = z.input<typeof UpgradeBody>;

export const TokenBody = z.strictObject({
  ttlSeconds: z.number().min(1).max(31_536_000),
  uses: z.int().min(1).max(100_000).default(1),
  name: Name.optional(),
  replace: Name.optional(),
  names: Name.optional(),
  cidrs: z.array(z.string().max(64)).max(100).optional(),
  groups: z.array(z.string().max(63)).max(100).optional(),
  approve: z.boolean().optional(),
});
export type TokenBody = z.input<typeof TokenBody>;

export const JoinBody = TokenBody.extend({
  endpoint: z.string().max(2000).optional(),
  cloudInit: z.boolean().optional(),
});
export type JoinBody = z.input<typeof JoinBody>;

export const BootstrapBody = z.strictObject({ sources: SourcesBody, nodes: z.array(Name).max(100_000) });
export type BootstrapBody = z.input<typeof BootstrapBody>;
