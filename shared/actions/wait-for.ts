import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, given } from './fields.ts';

/** Waits until something is there, or gone. Changes nothing. */
export const waitFor = defineAction({
  kind: 'wait_for',
  version: 1,
  summary: 'wait for a TCP port, a path or an HTTP answer',
  input: z
    .strictObject({
      /** A TCP port that accepts connections. */
      port: z.int().min(1).max(65535).optional(),
      host: z.string().min(1).default('127.0.0.1'),
      /** A path that exists. */
      path: AbsolutePath.optional(),
      /** An http or https address that answers 2xx. */
      url: z.url({ protocol: /^https?$/ }).optional(),
      /** https: trust the certificates in this file on the node. */
      ca_file: AbsolutePath.optional(),
      /** https: take any certificate; for health questions to a server whose CA the node does not know. */
      insecure: z.boolean().default(false),
      state: z.enum(['present', 'absent']).default('present'),
      timeout_seconds: z.number().min(0).default(300),
      interval_seconds: z.number().min(0.05).max(3600).default(1),
    })
    .refine((input) => given(input, ['port', 'path', 'url']).length === 1, 'give exactly one of port, path and url'),
  output: z.object({
    waited_ms: z.number(),
    /** What the last look found: `127.0.0.1:6443 accepts connections`. */
    seen: z.string(),
  }),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  example: {
    url: 'https://127.0.0.1:6443/readyz',
    insecure: true,
    timeout_seconds: 120,
  },
});
