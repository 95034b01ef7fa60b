import { z } from 'zod';
import { Sans, Subject } from './certificate-names.ts';
import { defineAction } from './define-action.ts';
import { Handle } from './fields.ts';

/** Signs the request of a node by a CA of the plan, which is made on first use. A rollback revokes the certificate. */
export const pkiIssue = defineAction({
  kind: 'pki.issue',
  version: 1,
  summary: 'issue a certificate for the key of a node',
  input: z.strictObject({
    /** The CA, by its name within the plan. */
    ca: Handle,
    /** The request, as PEM. */
    csr: z.string().min(1).max(16_384),
    /** Whom the certificate is for. These are the names it gets: a request that asks for others is refused. */
    subject: Subject,
    /** The names it holds for: `DNS:name` and `IP:address`. */
    sans: Sans.default([]),
    usages: z.array(z.enum(['server', 'client'])).min(1),
    days: z.int().min(1).max(3650).default(365),
    /** Issue another one, also where the key has a fresh one for these names. */
    renew: z.boolean().default(false),
  }),
  output: z.object({
    /** PEM. */
    certificate: z.string(),
    /** PEM. */
    ca: z.string(),
  }),
  changes: false,
  repeatable: true,
  undo: 'restores',
  place: 'controller',
  example: {
    ca: 'etcd',
    csr: '{{ request.csr }}',
    subject: { CN: '{{ node_name }}' },
    sans: ['DNS:{{ node_name }}', 'IP:{{ node_address }}'],
    usages: ['server', 'client'],
  },
});
