import { z } from 'zod';
import { Sha256 } from '../blob.ts';
import { defineAction } from './define-action.ts';
import { ComponentName } from './fields.ts';

/** Where the file of a component for one architecture is, best first, and what it must be. */
const Origin = z.strictObject({
  urls: z.array(z.string().min(1)),
  sha256: Sha256,
});

/** Brings a component into the controller's store of files once, checked by its sha256; the nodes get it from there. */
export const blobFetch = defineAction({
  kind: 'blob.fetch',
  version: 1,
  summary: 'fetch a component for the nodes into the store of the controller',
  input: z.strictObject({
    component: ComponentName,
    /** What kk itself fills in when the plan is checked, by component and architecture. Nobody writes it. */
    origins: z
      .record(ComponentName, z.strictObject({ version: z.string(), files: z.record(z.string(), Origin) }))
      .optional(),
    /** Seconds for one file, all attempts together; kk fills it in from `download.timeout`. */
    timeout: z.number().min(0).optional(),
  }),
  output: z.object({
    component: z.string(),
    version: z.string(),
    /** By architecture. */
    files: z.record(z.string(), z.object({ sha256: z.string(), bytes: z.number() })),
  }),
  shorthand: (value) => (typeof value === 'string' ? { component: value } : undefined),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  place: 'controller',
  example: { component: 'kubelet' },
});
