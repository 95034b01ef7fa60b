import { z } from 'zod';
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
    usages: z.array(z.enum(['server', 'client'])).min(1),
    days: z.int().min(1).max(3650).default(365),
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
  example: { ca: 'etcd', csr: '{{ request.csr }}', usages: ['server', 'client'] },
});
