import { z } from 'zod';
import { Sha256 } from '../blob.ts';
import { PlanFile } from './copy.ts';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account, ComponentName, given } from './fields.ts';
import { WEB, WebAddress } from './web.ts';

const SOURCES = ['src', 'component', 'path', 'url'] as const;

/** The content of an archive, below a directory. What it is comes from its bytes: tar, plain or by gzip, xz or zstd; or zip. */
export const unarchive = defineAction({
  kind: 'unarchive',
  version: 2,
  summary: 'what is in an archive, unpacked into a directory',
  input: z
    .strictObject({
      /** A file of the plan's, as of copy. */
      src: PlanFile.optional(),
      /** The archive of a component, as of copy; `strip` and `include` are then what components.yaml says, where unstated. */
      component: ComponentName.optional(),
      /** An archive that is on the node. */
      path: AbsolutePath.optional(),
      /** One on a web server, with its sha256; as of download. */
      url: WebAddress.optional(),
      sha256: Sha256.optional(),
      /** A directory; made where there is none. What else is in it stays. */
      dest: AbsolutePath,
      /** Leading parts of the names that are left out. */
      strip: z.int().min(0).max(20).default(0),
      /** Names in the archive (before `strip`) that are unpacked, with `*` and `**`; unstated: all. */
      include: z.array(z.string().min(1).max(1000)).min(1).max(1000).optional(),
      /** Unstated: the agent's user; never the archive's. */
      owner: Account.optional(),
      group: Account.optional(),
      /** Keep set-uid and set-gid bits. */
      setuid: z.boolean().default(false),
      /** What it may become at most, unpacked. */
      max_bytes: z
        .int()
        .min(1)
        .default(10 * 1024 ** 3),
      max_entries: z.int().min(1).max(1_000_000).default(100_000),
      ...WEB,
    })
    .refine((input) => given(input, SOURCES).length === 1, 'give exactly one of src, component, path and url')
    .refine((input) => input.url === undefined || input.sha256 !== undefined, 'an url needs the sha256 of the archive'),
  output: z.object({
    path: z.string(),
    /** Of the archive. */
    sha256: z.string(),
    files: z.number(),
    bytes: z.number(),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  takesFiles: true,
  example: {
    url: 'https://example.org/cni-plugins-linux-amd64-v1.6.2.tgz',
    sha256: 'b8e811578fb66023f90d2e238d80cec3bdfca4b44049af74c374d4fae0f9c090',
    dest: '/opt/cni/bin',
  },
});
