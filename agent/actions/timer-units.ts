/** The two units of a job (systemd.service(5), systemd.timer(5)). Pure. */
import type { ActionInput } from '../../shared/actions/index.ts';

type Input = ActionInput<'timer'>;

/** A line of shell as one argument of ExecStart: systemd reads quotes, `\`, `$` and `%` there. */
function quoted(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('$', '$$$$').replaceAll('%', '%%');
  return `"${escaped}"`;
}

const section = (name: string, lines: readonly (string | undefined)[]): string =>
  `[${name}]\n${lines.flatMap((line) => (line === undefined ? [] : [`${line}\n`])).join('')}`;

const line = (key: string, value: string | number | undefined): string | undefined =>
  value === undefined ? undefined : `${key}=${String(value).replaceAll('%', '%%')}`;

export function calendarsOf({ on_calendar = [] }: Input): string[] {
  return typeof on_calendar === 'string' ? [on_calendar] : on_calendar;
}

export function serviceText(input: Input): string {
  const { name, description = name, job = '', user, chdir } = input;
  return [
    section('Unit', [line('Description', description)]),
    section('Service', [
      'Type=oneshot',
      line('User', user),
      line('WorkingDirectory', chdir),
      `ExecStart=/bin/sh -c ${quoted(job)}`,
    ]),
  ].join('\n');
}

export function timerText(input: Input): string {
  const { name, description = name, on_boot, every, random_delay, persistent } = input;
  return [
    section('Unit', [line('Description', `Times of ${description}`)]),
    section('Timer', [
      ...calendarsOf(input).map((one) => line('OnCalendar', one)),
      line('OnBootSec', on_boot),
      // A timer that has only this one would never begin.
      ...(every === undefined ? [] : [line('OnActiveSec', every), line('OnUnitActiveSec', every)]),
      line('RandomizedDelaySec', random_delay),
      persistent ? 'Persistent=true' : undefined,
    ]),
    section('Install', ['WantedBy=timers.target']),
  ].join('\n');
}
