import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath } from './fields.ts';

const Name = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9+._-]*(?::[a-z0-9]+)?$/,
    'not the name of a package; the version is an input of its own',
  );

function oneOrMore<T extends z.ZodType>(item: T) {
  return z.union([item, z.array(item).min(1).max(1000)]);
}

/** One or more as a list. */
export function listed<T>(value: T | readonly T[] | undefined): T[] {
  return value === undefined ? [] : Array.isArray(value) ? [...value] : [value as T];
}

/**
 * Packages of the distribution's own manager (apt, dnf, yum, zypper), in one transaction. Judged by the database of
 * installed packages (dpkg-query, rpm -q).
 */
export const packageAction = defineAction({
  kind: 'package',
  version: 1,
  summary: 'packages that are installed, at a version, held there; or are not (apt, dnf, yum, zypper)',
  lock: 'packages',
  input: z
    .strictObject({
      name: oneOrMore(Name).optional(),
      /** Package files (.deb, .rpm) on the node, instead of names. */
      files: oneOrMore(AbsolutePath).optional(),
      /** Of every name, as the manager writes it; `1.30.*` is the newest of these. */
      version: z
        .string()
        .max(200)
        .regex(/^[A-Za-z0-9][A-Za-z0-9.+:~_^-]*\*?$/, 'not the version of a package')
        .optional(),
      /** latest: the newest that the repositories have. */
      state: z.enum(['present', 'absent', 'latest']).default('present'),
      /** Kept at its version when all others are upgraded. Not stated: left as it is. */
      hold: z.boolean().optional(),
      /**
       * true: what the repositories have is asked for again before something is installed, when that is known for longer than
       * `cache_valid_seconds`. Not stated: only when a package or its version is not known. false: never.
       */
      update_cache: z.boolean().optional(),
      cache_valid_seconds: z.int().min(0).max(31_536_000).default(3600),
      /** With packages that are only recommended. Not stated: as the node is set up. */
      recommends: z.boolean().optional(),
      allow_downgrade: z.boolean().default(false),
      /** Others that are in the way, or need what goes, may be removed too. */
      allow_removal: z.boolean().default(false),
      /** apt: of files that were changed on the node, keep these or replace them by the package's. */
      config_files: z.enum(['keep', 'replace']).default('keep'),
      /** apt: with state: absent, their configuration goes too. */
      purge: z.boolean().default(false),
      /** false: what is installed does not start its services (apt; the others start none by themselves). */
      start_services: z.boolean().default(true),
      /** How long to wait while another program uses the package manager. */
      lock_wait_seconds: z.int().min(0).max(86_400).default(120),
    })
    .refine((input) => input.name === undefined || input.files === undefined, 'give at most one of name and files')
    .refine(
      (input) => input.name !== undefined || input.files !== undefined || input.update_cache === true,
      'say what is wanted: name, files, or update_cache: true alone',
    )
    .refine(
      (input) => input.version === undefined || (input.name !== undefined && input.state === 'present'),
      'version belongs to name, with state: present',
    )
    .refine((input) => input.files === undefined || input.state === 'present', 'files belong to state: present')
    .refine((input) => !input.purge || input.state === 'absent', 'purge belongs to state: absent')
    .refine(
      (input) => input.hold === undefined || (input.state !== 'absent' && (input.name ?? input.files) !== undefined),
      'hold belongs to packages that are installed',
    ),
  output: z.object({
    /** apt, dnf, yum or zypper. */
    manager: z.string(),
    /** The named ones with their version; empty: not installed. */
    packages: z.record(z.string(), z.string()),
    /** All that was changed, in words: `liba 1.0 installed`, `toola 1.0 → 2.0`, `toola held`. */
    done: z.array(z.string()),
  }),
  shorthand: (value) => (typeof value === 'string' || Array.isArray(value) ? { name: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { name: ['kubelet', 'kubeadm'], version: '1.30.4-1.1', hold: true },
});
