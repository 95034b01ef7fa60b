import { basename, dirname, join } from 'node:path';
import type { ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { Host } from '../host/host.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { onPath } from './system-errors.ts';
import { textFile } from './text-edit.ts';

const ZONES = '/usr/share/zoneinfo';

interface Plan {
  /** Of the symlink; undefined: it is as wanted. */
  target: string | undefined;
  /** Debian's tools read the name there. */
  named: FilePlan | undefined;
  diffs: Diff[];
}

function unknownZone(name: string, hasAny: boolean): KkError {
  return new KkError({
    code: 'TIMEZONE_UNKNOWN',
    message: hasAny ? `There is no time zone ${name} on this node.` : 'There are no time zones on this node.',
    remedy: hasAny
      ? 'Correct the name: timedatectl list-timezones shows them all.'
      : 'Install tzdata (timezone on SUSE) in an earlier task.',
  });
}

/** A symlink in place of whatever is there, at once. */
export async function replaceLink(
  path: string,
  target: string,
  { files }: Host,
  owner = { uid: 0, gid: 0 },
): Promise<void> {
  const making = join(dirname(path), `.${basename(path)}.kk-link`);
  await files.remove(making);
  await files.makeLink(making, target, owner);
  await files.rename(making, path);
}

/** `root`: what /etc and /usr are below. */
export function timezoneExecutor(root: string): ActionExecutor<'timezone'> {
  const path = `${root}/etc/localtime`;
  const namePath = `${root}/etc/timezone`;

  async function plan({ name }: ActionInput<'timezone'>, { host }: ActionContext): Promise<Plan> {
    const zone = await host.files.stat(`${root}${ZONES}/${name}`);
    if (zone === undefined || zone.kind === 'directory')
      throw unknownZone(name, (await host.files.list(`${root}${ZONES}`)).length > 0);
    const present = await host.files.readLink(path);
    const isSet = present !== undefined && present.replace(/^(?:\.\.\/|\/)/, '/') === `${ZONES}/${name}`;
    const target = isSet ? undefined : `..${ZONES}/${name}`;
    const known = await textFile(namePath, host);
    const named = known === undefined ? undefined : planFile(namePath, known, Buffer.from(`${name}\n`), {});
    const lineOf = (link: string): Buffer => Buffer.from(`${link}\n`);
    return {
      target,
      named,
      diffs: [
        ...(target === undefined ? [] : [contentDiff(path, lineOf(present ?? 'no symlink'), lineOf(target))]),
        ...(named === undefined || named.todo === 'nothing' ? [] : named.diffs),
      ],
    };
  }

  return {
    async inspect(input, context) {
      const { diffs } = await onPath(path, () => plan(input, context));
      const output = { name: input.name };
      return diffs.length === 0 ? { already: true, output } : { already: false, diffs, foreseen: output };
    },

    apply: (input, context) =>
      onPath(path, async () => {
        const { target, named, diffs } = await plan(input, context);
        if (target !== undefined) {
          await context.remember({ kind: 'link', id: path }, { state: 'symlink', target });
          await replaceLink(path, target, context.host);
        }
        if (named !== undefined) await carryOutFile(namePath, named, context);
        return { output: { name: input.name }, changed: diffs.length > 0, diffs };
      }),
  };
}
