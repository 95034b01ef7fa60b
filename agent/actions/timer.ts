import { ACTIONS, type ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { Host } from '../host/host.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor, Applied } from './executor.ts';
import { UNIT_FOLDER } from './resources/index.ts';
import { onPath } from './system-errors.ts';
import { systemdExecutor } from './systemd.ts';
import { systemctlOf } from './systemd-unit.ts';
import { calendarsOf, serviceText, timerText } from './timer-units.ts';

type Input = ActionInput<'timer'>;
type UnitInput = ActionInput<'systemd'>;

const serviceOf = ({ name }: Input): string => `${name}.service`;
const timerOf = ({ name }: Input): string => `${name}.timer`;

/** Throws TIMER_TIME_INVALID: systemd would only say so in its journal, and never start the job. */
async function checkTimes(input: Input, { run }: Host): Promise<void> {
  const spans = [input.on_boot, input.every, input.random_delay].filter((span) => span !== undefined);
  const asked = [
    ...calendarsOf(input).map((time) => ['calendar', time] as const),
    ...spans.map((time) => ['timespan', time] as const),
  ];
  for (const [verb, time] of asked) {
    const { code, stdout, stderr } = await run(['systemd-analyze', verb, '--', time]);
    // An older one does not know the verb.
    if (code === 0 || /unknown (?:operation|command)/i.test(stderr)) continue;
    throw new KkError({
      code: code === 127 ? 'SYSTEMD_UNAVAILABLE' : 'TIMER_TIME_INVALID',
      message:
        code === 127 ? 'systemd does not answer on this node.' : `systemd does not understand the time "${time}".`,
      remedy:
        code === 127
          ? 'The node must have been booted with systemd; use the action cron.'
          : `Correct it; on any machine with systemd you can try: systemd-analyze ${verb} "${time}".`,
      evidence: `${stdout}${stderr}`.trim().slice(-2000),
    });
  }
}

/** `stateFolder`: of the stamps of units. `unitFolder`: where they are written. */
export function timerExecutor(stateFolder: string, unitFolder = UNIT_FOLDER): ActionExecutor<'timer'> {
  const systemd = systemdExecutor(stateFolder, unitFolder);
  const pathOf = (unit: string): string => `${unitFolder}/${unit}`;

  /** The service first: its timer may start it at once. */
  function unitsOf(input: Input): UnitInput[] {
    const parse = (unit: object): UnitInput => ACTIONS.systemd.input.parse(unit);
    return [
      parse({ unit: serviceOf(input), content: serviceText(input) }),
      parse({ unit: timerOf(input), content: timerText(input), enabled: true, state: 'started' }),
    ];
  }

  async function present(input: Input, { host }: ActionContext): Promise<{ unit: string; content: Buffer }[]> {
    const found: { unit: string; content: Buffer }[] = [];
    for (const unit of [timerOf(input), serviceOf(input)]) {
      const content = await host.files.read(pathOf(unit));
      if (content !== undefined) found.push({ unit, content });
    }
    return found;
  }

  /** What the job does now it may finish. */
  async function remove(input: Input, context: ActionContext): Promise<Applied<ReturnType<typeof outputOf>>> {
    const { host, signal } = context;
    const found = await present(input, context);
    const systemctl = systemctlOf(host);
    const done: string[] = [];
    for (const { unit } of found) {
      const isTimer = unit === timerOf(input);
      const left = isTimer ? { enabled: false, running: false } : {};
      await context.remember({ kind: 'unit', id: unit }, { state: 'unit', content: '', ...left });
      if (isTimer) await systemctl.act(['disable', '--now', '--', unit], unit, signal);
      await host.files.remove(pathOf(unit));
      done.push(`remove ${unit}`);
    }
    if (found.length > 0) await systemctl.act(['daemon-reload'], timerOf(input), signal);
    return { output: outputOf(input, done), changed: found.length > 0, diffs: removalOf(found) };
  }

  const removalOf = (found: { unit: string; content: Buffer }[]): Diff[] =>
    found.map(({ unit, content }) => contentDiff(pathOf(unit), content, undefined));

  const outputOf = (input: Input, done: string[]) => ({ service: serviceOf(input), timer: timerOf(input), done });

  return {
    async inspect(input, context) {
      if (input.state === 'absent') {
        const found = await present(input, context);
        if (found.length === 0) return { already: true, output: outputOf(input, []) };
        return { already: false, diffs: removalOf(found) };
      }
      await checkTimes(input, context.host);
      const diffs: Diff[] = [];
      let already = true;
      for (const unit of unitsOf(input)) {
        const inspected = await systemd.inspect(unit, context);
        if (inspected.already || inspected.changed === false) continue;
        already = false;
        diffs.push(...(inspected.diffs ?? []));
      }
      return already ? { already, output: outputOf(input, []) } : { already, diffs };
    },

    apply: (input, context) =>
      onPath(pathOf(timerOf(input)), async () => {
        if (input.state === 'absent') return remove(input, context);
        const done: string[] = [];
        const diffs: Diff[] = [];
        let changed = false;
        for (const unit of unitsOf(input)) {
          const applied = await systemd.apply(unit, context);
          changed ||= applied.changed ?? true;
          diffs.push(...(applied.diffs ?? []));
          done.push(...applied.output.done.map((what) => `${what} ${unit.unit}`));
        }
        return { output: outputOf(input, done), changed, diffs };
      }),
  };
}
