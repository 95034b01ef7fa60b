import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import type { Diff } from '../../shared/share.ts';
import { ABSENT, type Image } from '../undo/image.ts';
import { homeNotMade, noSuchGroup } from './account-errors.ts';
import type { ShadowEntry } from './account-files.ts';
import { accountsOf, type UserFound } from './accounts.ts';
import { contentDiff, sha256 } from './content-diff.ts';
import type { ActionContext, ActionExecutor, Applied } from './executor.ts';
import { inTurn } from './in-turn.ts';
import type { FilePlan } from './regular-file.ts';
import { onPath } from './system-errors.ts';
import { homesIn, homeToRemove, leftAside, withHomeAside } from './user-home.ts';
import { keysPath, planKeys, writeKeys } from './user-keys.ts';
import { planUser, type UserPlan, type UserWanted } from './user-plan.ts';

type Input = ActionInput<'user'>;
type Output = ActionOutput<'user'>;

interface Plan extends UserPlan {
  present: UserFound | undefined;
  keys: FilePlan | undefined;
}

/** As it is about to be left, as far as that can be foretold. `shadow`: what is known of its hash and the age of it by then. */
function leftBy({ groups, ...fields }: UserWanted, shadow: Partial<ShadowEntry> = {}): Image {
  const { hash, aging } = shadow;
  const password = hash === undefined ? undefined : sha256(Buffer.from(hash));
  const known = Object.entries({ ...fields, password, aging }).filter(
    (entry): entry is [string, string | number] => entry[1] !== undefined,
  );
  return { state: 'user', ...Object.fromEntries(known), groups: groups.join(',') };
}

const outputOf = (name: string, found: UserFound | undefined): Output =>
  found === undefined ? { name } : { name, uid: found.uid, gid: found.gid, home: found.home };

/** `root`: what /etc is below. */
export function userExecutor(root: string): ActionExecutor<'user'> {
  async function plan(input: Input, { host }: ActionContext): Promise<Plan> {
    const accounts = accountsOf(host, root);
    const present = await accounts.user(input.name);
    for (const name of input.groups ?? []) if ((await accounts.group(name)) === undefined) throw noSuchGroup(name);
    const group = await accounts.groupOf(input.group ?? input.name);
    if (group === undefined && input.group !== undefined) throw noSuchGroup(input.group);
    const planned = planUser(input, { present, group, homes: await homesIn(host, root) });
    const { home } = planned.wanted;
    const isHomeless = present === undefined && !planned.makesHome && input.authorized_keys !== undefined;
    if (isHomeless && (await host.files.stat(home)) === undefined) throw homeNotMade(home, input.name);
    // Keys of a home that is elsewhere now would be nobody's.
    const owner = { home, uid: present?.uid, gid: present?.gid };
    const keys = await onPath(keysPath(owner), () => planKeys(input, owner, host));
    const ofKeys = keys === undefined || keys.todo === 'nothing' ? [] : keys.diffs;
    return { ...planned, present, keys, diffs: [...planned.diffs, ...ofKeys] };
  }

  async function carryOut(input: Input, context: ActionContext, planned: Plan): Promise<UserFound | undefined> {
    const { host, signal } = context;
    const { name } = input;
    const accounts = accountsOf(host, root);
    const { argv, hash, makesHome, makesGroup, wanted, present } = planned;
    // Undone in reverse: the account before its group, and what it had as its home last.
    if (makesHome && (await host.files.stat(wanted.home)) === undefined)
      await context.remember({ kind: 'home', id: wanted.home }, { state: 'directory' });
    if (makesGroup) await context.remember({ kind: 'group', id: name }, { state: 'group' });
    const remember = (shadow?: Partial<ShadowEntry>): Promise<void> =>
      context.remember({ kind: 'user', id: name }, leftBy(wanted, shadow));
    // Not with a hash that is to be set: a crash may leave the account between its two tools.
    if (argv !== undefined || hash !== undefined) await remember(hash === undefined ? present?.shadow : undefined);
    if (argv !== undefined) await accounts.run(name, argv, signal);
    if (hash !== undefined) await accounts.setHash(name, hash, signal);
    const made = await accounts.user(name);
    if (made === undefined) return undefined;
    // It is one change with the first: what somebody sets later is not kk's to take back.
    if (hash !== undefined) await remember(made.shadow);
    await onPath(keysPath(made), async () => writeKeys(await planKeys(input, made, host), made, context));
    return made;
  }

  const gone = (path: string, text: string): Diff => contentDiff(path, Buffer.from(`${text}\n`), undefined);

  function removalDiffs(found: UserFound, home: string | undefined): Diff[] {
    const account = gone(`/etc/passwd: ${found.name}`, `uid: ${found.uid}\nhome: ${found.home}`);
    return home === undefined ? [account] : [account, gone(home, 'and all that is in it')];
  }

  async function remove(input: Input, context: ActionContext): Promise<Applied<Output>> {
    const { host, signal } = context;
    const { name } = input;
    const accounts = accountsOf(host, root);
    const found = await accounts.user(name);
    if (found === undefined) {
      const left = await leftAside(input, host, root);
      if (left !== undefined) await host.files.remove(left);
      return { output: { name }, changed: left !== undefined };
    }
    const home = await homeToRemove(input, found, host);
    const group = await accounts.group(name);
    // Undone in reverse: the home, its group, and then the account that needs them.
    await context.remember({ kind: 'user', id: name }, ABSENT);
    if (group?.gid === found.gid) await context.remember({ kind: 'group', id: name }, ABSENT);
    if (home !== undefined) await context.remember({ kind: 'tree', id: home }, ABSENT);
    await withHomeAside(home, host, () => accounts.run(name, ['userdel', '--', name], signal));
    return { output: { name }, diffs: removalDiffs(found, home) };
  }

  return {
    async inspect(input, context) {
      if (input.state === 'absent') {
        const found = await accountsOf(context.host, root).user(input.name);
        if (found === undefined) {
          const left = await leftAside(input, context.host, root);
          if (left !== undefined) return { already: false, diffs: [gone(left, 'and all that is in it')] };
          return { already: true, output: { name: input.name } };
        }
        return { already: false, diffs: removalDiffs(found, await homeToRemove(input, found, context.host)) };
      }
      const { present, diffs } = await plan(input, context);
      return diffs.length === 0 ? { already: true, output: outputOf(input.name, present) } : { already: false, diffs };
    },

    // In turn: the tools lock the files of all accounts.
    apply: (input, context) =>
      inTurn(context.host.files, `${root}/etc/passwd`, async () => {
        if (input.state === 'absent') return remove(input, context);
        const planned = await plan(input, context);
        const made = await carryOut(input, context, planned);
        return { output: outputOf(input.name, made), changed: planned.diffs.length > 0, diffs: planned.diffs };
      }),
  };
}
