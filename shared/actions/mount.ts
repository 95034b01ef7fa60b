import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { given, NormalPath } from './fields.ts';

/** One field of fstab(5); blanks in it are written in octal there. */
const Field = z
  .string()
  .max(4096)
  .regex(/^[^\r\n\0]*\S[^\r\n\0]*$/, 'a field of fstab is one line, and not empty');
const Word = Field.regex(/^\S*$/, 'it holds no blanks');

/** A file system, now and at every boot (mount(8), fstab(5)). */
export const mount = defineAction({
  kind: 'mount',
  version: 1,
  summary: 'a file system that is mounted, now and at boot; or is not',
  input: z
    .strictObject({
      path: NormalPath.refine((path) => path !== '/', 'the root is mounted by the boot, and is left alone'),
      /** A device, `UUID=…`, `LABEL=…`, `server:/export`, a folder for `opts: bind`, `tmpfs`. */
      src: Field.optional(),
      fstype: Word.optional(),
      opts: Word.default('defaults'),
      dump: z.int().min(0).max(9).default(0),
      /** When fsck looks at it at boot; 0: never. */
      pass: z.int().min(0).max(9).default(0),
      /** mounted: now and at boot. present: at boot only. unmounted: not now. absent: neither. */
      state: z.enum(['mounted', 'present', 'unmounted', 'absent']).default('mounted'),
    })
    .refine(
      (input) => given(input, ['src', 'fstype']).length === (['mounted', 'present'].includes(input.state) ? 2 : 0),
      'mounted and present take src and fstype, unmounted and absent neither',
    ),
  output: z.object({
    path: z.string(),
    mounted: z.boolean(),
    /** What is mounted there, as the kernel says. */
    source: z.string().optional(),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { path: '/var/lib/etcd', src: 'LABEL=etcd', fstype: 'ext4', opts: 'noatime', pass: 2 },
});
