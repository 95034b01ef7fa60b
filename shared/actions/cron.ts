import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AccountName, Word } from './fields.ts';

const FIELDS = ['minute', 'hour', 'day', 'month', 'weekday'] as const;

/** A list of numbers, ranges and steps, or names of months and days; crontab(5). */
const FIELD =
  /^(?:\*|[0-9A-Za-z]{1,3}(?:-[0-9A-Za-z]{1,3})?)(?:\/\d{1,2})?(?:,(?:\*|[0-9A-Za-z]{1,3}(?:-[0-9A-Za-z]{1,3})?)(?:\/\d{1,2})?)*$/;
const LIMITS: readonly [number, number][] = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
];

/** What is wrong with a schedule, in words; undefined: nothing. */
function complaintAbout(schedule: string): string | undefined {
  if (/^@(?:reboot|yearly|annually|monthly|weekly|daily|midnight|hourly)$/.test(schedule)) return undefined;
  const fields = schedule.split(' ');
  if (fields.length !== FIELDS.length)
    return 'a schedule is minute, hour, day, month and weekday with one blank between, or @daily and the like';
  for (const [at, field] of fields.entries()) {
    const [low, high] = LIMITS[at] ?? [0, 0];
    const numbers = (field.replace(/\/\d+/g, '').match(/\d+/g) ?? []).map(Number);
    if (!FIELD.test(field) || numbers.some((number) => number < low || number > high))
      return `"${field}" is no ${FIELDS[at]} of crontab(5), which goes from ${low} to ${high}`;
  }
  return undefined;
}

/** A job of cron, in a file of its own in /etc/cron.d (crontab(5)). */
export const cron = defineAction({
  kind: 'cron',
  version: 1,
  summary: 'a job of cron; or none',
  input: z
    .strictObject({
      /** Of the file: cron passes over names with a dot. */
      name: z
        .string()
        .max(100)
        .regex(/^[A-Za-z0-9_-]+$/, 'the name is letters, digits, _ and -: cron passes over others'),
      schedule: z
        .string()
        .max(200)
        .superRefine((schedule, { addIssue }) => {
          const message = complaintAbout(schedule);
          if (message !== undefined) addIssue({ code: 'custom', message });
        })
        .optional(),
      /** A line of shell. A `%` is one: what crontab(5) makes of it is kept away. */
      job: z
        .string()
        .max(900)
        .regex(/^[^\r\n\0]*\S[^\r\n\0]*$/, 'a job is one line; make several a script')
        .optional(),
      user: AccountName.default('root'),
      /** PATH and MAILTO among them. */
      env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), Word).optional(),
      state: z.enum(['present', 'absent']).default('present'),
    })
    .refine(
      ({ schedule, job, env, state }) =>
        state === 'present'
          ? schedule !== undefined && job !== undefined
          : schedule === undefined && job === undefined && env === undefined,
      'state: present takes schedule and job, state: absent only the name',
    )
    .refine(
      ({ env = {} }) => Object.values(env).every((value) => !/[\r\n\0]/.test(String(value))),
      'the value of a variable is one line',
    ),
  output: z.object({ path: z.string() }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { name: 'etcd-backup', schedule: '15 */6 * * *', job: '/usr/local/bin/etcd-backup' },
});
