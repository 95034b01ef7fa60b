import type { TaskDocument } from './types.ts';

/** A task that says nothing but what it does. */
export const TASK_DEFAULTS: Omit<TaskDocument, 'id' | 'name' | 'at' | 'action' | 'inputs'> = Object.freeze({
  places: {},
  on: undefined,
  needs: undefined,
  when: [],
  loop: undefined,
  register: undefined,
  until: undefined,
  retries: 0,
  delay: 0,
  timeout: 0,
  failedWhen: [],
  changedWhen: [],
  vars: {},
  tags: [],
  runOnce: false,
  maxFailPercentage: undefined,
  ignoreErrors: false,
  lock: undefined,
  alone: false,
  permit: undefined,
  sensitive: false,
  onInterrupt: 'fail',
});
