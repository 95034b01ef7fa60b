/** What happens to a soak's site all the time: processes die, connections end. Drawn from the seed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { uniform } from '../fleet/behaviour.ts';
import type { Site } from '../fleet/site.ts';

export interface Troubles {
  agentKills: number;
  controllerKills: number;
  cuts: number;
}

const PAUSE_MS = [2_000, 8_000] as const;
const AWAY_MS = 3_000;

/** Makes trouble until `over`; kills of the controller only while `mayKillController`. */
export async function makeTrouble(
  site: Site,
  { seed, over, mayKillController }: { seed: number; over: AbortSignal; mayKillController: () => boolean },
  troubles: Troubles,
): Promise<void> {
  for (let number = 1; ; number += 1) {
    const [when, what] = uniform(`${seed} trouble ${number}`);
    const [which, long] = uniform(`${seed} trouble ${number} of`);
    await sleep(PAUSE_MS[0] + when * (PAUSE_MS[1] - PAUSE_MS[0]), undefined, { signal: over }).catch(() => {});
    if (over.aborted) return;
    const index = Math.floor(which * site.fleet.processes);
    if (what < 0.2 && mayKillController()) {
      await site.controller.kill();
      await sleep(long * AWAY_MS);
      await site.controller.start();
      troubles.controllerKills += 1;
    } else if (what < 0.5) {
      await site.fleet.kill(index);
      await sleep(long * AWAY_MS);
      await site.fleet.revive(index);
      troubles.agentKills += 1;
    } else troubles.cuts += await site.fleet.cut(index, 1 + Math.floor(long * 50), `${seed} ${number}`);
  }
}
