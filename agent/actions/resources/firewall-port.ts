import type { Host } from '../../host/host.ts';
import type { Image } from '../../undo/image.ts';
import type { ResourceKind } from '../../undo/resource.ts';
import { firewalld, type PortFirewall, type PortState, ufw } from '../firewall-ports.ts';

/** The id of a port: `firewalld public 6443/tcp`, `ufw 6443/tcp`. */
export function portId(kind: PortFirewall['kind'], place: string, port: string): string {
  return [kind, place, port].filter((word) => word !== '').join(' ');
}

function parsed(id: string, host: Host): { firewall: PortFirewall; place: string; port: string } {
  const words = id.split(' ');
  const firewall = words[0] === 'ufw' ? ufw(host) : firewalld(host);
  return { firewall, place: words.length > 2 ? (words[1] ?? '') : '', port: words.at(-1) ?? '' };
}

/** What of a state is text. */
const TEXTS = ['partlyNow', 'partlyKept', 'verb'] as const;

/** A port of a firewall: is it let through now, and after a boot? */
export const firewallPortResource: ResourceKind = {
  async look(id, { host }): Promise<Image> {
    const { firewall, place, port } = parsed(id, host);
    // Nothing is let through or kept back by one that is off; its list comes back with it.
    if (!(await firewall.isActive())) return { state: 'port' };
    return { state: 'port', ...(await firewall.look(place, [port])).get(port) };
  },

  async restore(id, before, present, { host, signal }) {
    const { firewall, place, port } = parsed(id, host);
    if (present['now'] === undefined) return `${id} is left, because ${firewall.kind} is not active now`;
    const of = (image: Image): PortState => ({
      now: image['now'] === true,
      kept: image['kept'] === true,
      ...Object.fromEntries(
        TEXTS.flatMap((facet) => (image[facet] === undefined ? [] : [[facet, String(image[facet])]])),
      ),
    });
    await firewall.set(place, port, of(present), of(before), signal);
    return undefined;
  },
};
