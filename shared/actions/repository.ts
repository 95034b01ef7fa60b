import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, given } from './fields.ts';

/** One word of a repository's file: no blanks, nothing that ends a line. */
const Word = z
  .string()
  .min(1)
  .max(1000)
  .regex(/^[^\s"'#]+$/, 'holds no blanks and no quotes');

const Uri = Word.regex(
  /^(?:https?|file|ftp|cdrom|mirror\+\w+|copy|dir):/,
  'not the address of a repository: https://…, file:/…',
).refine(
  (uri) => !/^[a-z+]+:\/\/[^/]*@/.test(uri),
  'holds a password: keep it in /etc/apt/auth.conf.d, or in options of a .repo file',
);

/** 40 hexadecimal digits, of newer keys 64; blanks as people copy them are fine. */
const Fingerprint = z
  .string()
  .transform((text) => text.replaceAll(/[\s:]/g, '').toUpperCase())
  .pipe(z.string().regex(/^(?:[0-9A-F]{40}|[0-9A-F]{64})$/, 'not the fingerprint of a key: 40 hexadecimal digits'));

/**
 * A repository of packages with its key: a file of its own for apt (deb822, sources.list(5)), dnf and yum (.repo), zypper (repos.d).
 * What it has is asked for when something about it was changed.
 */
export const repository = defineAction({
  kind: 'repository',
  version: 1,
  summary: 'a repository of packages with its key (apt, dnf, yum, zypper); or none',
  lock: 'packages',
  input: z
    .strictObject({
      /** Of its file: /etc/apt/sources.list.d/<name>.sources. */
      name: z
        .string()
        .max(100)
        .regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/, 'not a name for a repository: letters, digits, - and _'),
      uris: z.array(Uri).min(1).max(20).optional(),
      /** apt: `bookworm`, or a path that ends in `/` for one without suites. */
      suites: z.array(Word).min(1).max(20).optional(),
      /** apt: `main`. None with a path. */
      components: z.array(Word).max(20).optional(),
      /** apt: only these, `amd64`. */
      architectures: z.array(Word).max(20).optional(),
      /** The key that it is signed by: as text, or a file on the node. Absent: signed by one that the node trusts already. */
      key: z.string().max(200_000).optional(),
      key_file: AbsolutePath.optional(),
      /** Of the keys that are in it, all of them; anything else is refused. */
      fingerprints: z.array(Fingerprint).min(1).max(20).optional(),
      /** Its signature is not checked at all. */
      trusted: z.boolean().default(false),
      enabled: z.boolean().default(true),
      /** Further fields of its file as the manager names them: `{Pin-Priority…}` of apt, `{priority: 10}` of dnf. */
      options: z
        .record(
          z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]*$/, 'not the name of a field'),
          z.union([z.string().regex(/^[^\r\n]*$/, 'a field is one line'), z.int(), z.boolean()]),
        )
        .optional(),
      state: z.enum(['present', 'absent']).default('present'),
      lock_wait_seconds: z.int().min(0).max(86_400).default(120),
    })
    .refine((input) => (input.state === 'present') === (input.uris !== undefined), 'uris belongs to state: present')
    .refine((input) => given(input, ['key', 'key_file']).length <= 1, 'give at most one of key and key_file')
    .refine(
      (input) => input.fingerprints === undefined || given(input, ['key', 'key_file']).length === 1,
      'fingerprints belong to key or key_file',
    )
    .refine(
      (input) => !input.trusted || given(input, ['key', 'key_file']).length === 0,
      'trusted: true checks no signature, so no key belongs to it',
    ),
  output: z.object({
    /** Its file. */
    path: z.string(),
    /** Of its key. */
    fingerprints: z.array(z.string()),
    /** What it has was asked for. */
    refreshed: z.boolean(),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    name: 'kubernetes',
    uris: ['https://pkgs.k8s.io/core:/stable:/v1.30/deb/'],
    suites: ['/'],
    key_file: '/etc/apt/keyrings/kubernetes.asc',
    fingerprints: ['DE15B14486CD377B9E876E1A234654DA9A296436'],
  },
});
