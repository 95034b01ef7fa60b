import { z } from 'zod';
import { defineAction } from './define-action.ts';

/** Binds names on this node for the rest of the run; they read like registers. */
export const setFact = defineAction({
  kind: 'set_fact',
  version: 1,
  summary: 'bind values to names for the rest of the run on this node',
  input: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.json()),
  output: z.record(z.string(), z.json()),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  example: { data_root: '{{ "/data" if facts.cpu.count > 8 else "/var/lib" }}' },
});
