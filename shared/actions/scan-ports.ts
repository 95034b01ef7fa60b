import { z } from 'zod';
import { defineAction } from './define-action.ts';

/** Addresses of one scan: a /20. */
export const MOST_SCANNED = 4096;
/** Ports of one scan. */
export const MOST_SCANNED_PORTS = 16;

/** What answers around a node, for `inventory scan`. It connects and says nothing. */
export const scanPorts = defineAction({
  kind: 'scan_ports',
  version: 1,
  summary: 'find out which TCP ports of which addresses take connections from the node',
  input: z.strictObject({
    addresses: z
      .array(z.union([z.ipv4(), z.ipv6()]))
      .min(1)
      .max(MOST_SCANNED),
    ports: z.array(z.int().min(1).max(65535)).min(1).max(MOST_SCANNED_PORTS),
    /** How long an address that says nothing is waited for. */
    timeout_seconds: z.number().min(0.1).max(10).default(1),
  }),
  output: z.object({
    /** Those that took a connection, in the order of the inputs. */
    open: z.array(z.object({ address: z.string(), port: z.int() })),
    took_ms: z.number(),
  }),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  internal: true,
  example: { addresses: ['10.0.0.11', '10.0.0.12'], ports: [22] },
});
