import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { ComponentName } from './fields.ts';

/** Brings a component into the controller's store of files once, checked by its sha256; the nodes get it from there. */
export const blobFetch = defineAction({
  kind: 'blob.fetch',
  version: 1,
  summary: 'fetch a component for the nodes into the store of the controller',
  input: z.strictObject({ component: ComponentName }),
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
