import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Image, Resource } from '../../undo/image.ts';
import type { Hands, ResourceKind } from '../../undo/resource.ts';
import { inTurn } from '../in-turn.ts';
import { possible } from '../packages/going-back.ts';
import { packageManagerOf } from '../packages/index.ts';
import { versionIn } from '../packages/judge.ts';
import type { Change, ChangeOptions, Database, Foreseen, PackageManager } from '../packages/manager.ts';
import { followPrograms, runPrograms } from '../packages/transaction.ts';

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
 * another one), `<name> configuration` (its version where only that is left of it, else '').
 */
export function packagesResource(stateFolder: string, root: string): ResourceKind {
  const folders = join(stateFolder, 'undo-packages');
  /** Of this life of the agent. */
  const own = new Set<string>();

  /** Programs outlive the agent: what a former life has begun to bring back changes packages while one looks at them. */
  async function followFormer({ host, signal }: Hands): Promise<void> {
    const boot = (await host.files.read(`${root}/proc/sys/kernel/random/boot_id`))?.toString('utf8').trim() ?? '';
    for (const name of (await host.files.list(folders)).filter((one) => !own.has(one))) {
      const folder = join(folders, name);
      await followPrograms({ host, folder, signal, log: () => {} }, boot);
      await host.files.remove(folder);
    }
  }

  return {
    async look(id, hands) {
      const { host, signal } = hands;
      await followFormer(hands);
      const database = await (await packageManagerOf(host, root, signal, LOCK_WAIT_MS)).database();
      const image: Image = { state: 'packages' };
      for (const name of id.split(' ')) {
        const found = database.get(name);
        image[name] = found === undefined || isConfiguration(database, name) ? '' : found.version;
        // Stated also where there is none: that it is left over is no way to be as before.
        image[`${name} configuration`] = found !== undefined && isConfiguration(database, name) ? found.version : '';
        if (found === undefined) continue;
        image[`${name} held`] = found.held;
        if (!isConfiguration(database, name)) image[`${name} auto`] = found.auto;
      }
      return image;
    },

    restore: (id, before, present, hands) =>
      inTurn(hands.host.files, PACKAGES, async () => {
        const manager = await packageManagerOf(hands.host, root, hands.signal, LOCK_WAIT_MS);
        const name = randomUUID();
        const folder = join(folders, name);
        own.add(name);
        try {
          return await bringBack(id.split(' '), before, present, manager, { ...hands, folder });
        } finally {
          await hands.host.files.remove(folder);
          own.delete(name);
        }
      }),
  };
}

/** Is only that left of it? */
function isConfiguration(database: Database, name: string): boolean {
  return database.get(name)?.rest === 'configuration';
}

type Worker = Hands & { folder: string };

async function bringBack(names: string[], before: Image, present: Image, manager: PackageManager, hands: Worker) {
  const { host, signal, folder } = hands;
  const options: ChangeOptions = {
    configFiles: 'keep',
    purge: false,
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
    remove: names.filter((name) => before[name] === '' && present[name] !== ''),
  };
  const { change, notes } = await possible(wanted, options, manager, await manager.database());
  if (change.install.length + change.remove.length > 0) await run(...manager.transaction(change, options));
  const now = await manager.database();
  // Configuration that came with it goes with it; what was left of an earlier one stays, and what a person has changed.
  const rest = names.filter(
    (name) => before[name] === '' && !before[`${name} configuration`] && isConfiguration(now, name),
  );
  const changed = await manager.changedConfiguration(rest);
  for (const [name, paths] of changed) notes.push(`${paths.join(', ')} of ${name} is left, because it was changed`);
  const unchanged = rest.filter((name) => !changed.has(name));
  if (unchanged.length > 0)
    await run(...manager.transaction({ install: [], remove: unchanged }, { ...options, purge: true }));
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
