import { z } from 'zod';
import { Sha256 } from '../blob.ts';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account, given } from './fields.ts';
import { Mode } from './mode.ts';
import { WEB, WebAddress } from './web.ts';

const listOf = (value: unknown): string[] => (Array.isArray(value) ? value : [value]).map(String);

/**
 * A file of a web server's, verified by its digest before it is put in place. It goes through the node's cache: a download that
 * was cut off goes on where it was, and a file that is there is not fetched again.
 */
export const download = defineAction({
  kind: 'download',
  version: 1,
  summary: 'a file from a web server, verified by its sha256',
  input: z
    .strictObject({
      /** One address, or several with the same file, best first. */
      url: z.union([WebAddress, z.array(WebAddress).min(1).max(20)]),
      dest: AbsolutePath,
      /** `none`: nobody knows it; then only https, and a file that is there stays as it is. */
      sha256: z.union([Sha256, z.literal('none')]).optional(),
      /** A list of digests as `sha256sum` writes it, or one digest alone. */
      checksum_url: WebAddress.optional(),
      mode: Mode.optional(),
      owner: Account.optional(),
      group: Account.optional(),
      ...WEB,
    })
    .refine(
      (input) => given(input, ['sha256', 'checksum_url']).length === 1,
      'give exactly one of sha256 (of the file, or "none") and checksum_url',
    )
    .refine((input) => {
      const trusted =
        input.checksum_url === undefined ? (input.sha256 === 'none' ? input.url : []) : input.checksum_url;
      return !(
        listOf(trusted).some((url) => url.startsWith('http:')) ||
        (input.insecure && listOf(trusted).length > 0)
      );
    }, 'without a sha256 in the plan only https with a trusted certificate is taken, for nothing else says whose file it is'),
  output: z.object({
    path: z.string(),
    sha256: z.string(),
    mode: z.string().optional(),
    bytes: z.number(),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    url: ['https://mirror.example.org/runc', 'https://example.org/runc'],
    sha256: '5b4aaee0e9f1f9b9c8ea9c0d7a1a9f9b63f2a9fd0b6c3c1e1ab3f0e7c7ce9f10',
    dest: '/usr/local/sbin/runc',
    mode: '0755',
  },
});
