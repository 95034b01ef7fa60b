/** What a controller may ask of an agent that is to replace itself: names become folders, so all of it is checked. */
import { z } from 'zod';
import { KkError } from '../../shared/errors.ts';
import type { Upgrade } from '../../shared/protocol/messages.ts';
import { MOST_BYTES } from './fetch-release.ts';

/** Name of a release's folder, as placeExecutable makes it: a package's version and 8 hex digits; never a way out. */
export const releaseName = z
  .string()
  .max(128)
  .regex(/^[0-9A-Za-z][0-9A-Za-z.+-]*-[0-9a-f]{8}$/);
/** The controller's name for an upgrade. */
export const upgradeId = z.string().min(1).max(128);
/** Milliseconds, as `kk-controller nodes upgrade --limit` allows: 5 s to 1 h. */
export const upgradeLimitMs = z.int().min(5_000).max(3_600_000);

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().min(1).max(MOST_BYTES);

const wishSchema = z.object({
  id: upgradeId,
  release: releaseName,
  ...{ gz_sha256: sha256, gz_size: size, binary_sha256: sha256, binary_size: size },
  limit_ms: upgradeLimitMs,
});

/** The wish, if it is one. Throws KkError UPGRADE_MALFORMED. */
export function checkedWish(wish: Upgrade): Upgrade {
  const parsed = wishSchema.safeParse(wish);
  if (parsed.success) return parsed.data;
  throw new KkError({
    code: 'UPGRADE_MALFORMED',
    message: `The controller asked for an upgrade that makes no sense: ${parsed.error.issues[0]?.path.join('.')}.`,
    remedy: 'Package the agent again and start the controller again; if it stays so, report it as a defect in kk.',
    evidence: z.prettifyError(parsed.error).slice(0, 1000),
  });
}
