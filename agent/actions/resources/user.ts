import { ABSENT, type Image } from '../../undo/image.ts';
import type { Hands, ResourceKind } from '../../undo/resource.ts';
import { type Accounts, accountsOf, type UserFound } from '../accounts.ts';
import { optionsOf, type UserWanted } from '../user-plan.ts';

/** Of shadow(5), in the order of its fields. */
const AGING = ['-d', '-m', '-M', '-W', '-I', '-E'];

function wantedFrom(image: Image): UserWanted {
  const { uid, gid, comment, home, shell, groups } = image;
  const names = String(groups ?? '').split(',');
  return {
    uid: Number(uid),
    gid: Number(gid),
    comment: String(comment),
    home: String(home),
    shell: String(shell),
    groups: names.filter((name) => name !== ''),
  };
}

/** An account by its name: its fields, groups, hash (by digest) and age; home and keys are resources of their own. */
export function userResource(root: string): ResourceKind {
  return {
    async look(name, { host, keep }) {
      const found = await accountsOf(host, root).user(name);
      if (found === undefined) return ABSENT;
      const { name: _name, groups, shadow, ...fields } = found;
      const hash = shadow === undefined ? {} : { password: await keep(Buffer.from(shadow.hash)), aging: shadow.aging };
      return { state: 'user', ...fields, groups: groups.join(','), ...hash };
    },

    async restore(name, before, present, hands) {
      const { host, signal } = hands;
      const accounts = accountsOf(host, root);
      if (before.state === 'absent') return void (await accounts.run(name, ['userdel', '--', name], signal));
      const found = await accounts.user(name);
      const options = optionsOf(wantedFrom(before), found);
      if (found === undefined) await accounts.run(name, ['useradd', '-M', '-N', ...options, '--', name], signal);
      else if (options.length > 0) await accounts.run(name, ['usermod', ...options, '--', name], signal);
      await restoreShadow(name, before, present, { accounts, found }, hands);
      return undefined;
    },
  };
}

async function restoreShadow(
  name: string,
  before: Image,
  present: Image,
  { accounts, found }: { accounts: Accounts; found: UserFound | undefined },
  { content, signal }: Hands,
): Promise<void> {
  const { password, aging } = before;
  if (password === undefined || aging === undefined) return;
  if (found === undefined || password !== present['password'])
    await accounts.setHash(name, (await content(String(password))).toString('utf8'), signal);
  // Setting a hash makes it as old as today.
  if (aging === (await accounts.user(name))?.shadow?.aging) return;
  const days = String(aging).split(':');
  const options = AGING.flatMap((option, index) => [option, days[index] || '-1']);
  await accounts.run(name, ['chage', ...options, '--', name], signal);
}
