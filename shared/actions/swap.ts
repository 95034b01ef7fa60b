import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { given, NormalPath } from './fields.ts';

const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };
const LEAST = 1024 ** 2;
const MOST = 64 * 1024 ** 4;
/** Pages are written whole. */
const PAGE = 4096;

/** Bytes of a size as people write it: `2GiB`, `512 MiB`, or the number of bytes. */
export function bytesOf(size: string | number): number {
  const [, digits = '', unit = ''] = /^(\d+) ?([KMGT]iB)$/.exec(String(size)) ?? [];
  return digits === '' ? Number(size) : Number(digits) * (UNITS[unit] ?? 1);
}

const Size = z
  .union([
    z.string().regex(/^\d{1,12} ?[KMGT]iB$/, 'a size is a number with KiB, MiB, GiB or TiB, such as 2GiB'),
    z.int(),
  ])
  .refine((size) => bytesOf(size) >= LEAST && bytesOf(size) <= MOST, 'a swap file has 1MiB to 64TiB')
  .refine((size) => bytesOf(size) % PAGE === 0, 'the size of a swap file is a multiple of 4KiB');

/** Swap space, now and at every boot (swapon(8), fstab(5), systemd.swap(5)). */
export const swap = defineAction({
  kind: 'swap',
  version: 1,
  summary: 'no swap space at all, now and at boot; or a swap file',
  input: z
    .strictObject({
      /** off: none of any kind, compressed memory (zram) included. on: the file, and whatever else there is. */
      state: z.enum(['off', 'on']).default('off'),
      file: NormalPath.optional(),
      size: Size.optional(),
      /** The higher is used first; unstated: the kernel puts it after those that are there. */
      priority: z.int().min(0).max(32_767).optional(),
    })
    .refine(
      (input) => given(input, ['file', 'size']).length === (input.state === 'on' ? 2 : 0),
      'state: on takes file and size, state: off neither',
    )
    .refine((input) => input.state === 'on' || input.priority === undefined, 'priority belongs to state: on'),
  output: z.object({
    /** What is in use. */
    swaps: z.array(z.string()),
    /** Units that make swap space and are masked or disabled. */
    units: z.array(z.string()),
  }),
  shorthand: (value) => (value === 'off' ? { state: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { state: 'off' },
});
