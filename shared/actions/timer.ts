import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account, given } from './fields.ts';

/** One line of a unit file; what systemd makes of `%` is meant by nobody who writes shell. */
const OneLine = z
  .string()
  .max(2000)
  .regex(/^[^\r\n\0]*[^\r\n\0\\]$/, 'it is one line, and does not end with a backslash');

const Span = z
  .string()
  .max(100)
  .regex(/^\d+ ?[a-z]*(?: ?\d+ ?[a-z]+)*$/, 'a span of time as systemd writes it: 90s, 15min, 1h 30min');

/** A job of systemd: a service and the timer that starts it (systemd.timer(5)). */
export const timer = defineAction({
  kind: 'timer',
  version: 1,
  summary: 'a job that systemd starts at its times; or none',
  input: z
    .strictObject({
      /** Of <name>.service and <name>.timer. */
      name: z
        .string()
        .max(100)
        .regex(/^[A-Za-z0-9:_-]+$/, 'the name is letters, digits, : _ and -'),
      description: OneLine.optional(),
      /** Calendar times: daily, `Mon..Fri 03:00`, `*-*-* 00/6:15:00`. */
      on_calendar: z.union([OneLine, z.array(OneLine).min(1).max(20)]).optional(),
      /** This long after the machine has started. */
      on_boot: Span.optional(),
      /** This long after the job has last started. */
      every: Span.optional(),
      /** Spread at random over this time, so that not all nodes begin at once. */
      random_delay: Span.optional(),
      /** A time that was missed while the machine was off is made up for. */
      persistent: z.boolean().default(false),
      /** A line of shell. */
      job: OneLine.optional(),
      user: Account.optional(),
      chdir: AbsolutePath.optional(),
      state: z.enum(['present', 'absent']).default('present'),
    })
    .refine(
      ({ name: _name, state, persistent, ...rest }) =>
        state === 'present' || (!persistent && given(rest, Object.keys(rest)).length === 0),
      'state: absent takes only the name',
    )
    .refine((input) => input.state === 'absent' || input.job !== undefined, 'say which job')
    .refine(
      (input) => input.state === 'absent' || given(input, ['on_calendar', 'on_boot', 'every']).length > 0,
      'say when: on_calendar, on_boot or every',
    )
    .refine((input) => !input.persistent || input.on_calendar !== undefined, 'persistent belongs to on_calendar'),
  output: z.object({
    service: z.string(),
    timer: z.string(),
    /** What was done, in order. */
    done: z.array(z.string()),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    name: 'etcd-backup',
    on_calendar: '*-*-* 00/6:15:00',
    persistent: true,
    job: '/usr/local/bin/etcd-backup',
  },
});
