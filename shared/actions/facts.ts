import { z } from 'zod';
import { Facts } from '../facts.ts';
import { defineAction } from './define-action.ts';

/** Makes a new version of `facts` for the steps that follow on this node. */
export const facts = defineAction({
  kind: 'facts',
  version: 1,
  summary: 'gather the facts of the node afresh',
  input: z.strictObject({}),
  output: z.object({ facts: Facts }),
  shorthand: (value) => (value === null ? {} : undefined),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  example: {},
});
