/** `npm run generate`: writes what is made from the source. A test fails while any of it is behind (test/repo). */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { actionComments } from './generate/action-comments.ts';
import { actionsPage } from './generate/actions.ts';
import { clusterPage } from './generate/cluster.ts';
import { commandsPage } from './generate/commands.ts';
import { errorsPage } from './generate/errors.ts';
import { factsPage } from './generate/facts.ts';
import { lifecyclePage } from './generate/lifecycle.ts';
import { planSchema } from './generate/plan-schema.ts';
import { protocolSchema } from './generate/protocol.ts';
import { settingsPage } from './generate/settings.ts';

/** Path from the root of the project -> its text. */
export const GENERATED: Readonly<Record<string, () => Promise<string>>> = {
  'shared/protocol/gen/kk.json': protocolSchema,
  'shared/actions/gen/comments.json': actionComments,
  'docs/reference/plan.schema.json': planSchema,
  'docs/reference/actions.md': actionsPage,
  'docs/reference/cluster.md': clusterPage,
  'docs/reference/commands.md': commandsPage,
  'docs/reference/errors.md': errorsPage,
  'docs/reference/facts.md': factsPage,
  'docs/reference/lifecycle.md': lifecyclePage,
  'docs/reference/settings.md': settingsPage,
};

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  for (const [path, make] of Object.entries(GENERATED)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), await make());
    process.stdout.write(`${path}\n`);
  }
}
