import { z } from 'zod';
import type { Json } from '../../shared/share.ts';

/** What settings of a cluster have in common: how durations, sizes and flags are written. */

/** As the rest of a plan has it. */
export const Duration = z
  .string()
  .regex(/^\d+(?:ms|s|m|h|d)$/, 'a whole number with its unit, such as "30s", "10m", "2h", "30d"');
/** As Go reads it: kubeadm is given it as it is. */
export const Timeout = z.string().regex(/^\d+[smh]$/, 'a whole number with its unit, such as "90s", "5m", "1h"');
/** A quantity of Kubernetes, in bytes. */
export const Bytes = z.string().regex(/^\d+(?:Ki|Mi|Gi|k|M|G)?$/, 'bytes with a unit, such as "5Mi"');
export const Port = z.int().min(1).max(65535);
export const AbsolutePath = z.string().regex(/^\/\S*$/, 'an absolute path');
/** Folders of the system, which no program has for itself: what is deleted with a cluster would go from them. */
const SYSTEM_FOLDER =
  /^\/(?:(?:bin|boot|dev|etc|home|lib|lib32|lib64|libx32|lost\+found|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)?|(?:dev|proc|sys|boot|usr|bin|sbin|lib|lib64)\/.*|etc\/(?:kubernetes|cni|containerd|etcd|systemd)(?:\/.*)?|var\/(?:cache|lib|local|log|mail|opt|run|spool|tmp)|var\/(?:log|run)\/.*)$/;
/** A folder that a program of the cluster keeps its data in, and that is deleted with it. */
export const DataFolder = AbsolutePath.refine(
  (path) => path === '/' || !/\/\.{0,2}(?:\/|$)/.test(path),
  'an absolute path without "..", "//" or "/" at its end',
).refine(
  (path) => !SYSTEM_FOLDER.test(path),
  'a folder of its own, and not one of the system: it is deleted with the cluster',
);
export const Host = z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, 'a DNS name');

/** Anything that a person may write there: it is handed on as it is. */
const Anything = z.unknown() as z.ZodType<Json>;
/** Settings of another program, in its own words. */
export const Free = z.record(z.string(), Anything);

/** Flags of a component without the leading dashes. */
export const ExtraArgs = z.record(
  z.string().regex(/^[a-z][a-z0-9-]*$/, 'the name of a flag without the dashes, such as "audit-log-path"'),
  z.union([z.string(), z.number(), z.boolean()]),
);

const LABEL_KEY = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const LabelKey = z.string().regex(LABEL_KEY, 'a key of Kubernetes, such as "zone" or "example.com/zone"');
const LabelValue = z
  .string()
  .regex(/^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/, 'at most 63 letters, digits, "-", "_" and "."');
export const Labels = z.record(LabelKey, LabelValue);
export const Annotations = z.record(LabelKey, z.string());
export const Taints = z.array(
  z.strictObject({
    key: LabelKey,
    value: LabelValue.default(''),
    effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
  }),
);
