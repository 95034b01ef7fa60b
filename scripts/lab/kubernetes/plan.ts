import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../../demo/stage.ts';

/** What examples/lab-ha.yaml is written for. */
export const LAB_NAME = 'kube';
export const LAB_NET = '10.88.20';

/** The plan of the lab, as people apply it. */
export const PLAN = join(ROOT, 'examples', 'lab-ha.yaml');

/** examples/lab-ha.yaml for another lab: only its addresses and the folder of its key are others. Gives the path of the copy. */
export async function planFor(lab: { name: string; net: string }, path: string): Promise<string> {
  const text = (await readFile(PLAN, 'utf8'))
    .replaceAll(`${LAB_NET}.`, `${lab.net}.`)
    .replaceAll(`/kk-lab/${LAB_NAME}/`, `/kk-lab/${lab.name}/`);
  await writeFile(path, text, { mode: 0o600 });
  return path;
}
