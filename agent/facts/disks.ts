import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { trySysfs } from './text.ts';

type Disk = NonNullable<Facts['disks']>[number];

const SYSFS = '/sys/block';
/** Sizes in /sys are in sectors of this, whatever the device has. */
const SECTOR = 512;
/** Of RAM, of files, and made of other devices. */
const NO_DISK = /^(?:loop|ram|zram|dm-|md|sr|fd|nbd|drbd)/;

/** Block devices that hold something of their own. */
export async function gatherDisks(host: Host): Promise<Disk[]> {
  const names = (await host.files.list(SYSFS)).filter((name) => !NO_DISK.test(name));
  const disks = await Promise.all(names.map((name) => gatherDisk(host, name)));
  // A drive without a medium has no size.
  return disks.filter(({ size }) => size > 0);
}

async function gatherDisk(host: Host, name: string): Promise<Disk> {
  const read = (file: string) => trySysfs(host, `${SYSFS}/${name}/${file}`);
  const [size, rotational, removable, model] = await Promise.all(
    ['size', 'queue/rotational', 'removable', 'device/model'].map(read),
  );
  const parts = (await host.files.list(`${SYSFS}/${name}`)).filter((part) => part.startsWith(name));
  const partitions = await Promise.all(
    parts.map(async (part) => ({ name: part, size: Number((await read(`${part}/size`)) ?? 0) * SECTOR })),
  );
  return {
    name,
    size: Number(size ?? 0) * SECTOR,
    rotational: rotational === '1',
    removable: removable === '1',
    ...(model === undefined || model === '' ? {} : { model }),
    partitions,
  };
}
