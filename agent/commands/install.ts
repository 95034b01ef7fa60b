import { selfOf } from '../agent.ts';
import { VERSION } from '../config/version.ts';
import { createHost } from '../host/index.ts';
import { IdentityStore } from '../identity/identity-store.ts';
import { joinPatiently } from '../identity/join-patiently.ts';
import { machineWord } from '../identity/machine-word.ts';
import { installAgent } from '../install/install.ts';
import { judgeKnown } from '../install/known-identity.ts';
import { LAYOUT } from '../install/layout.ts';
import { packagedUnits } from '../install/units.ts';
import { statePaths } from '../state-folder.ts';
import { patienceOfPerson } from './patience.ts';
import { tokenFromStdin } from './token.ts';

/** Identity, executable and units; says in one line what it did. Throws what installAgent throws. */
export async function install(options: {
  name: string;
  endpoint: string[];
  tokenStdin?: true;
  rejoin?: true;
  replace?: true;
  wrapper: readonly [string, ...string[]];
}): Promise<void> {
  const { name } = options;
  const units = packagedUnits();
  const token = options.tokenStdin ? await tokenFromStdin() : undefined;
  const store = new IdentityStore(statePaths(LAYOUT.state).identity);
  const { machineId, bootId } = await selfOf(VERSION);
  const report = await installAgent({
    version: VERSION,
    executable: process.execPath,
    units,
    host: createHost({ wrapper: { argv: options.wrapper } }),
    uid: process.getuid?.() ?? -1,
    identity: async () =>
      judgeKnown(await store.load(), {
        name,
        token,
        rejoin: options.rejoin === true,
        replace: options.replace === true,
        now: Date.now(),
      }),
    endpoints: options.endpoint,
    name,
    join: async (endpoint) => {
      const facts = { machineId, bootId, machine: await machineWord(VERSION) };
      await joinPatiently({ endpoint, token: token ?? '', name, facts, store, clock: Date.now }, patienceOfPerson);
    },
  });
  const what = report.joined ? 'joined' : report.changed ? 'updated' : 'unchanged';
  process.stdout.write(`kk-agent ${VERSION} on node ${report.name}: ${what} (${report.release})\n`);
}
