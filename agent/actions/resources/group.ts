import { ABSENT } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { accountsOf } from '../accounts.ts';
import { textFacet, textOfFacet } from './long-text.ts';

/** A group by its name: number and members, or that there is none. */
export function groupResource(root: string): ResourceKind {
  return {
    async look(name, hands) {
      const found = await accountsOf(hands.host, root).group(name);
      if (found === undefined) return ABSENT;
      return { state: 'group', gid: found.gid, ...(await textFacet('members', found.members.join(','), hands)) };
    },

    async restore(name, before, _present, hands) {
      const { host, signal } = hands;
      const accounts = accountsOf(host, root);
      // It may have come or gone with the account of its name, which was brought back before.
      const present = await accounts.group(name);
      if (before.state === 'absent') {
        if (present !== undefined) await accounts.run(name, ['groupdel', name], signal);
        return undefined;
      }
      const gid = Number(before['gid']);
      const members = await textOfFacet('members', before, hands);
      if (present === undefined) await accounts.run(name, ['groupadd', '-g', String(gid), name], signal);
      else if (present.gid !== gid) await accounts.run(name, ['groupmod', '-g', String(gid), name], signal);
      if (present === undefined && members !== '') await accounts.run(name, ['gpasswd', '-M', members, name], signal);
      return undefined;
    },
  };
}
