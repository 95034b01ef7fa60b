import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { KkError } from '../../../shared/errors.ts';
import type { Image, Resource } from '../../undo/image.ts';
import type { Hands, ResourceKind } from '../../undo/resource.ts';
import { inTurn } from '../in-turn.ts';
import { packageManagerOf } from '../packages/index.ts';
import { versionIn } from '../packages/judge.ts';
import type { Change, ChangeOptions, Foreseen, PackageManager } from '../packages/manager.ts';
import { runPrograms } from '../packages/transaction.ts';

/** The kind of the resource, and how diffs call it. */
export const PACKAGES = 'packages';

/** Names are in the id of a resource, which holds no more (see {@link Resource}). */
const ID_LIMIT = 4000;

/** Unattended upgrades may be at it for a while. */
const LOCK_WAIT_MS = 5 * 60_000;

/**
 * What a transaction is about to leave: names with their versions ('': not installed), and whether they are held. Packages that change
 * together are one resource, for they go back together; too many for one are several, in the order in which they change.
 */
export function resourcesOf(steps: Foreseen['steps'], hold: readonly string[], held: boolean): [Resource, Image][] {
  const names = [...new Set([...steps.map(({ name }) => name), ...hold])];
  const groups: string[][] = [];
  let room = 0;
  for (const name of names) {
    if (groups.length === 0 || room < name.length + 1) {
      groups.push([]);
      room = ID_LIMIT;
    }
    groups.at(-1)?.push(name);
    room -= name.length + 1;
  }
  const versions = new Map(steps.map(({ name, version }) => [name, version]));
  return groups.map((group) => {
    const image: Image = { state: 'packages' };
    for (const name of group) {
      const version = versions.get(name);
      if (version !== undefined) image[name] = version;
      if (hold.includes(name)) image[`${name} held`] = held;
    }
    return [{ kind: PACKAGES, id: group.join(' ') }, image];
  });
}

/**
 * Packages by their names, separated by blanks. Facets: `<name>` its version or '', `<name> held`, `<name> auto` (it came for the sake of
 * another one), `<name> configuration` (only that is left of it).
 */
export function packagesResource(stateFolder: string, root: string): ResourceKind {
  return {
    async look(id, { host, signal }) {
      const database = await (await packageManagerOf(host, root, signal)).database();
      const image: Image = { state: 'packages' };
      for (const name of id.split(' ')) {
        const found = database.get(name);
        image[name] = found === undefined || found.rest === 'configuration' ? '' : found.version;
        if (found === undefined) continue;
        image[`${name} held`] = found.held;
        if (found.rest === 'configuration') image[`${name} configuration`] = found.version;
        else image[`${name} auto`] = found.auto;
      }
      return image;
    },

    restore: (id, before, present, hands) =>
      inTurn(hands.host.files, PACKAGES, async () => {
        const manager = await packageManagerOf(hands.host, root, hands.signal);
        const folder = join(stateFolder, 'undo-packages', randomUUID());
        try {
          return await bringBack(id.split(' '), before, present, manager, { ...hands, folder });
        } finally {
          await hands.host.files.remove(folder);
        }
      }),
  };
}

type Worker = Hands & { folder: string };

async function bringBack(names: string[], before: Image, present: Image, manager: PackageManager, hands: Worker) {
  const { host, signal, folder } = hands;
  // Configuration that came with it goes with it; what was left of an earlier one stays.
  const purge = !names.some((name) => before[`${name} configuration`] !== undefined);
  const options: ChangeOptions = {
    configFiles: 'keep',
    purge,
    recommends: false,
    allowDowngrade: true,
    allowHeld: true,
  };
  const run = (...programs: ReturnType<PackageManager['transaction']>): Promise<void> =>
    runPrograms(programs, {
      ...{ host, signal, folder },
      env: manager.environment(options),
      lockWaitMs: LOCK_WAIT_MS,
      starting: () => signal.throwIfAborted(),
      log: () => {},
    });

  const wanted: Change = {
    install: names
      .filter((name) => before[name] !== '' && before[name] !== present[name])
      .map((name) => ({ name, version: String(before[name]) })),
    remove: names.filter(
      (name) =>
        before[name] === '' && (present[name] !== '' || (purge && present[`${name} configuration`] !== undefined)),
    ),
  };
  const { change, notes } = await possible(wanted, options, manager);
  if (change.install.length + change.remove.length > 0) await run(...manager.transaction(change, options));
  const now = await manager.database();
  for (const held of [true, false]) {
    const others = names.filter(
      (name) => before[`${name} held`] === held && now.has(name) && now.get(name)?.held !== held,
    );
    if (others.length > 0) await run(manager.hold(others, held));
  }
  for (const auto of [true, false]) {
    const others = names.filter(
      (name) => before[`${name} auto`] === auto && versionIn(now, name) && now.get(name)?.auto !== auto,
    );
    const argv = others.length > 0 ? manager.mark(others, auto) : undefined;
    if (argv !== undefined) await run(argv);
  }
  return notes.length === 0 ? undefined : notes.join('; ');
}

const NOT_TO_BE_HAD = new Set(['PACKAGE_NOT_FOUND', 'PACKAGE_VERSION_NOT_FOUND']);

/** Without versions that no repository has any more, and without removing what others need that came later. */
async function possible(
  wanted: Change,
  options: ChangeOptions,
  manager: PackageManager,
): Promise<{ change: Change; notes: string[] }> {
  const notes: string[] = [];
  let change = wanted;
  const foresee = (one: Change): Promise<Foreseen> => manager.foresee(one, options);
  const othersOf = (one: Change, { steps }: Foreseen): string[] =>
    steps.filter(({ name, version }) => version === '' && !one.remove.includes(name)).map(({ name }) => name);
  if (change.install.length > 0 && !(await canBeHad(change, foresee))) {
    const kept = [];
    for (const one of change.install) {
      if (await canBeHad({ install: [one], remove: [] }, foresee)) kept.push(one);
      else notes.push(`${one.name} is not brought back to ${one.version}, because no repository has that`);
    }
    change = { ...change, install: kept };
  }
  if (change.install.length + change.remove.length === 0) return { change, notes };
  if (othersOf(change, await foresee(change)).length === 0) return { change, notes };
  const free = [];
  for (const name of change.remove) {
    const alone = await foresee({ install: [], remove: [name] });
    const others = othersOf(change, alone).filter((other) => other !== name);
    if (others.length === 0) free.push(name);
    else notes.push(`${name} is left, because ${others.slice(0, 3).join(', ')} needs it`);
  }
  return { change: { ...change, remove: free }, notes };
}

async function canBeHad(change: Change, foresee: (one: Change) => Promise<Foreseen>): Promise<boolean> {
  try {
    await foresee(change);
    return true;
  } catch (thrown) {
    if (thrown instanceof KkError && NOT_TO_BE_HAD.has(thrown.code)) return false;
    throw thrown;
  }
}
