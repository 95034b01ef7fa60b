import { must, run } from './commands.ts';
import { type Lab, labOf } from './names.ts';
import { otherLabs } from './record.ts';
import { restoreSysctl, setSysctl } from './sysctls.ts';

const FORWARDING = 'net/ipv4/ip_forward';

/** Let the lab's nodes reach what the host reaches, from the host's address. */
export async function openNat(lab: Lab, net: string): Promise<void> {
  setSysctl(FORWARDING, '1');
  await addNat(lab, net);
}

/** Stop that; the host's forwarding is set back when no other lab needs it. */
export async function closeNat(lab: Lab): Promise<void> {
  await removeNat(lab);
  const others = await Promise.all(otherLabs(lab).map((name) => hasNat(labOf({ ...lab, name }))));
  if (!others.includes(true)) restoreSysctl(FORWARDING);
}

async function addNat(lab: Lab, net: string): Promise<void> {
  await removeNat(lab);
  await must(['nft', '-f', '-'], {
    input: `table ip ${lab.natTable} {
      chain way_out {
        type nat hook postrouting priority 100;
        ip saddr ${net}.0/24 oifname != "${lab.bridge}" masquerade
      }
    }`,
  });
}

async function removeNat(lab: Lab): Promise<void> {
  if (await hasNat(lab)) await must(['nft', 'delete', 'table', 'ip', lab.natTable]);
}

async function hasNat(lab: Lab): Promise<boolean> {
  return (await run(['nft', 'list', 'table', 'ip', lab.natTable])).code === 0;
}
