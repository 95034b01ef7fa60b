/** What is left to do about packages, and may it be done? Pure. */
import type { ActionInput } from '../../../shared/actions/index.ts';
import { KkError } from '../../../shared/errors.ts';
import type { Change, Database, Foreseen, PackageManager, Wanted } from './manager.ts';

type Input = ActionInput<'package'>;

/** The version of a whole package. */
export function versionIn(database: Database, name: string): string | undefined {
  const found = database.get(name);
  return found?.rest === undefined ? found?.version : undefined;
}

/** Is one as a task asks for? */
export function isThere(
  database: Database,
  { name, version }: Wanted,
  isVersion: PackageManager['isVersion'],
): boolean {
  const present = versionIn(database, name);
  return present !== undefined && (version === undefined || isVersion(present, version));
}

/** What is to be installed and removed. `wanted`: what the task names, at its version where one is stated. */
export function changeFor(
  input: Pick<Input, 'state' | 'purge'>,
  wanted: readonly Wanted[],
  database: Database,
  isVersion: PackageManager['isVersion'],
): Change {
  if (input.state !== 'absent')
    return { install: wanted.filter((one) => !isThere(database, one, isVersion)), remove: [] };
  const isLeft = (name: string): boolean => {
    const found = database.get(name);
    return found !== undefined && (found.rest !== 'configuration' || input.purge);
  };
  return { install: [], remove: wanted.map(({ name }) => name).filter(isLeft) };
}

/** Names that are not held as the task says. */
export function notHeldSo(hold: boolean | undefined, wanted: readonly Wanted[], database: Database): string[] {
  if (hold === undefined) return [];
  return wanted.map(({ name }) => name).filter((name) => (database.get(name)?.held ?? false) !== hold);
}

/** Of those that a transaction changes, the held ones that are not `named`: their holds belong to somebody else. */
export function heldOthers({ steps }: Foreseen, named: readonly string[], database: Database): string[] {
  return steps.flatMap(({ name, version }) => {
    const found = database.get(name);
    return found?.held === true && found.version !== version && !named.includes(name) ? [name] : [];
  });
}

/**
 * Throws PACKAGE_REMOVES_OTHERS, PACKAGE_DOWNGRADE, PACKAGE_HELD where a transaction would do what nobody asked for. `wanted`: what
 * the task names, and may hold or let go.
 */
export function allowed(
  input: Pick<Input, 'allow_downgrade' | 'allow_removal' | 'hold'>,
  wanted: readonly Wanted[],
  { remove, install }: Change,
  { steps, downgrades }: Foreseen,
  database: Database,
): void {
  const others = steps.filter(({ name, version }) => version === '' && !remove.includes(name)).map(({ name }) => name);
  const asked = [...install.map(({ name }) => name), ...remove].join(', ');
  if (others.length > 0 && !input.allow_removal) {
    throw new KkError({
      code: 'PACKAGE_REMOVES_OTHERS',
      message: `${others.slice(0, 5).join(', ')}${others.length > 5 ? ` and ${others.length - 5} more` : ''} would be removed for ${asked}.`,
      remedy: 'Add allow_removal: true if they may go; otherwise take another version, or see what needs them.',
      evidence: others.join('\n'),
    });
  }
  if (downgrades.length > 0 && !input.allow_downgrade) {
    const lines = downgrades.map((name) => {
      const to = steps.find((step) => step.name === name)?.version ?? install.find((one) => one.name === name)?.version;
      return `${name} ${versionIn(database, name) ?? ''} → ${to ?? 'an older one'}`;
    });
    throw new KkError({
      code: 'PACKAGE_DOWNGRADE',
      message: `A newer version is installed than the task asks for: ${lines[0]}.`,
      remedy: 'Add allow_downgrade: true if it may go back; otherwise correct the version.',
      evidence: lines.join('\n'),
    });
  }
  const own = input.hold === undefined ? [] : wanted.map(({ name }) => name);
  const held = heldOthers({ steps, downgrades }, own, database);
  if (held.length > 0) {
    throw new KkError({
      code: 'PACKAGE_HELD',
      message: `${held.join(', ')} is held on this node, so its version is not changed.`,
      remedy:
        'Name it in the task and say how it is to be held (hold: true or false): then it may be changed. Or see who held it.',
    });
  }
}

/** What differs between two databases, in words. */
export function differences(before: Database, after: Database): string[] {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  return names.flatMap((name) => {
    const [was, is] = [versionIn(before, name), versionIn(after, name)];
    const held = after.get(name)?.held ?? false;
    const words = [];
    if (was !== is)
      words.push(
        was === undefined
          ? `${name} ${is} installed`
          : `${name} ${is === undefined ? `${was} removed` : `${was} → ${is}`}`,
      );
    else if (is === undefined && before.has(name) && !after.has(name)) words.push(`configuration of ${name} removed`);
    if (is !== undefined && (before.get(name)?.held ?? false) !== held)
      words.push(`${name} ${held ? 'held' : 'no longer held'}`);
    return words;
  });
}
