import { selfOf } from '../agent.ts';
import { systemClock } from '../clock.ts';
import { VERSION } from '../config/version.ts';
import { bootTimeMs } from '../host/clock.ts';
import { certificateOf, IdentityStore } from '../identity/identity-store.ts';
import { needsRenewal } from '../identity/keys.ts';
import { notJoined, renewIdentity } from '../link/renew.ts';
import { dialWith } from '../link/transport.ts';
import { statePaths } from '../state-folder.ts';

/** Renews when it is time. Throws what renewIdentity throws; the old identity is then still in place. */
export async function renew({ state, now }: { state: string; now?: true }): Promise<void> {
  const store = new IdentityStore(statePaths(state).identity);
  const identity = await store.load();
  if (identity === undefined) throw notJoined();
  const certificate = certificateOf(identity);
  if (now !== true && !needsRenewal(certificate, Date.now())) {
    process.stdout.write(`nothing to do: the certificate of ${identity.name} is good until ${certificate.validTo}\n`);
    return;
  }
  const clock = systemClock({ bootTimeMs, nowMs: Date.now });
  const renewed = await renewIdentity({ store, dial: dialWith(Date.now), self: await selfOf(VERSION), clock });
  process.stdout.write(`renewed: the certificate of ${renewed.name} is good until ${certificateOf(renewed).validTo}\n`);
}
