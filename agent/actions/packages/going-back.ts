/** What of a way back can be gone without harm to packages that came since. */
import { KkError } from '../../../shared/errors.ts';
import { heldOthers } from './judge.ts';
import type { Change, ChangeOptions, Database, Foreseen, PackageManager, Wanted } from './manager.ts';

const NOT_TO_BE_HAD = new Set(['PACKAGE_NOT_FOUND', 'PACKAGE_VERSION_NOT_FOUND']);

type Foresee = (change: Change) => Promise<Foreseen>;

/**
 * Without versions that no repository has any more, and without what would remove packages that it does not name, or change held ones;
 * `notes` tell what was left out and why. Throws PACKAGE_REMOVES_OTHERS when what is left would still do so.
 */
export async function possible(
  wanted: Change,
  options: ChangeOptions,
  manager: PackageManager,
  database: Database,
): Promise<{ change: Change; notes: string[] }> {
  const notes: string[] = [];
  const foresee: Foresee = (one) => manager.foresee(one, options);
  const back = ({ name, version }: Wanted): string => `${name} is not brought back to ${version}`;
  let change = wanted;
  if (change.install.length > 0 && !(await canBeHad(change, foresee))) {
    const kept = [];
    for (const one of change.install) {
      if (await canBeHad({ install: [one], remove: [] }, foresee)) kept.push(one);
      else notes.push(`${back(one)}, because no repository has that`);
    }
    change = { ...change, install: kept };
  }
  if (isEmpty(change) || harmed(change, await foresee(change), database).length === 0) return { change, notes };

  const isFree = async (what: string, part: Change): Promise<boolean> => {
    const others = harmed(change, await foreseeAlone(part, foresee), database);
    if (others.length > 0) notes.push(`${what}, because of ${others.slice(0, 3).join(', ')}`);
    return others.length === 0;
  };
  const install = [];
  for (const one of change.install) if (await isFree(back(one), { install: [one], remove: [] })) install.push(one);
  const remove = [];
  for (const name of change.remove)
    if (await isFree(`${name} is left`, { install: [], remove: [name] })) remove.push(name);
  change = { install, remove };
  const still = isEmpty(change) ? [] : harmed(change, await foresee(change), database);
  if (still.length > 0) throw removesOthers(change, still);
  return { change, notes };
}

function isEmpty({ install, remove }: Change): boolean {
  return install.length + remove.length === 0;
}

/** Those a change does not name, with what they are to be spared. */
function harmed({ install, remove }: Change, foreseen: Foreseen, database: Database): string[] {
  const named = [...install.map(({ name }) => name), ...remove];
  const held = heldOthers(foreseen, named, database);
  const gone = foreseen.steps
    .filter(({ name, version }) => version === '' && !named.includes(name) && !held.includes(name))
    .map(({ name }) => name);
  return [...gone.map((name) => `${name}, which needs what is there`), ...held.map((name) => `${name}, which is held`)];
}

/** Of two that can only go back together neither goes alone: whether both do is seen with the whole. */
async function foreseeAlone(part: Change, foresee: Foresee): Promise<Foreseen> {
  try {
    return await foresee(part);
  } catch (thrown) {
    if (thrown instanceof KkError && thrown.code === 'PACKAGE_UNMET_DEPENDENCIES') return { steps: [], downgrades: [] };
    throw thrown;
  }
}

async function canBeHad(change: Change, foresee: Foresee): Promise<boolean> {
  try {
    await foresee(change);
    return true;
  } catch (thrown) {
    if (thrown instanceof KkError && NOT_TO_BE_HAD.has(thrown.code)) return false;
    throw thrown;
  }
}

function removesOthers({ install, remove }: Change, others: string[]): KkError {
  const names = [...install.map(({ name }) => name), ...remove].join(', ');
  return new KkError({
    code: 'PACKAGE_REMOVES_OTHERS',
    message: `${names} cannot go back without harm to ${others.slice(0, 3).join('; ')}.`,
    remedy: 'Remove what came since on the node, or let go what is held (apt-mark unhold), and roll back again.',
    evidence: others.join('\n'),
  });
}
