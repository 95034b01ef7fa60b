import { type Image, lost } from '../../undo/image.ts';
import { IMAGE_LIMIT, type ResourceKind } from '../../undo/resource.ts';
import type { Stamps } from '../systemd-stamp.ts';
import { systemctlOf, type UnitState } from '../systemd-unit.ts';
import { numbers } from './file.ts';

const ENABLED = new Set(['enabled', 'enabled-runtime', 'linked', 'linked-runtime']);
const RUNNING = new Set(['active', 'activating', 'reloading', 'refreshing', 'deactivating']);

/** A unit file that is a symlink (linked, masked) has this before its target as its content. */
const LINK = 'symlink to ';

/** The facets that systemd tells; one that failed does not run. */
export function facetsOf({ enabled, active }: UnitState): { enabled: boolean; running: boolean } {
  return { enabled: ENABLED.has(enabled), running: RUNNING.has(active) };
}

/** A unit by its whole name: its file below `unitFolder` (content '': none), enabled, running. */
export function unitResource(unitFolder: string, stamps: Stamps): ResourceKind {
  return {
    async look(unit, { host, keep }): Promise<Image> {
      const path = `${unitFolder}/${unit}`;
      const facets = facetsOf(await systemctlOf(host).show(unit));
      const present = await host.files.stat(path);
      if (present === undefined) return { state: 'unit', content: '', ...facets };
      const { kind, mode, uid, gid, size } = present;
      if (kind === 'symlink')
        return { state: 'unit', content: `${LINK}${await host.files.readLink(path)}`, uid, gid, ...facets };
      if (size > IMAGE_LIMIT) return lost(`${path} has ${size} bytes; up to ${IMAGE_LIMIT} are kept`);
      const bytes = (await host.files.read(path)) ?? Buffer.alloc(0);
      return { state: 'unit', content: await keep(bytes), mode, uid, gid, ...facets };
    },

    async restore(unit, before, present, { host, content, signal }) {
      const systemctl = systemctlOf(host);
      const act = (verb: string): Promise<void> => systemctl.act([verb, '--', unit], unit, signal);
      const isOther = (facet: string): boolean => before[facet] !== present[facet];
      const path = `${unitFolder}/${unit}`;
      // Stopped and disabled while systemd still knows its file.
      if (isOther('running') && before['running'] === false) await act('stop');
      if (isOther('enabled') && before['enabled'] === false) await act('disable');
      const isOtherFile = ['content', 'mode', 'uid', 'gid'].some(isOther);
      if (isOtherFile) {
        const was = String(before['content']);
        const { mode, uid, gid } = numbers(before);
        if (was === '' || was.startsWith(LINK)) await host.files.remove(path);
        if (was.startsWith(LINK)) await host.files.makeLink(path, was.slice(LINK.length), { uid, gid });
        else if (was !== '') await host.files.writeAtomic(path, await content(was), { mode, uid, gid });
      }
      // Also where the file is as it was: an earlier restoring may have been cut short after it.
      await systemctl.act(['daemon-reload'], unit, signal);
      if (isOther('enabled') && before['enabled'] === true) await act('enable');
      if (before['running'] === true && (isOther('running') || isOther('content'))) {
        // One that failed too often is not started again until its failures are forgotten.
        await act('reset-failed');
        await act('restart');
      }
      // It was not started with what the stamp says any more.
      if (isOther('running') || isOtherFile) await stamps.remove(host, unit);
      return undefined;
    },
  };
}
