import { z } from 'zod';
import { Sans, Subject } from './certificate-names.ts';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account } from './fields.ts';
import { Mode, modeBits } from './mode.ts';

/**
 * A private key on the node (ECDSA P-256), which never leaves it, and a request for a certificate (PKCS #10) by it. A key
 * that is there is kept; the request is made anew each time.
 */
export const certificateRequest = defineAction({
  kind: 'certificate_request',
  version: 1,
  summary: 'a private key on the node, and a request for its certificate',
  input: z.strictObject({
    /** Where the key lies, as PEM (PKCS #8). */
    key: AbsolutePath,
    /** Whom the certificate is for: `CN`, and `O` or a list of it. */
    subject: Subject,
    /** The names it is to hold for: `DNS:name` and `IP:address`. */
    sans: Sans.default([]),
    owner: Account.optional(),
    group: Account.optional(),
    /** Of the key; nobody but its owner and group may read it. */
    mode: Mode.default('0600').refine((mode) => (modeBits(mode) & 7) === 0, 'others may not read a private key'),
  }),
  output: z.object({
    key: z.string(),
    /** PEM. */
    csr: z.string(),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    key: '/etc/ssl/etcd/ssl/member.key',
    subject: { CN: 'etcd-1' },
    sans: ['DNS:localhost', 'IP:127.0.0.1'],
  },
});
