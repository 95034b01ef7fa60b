import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { trySysfs } from './text.ts';

/** What the firmware says of the machine; undefined where it says nothing. */
export async function gatherDmi(host: Host): Promise<Facts['dmi']> {
  const read = (file: string) => trySysfs(host, `/sys/class/dmi/id/${file}`);
  const [vendor, product, serial, uuid, bios] = await Promise.all(
    ['sys_vendor', 'product_name', 'product_serial', 'product_uuid', 'bios_version'].map(read),
  );
  if (vendor === undefined && product === undefined) return undefined;
  return {
    vendor: vendor ?? '',
    product: product ?? '',
    ...(serial ? { serial } : {}),
    ...(uuid ? { uuid } : {}),
    ...(bios ? { bios } : {}),
  };
}
