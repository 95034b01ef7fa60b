import { z } from 'zod';
import { AbsolutePath } from './fields.ts';

/** Names and passwords in an address end up in logs; headers do not. */
export const WebAddress = z
  .url({ protocol: /^https?$/ })
  .max(4096)
  .refine((url) => !/^[a-z]+:\/\/[^/?#]*@/.test(url), 'give name and password as a header, not in the address');

/** What the actions that ask a web server have in common. */
export const WEB = {
  /** Sent as they are; never told in logs or errors. Mark the task `sensitive` when they are secret. */
  headers: z
    .record(
      z.string().regex(/^[A-Za-z0-9-]+$/, 'the name of a header'),
      z
        .string()
        .max(8192)
        .regex(
          /^[\t\x20-\x7e\x80-\xff]*$/,
          'one line without control characters; does it end with a newline? (| trim)',
        ),
    )
    .optional(),
  /** Without a byte for so long it is given up. */
  timeout_seconds: z.number().min(1).max(3600).default(30),
  /** `http://host:port`, or none; unstated: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the agent's service. */
  proxy: z.union([WebAddress, z.literal('none')]).optional(),
  /** https: trust the certificates in this file on the node, too. */
  ca_file: AbsolutePath.optional(),
  /** https: take any certificate. */
  insecure: z.boolean().default(false),
};
