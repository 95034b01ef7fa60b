import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, given } from './fields.ts';

/**
 * A unit as it should be. Restart is a state (ENGINE 3.5): with `inputs`, `content` or `template`, the unit is restarted
 * (or reloaded) when what it was last started with differs from what is there now.
 */
export const systemd = defineAction({
  kind: 'systemd',
  version: 1,
  summary: 'a systemd unit: its file, enabled, started, restarted when its inputs changed',
  input: z
    .strictObject({
      /** `.service` is added when it has no suffix. */
      unit: z
        .string()
        .max(200)
        .regex(/^[A-Za-z0-9:_.@\\-]+$/, 'not the name of a systemd unit'),
      /** Text of /etc/systemd/system/<unit>. */
      content: z.string().optional(),
      /** The same from the role's templates/. */
      template: z.string().min(1).optional(),
      /** At boot. */
      enabled: z.boolean().optional(),
      /** `restarted` does so at every run; `started` with `inputs` only when something changed. */
      state: z.enum(['started', 'stopped', 'restarted']).optional(),
      /** Files and folders the unit reads when it starts. */
      inputs: z.array(AbsolutePath).optional(),
      /** A changed unit file always takes a restart. */
      on_change: z.enum(['restart', 'reload']).default('restart'),
      /** Do not wait until the unit has started: members of a first etcd formation wait for each other (ENGINE 2.5). */
      no_block: z.boolean().default(false),
    })
    .refine((input) => given(input, ['content', 'template']).length <= 1, 'give at most one of content and template')
    .refine(
      (input) => given(input, ['content', 'template', 'enabled', 'state', 'inputs']).length > 0,
      'say what is wanted: content, template, enabled, state or inputs',
    ),
  output: z.object({
    unit: z.string(),
    /** systemd's ActiveState: active, inactive, failed, activating, … */
    active: z.string(),
    /** systemd's UnitFileState: enabled, disabled, static, …; empty when there is no unit file. */
    enabled: z.string(),
    /** What was done, in order: write, daemon-reload, enable, start, … */
    done: z.array(z.string()),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    unit: 'containerd',
    enabled: true,
    state: 'started',
    inputs: ['/etc/containerd/config.toml'],
  },
});
