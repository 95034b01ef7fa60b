import { readFile } from 'node:fs/promises';
import { VERSION } from '../config/version.ts';
import { bootId } from '../host/boot-id.ts';
import { certificateOf, IdentityStore } from '../identity/identity-store.ts';
import type { LinkState } from '../link/link.ts';
import { notJoined } from '../link/renew.ts';
import { holderOf, statePaths } from '../state-folder.ts';

/** Prints who this node is, whether an agent runs, and how its connection stands. Throws NOT_JOINED. */
export async function status({ state }: { state: string }): Promise<void> {
  const paths = statePaths(state);
  const identity = await new IdentityStore(paths.identity).load();
  if (identity === undefined) throw notJoined();
  const holder = holderOf(paths.lock, await bootId());
  const link = holder === undefined ? undefined : await linkState(paths.status);
  const lines = [
    `node         ${identity.name}`,
    `fleet        ${identity.fleetId}`,
    `version      ${VERSION}`,
    `certificate  until ${certificateOf(identity).validTo}`,
    `endpoints    ${identity.endpoints.join(' ')}`,
    `agent        ${holder === undefined ? 'not running' : `running, process ${holder.pid}`}`,
    ...(link === undefined ? [] : [`controller   ${worded(link)}`]),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

async function linkState(path: string): Promise<LinkState | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as LinkState;
  } catch {
    return undefined;
  }
}

function worded(link: LinkState): string {
  const since = new Date(link.sinceMs).toISOString();
  if (link.state === 'connected') return `connected to ${link.endpoint} since ${since}`;
  const { code, message, remedy } = link.trouble;
  return `not connected since ${since}: ${code}: ${message} → ${remedy}`;
}
