import type { Host } from '../host/host.ts';
import { swapUnitStatic } from './swap-errors.ts';

/** What makes swap space at boot. */
export interface SwapUnit {
  name: string;
  /** A unit of the administrator's own cannot be masked, for its file is where the mask would be. */
  verb: 'mask' | 'disable';
}

/** Services that make compressed memory or a file swap space without a unit of type swap (Debian, Ubuntu, Raspberry Pi OS, Armbian). */
const MAKERS = [
  'zramswap.service',
  'zram-config.service',
  'zram-swap.service',
  'dphys-swapfile.service',
  'armbian-zram-config.service',
];

const PROPERTIES = 'Id,LoadState,UnitFileState,FragmentPath,SourcePath,WantedBy,RequiredBy';
/** Of a unit that was made from a line of fstab the line is seen to. */
const OF_FSTAB = '/etc/fstab';
const ADMINISTRATORS = '/etc/systemd/system/';

/** Units that would switch swap space on at the next boot; none without systemd. Throws SWAP_UNIT_STATIC. */
export async function swapUnits(host: Host): Promise<SwapUnit[]> {
  const list = async (verb: string): Promise<string[]> => {
    const argv = ['systemctl', verb, '--type=swap', '--all', '--full', '--plain', '--no-legend', '--no-pager'] as const;
    const { stdout } = await host.run(argv);
    return stdout.split('\n').flatMap((line) => /^\s*(\S+\.swap)\s/.exec(line)?.[1] ?? []);
  };
  const names = new Set([...(await list('list-unit-files')), ...(await list('list-units')), ...MAKERS]);
  const { stdout } = await host.run(['systemctl', 'show', `--property=${PROPERTIES}`, '--', ...names]);
  return parseUnits(stdout);
}

/** Pure: blocks of `systemctl show`. Throws SWAP_UNIT_STATIC. */
export function parseUnits(text: string): SwapUnit[] {
  return text.split('\n\n').flatMap((block): SwapUnit[] => {
    const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(block)?.[1] ?? '';
    const [name, fragment, load] = [value('Id'), value('FragmentPath'), value('LoadState')];
    if (fragment === '' || load !== 'loaded' || value('SourcePath') === OF_FSTAB) return [];
    if (value('UnitFileState') === 'disabled') return [];
    if (!fragment.startsWith(ADMINISTRATORS)) return [{ name, verb: 'mask' }];
    if (value('UnitFileState') !== 'static') return [{ name, verb: 'disable' }];
    // Not enabled, so it cannot be disabled: the boot makes it swap space only where something names it.
    const by = [value('WantedBy'), value('RequiredBy')].join(' ').trim();
    if (by !== '') throw swapUnitStatic(fragment, by);
    return [];
  });
}
