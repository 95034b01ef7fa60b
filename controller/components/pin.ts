import { isSystemError, KkError, KkErrors } from '../../shared/errors.ts';
import { replace } from '../durable/files.ts';
import {
  type ComponentFile,
  type Lock,
  lockFile,
  lockText,
  type Pin,
  type PlanComponents,
  type Sources,
  withPins,
} from '../plan/index.ts';
import { askDigests } from './digests.ts';

/**
 * The sources with the sha256 of everything the plan fetches: what nothing here states is asked where it is published, and
 * written into the lock file. Nobody is asked when all is known. Throws what {@link askDigests} throws, COMPONENT_LOCK_NOT_WRITABLE.
 */
export async function pinComponents(
  sources: Sources,
  { files, lock }: PlanComponents,
  signal: AbortSignal,
): Promise<Sources> {
  const open = files.filter(({ sha256 }) => sha256 === undefined);
  if (open.length === 0) return sources;
  return writeLock(sources, withPins(lock, await askDigests(open, signal)));
}

/**
 * Asks for all digests anew, and writes a lock file of those that the plan needs. One that has changed since it was written is
 * no news to be taken silently: COMPONENT_CHANGED, and the file stays as it is.
 */
export async function refreshLock(sources: Sources, { files }: PlanComponents, signal: AbortSignal): Promise<Sources> {
  const asked = files.filter(({ from }) => from === undefined || from === 'lock' || from === 'data');
  const pins = await askDigests(asked, signal);
  const changed = asked.flatMap((file) => changedFrom(file, pins) ?? []);
  if (changed.length > 0) throw new KkErrors(changed);
  return writeLock(sources, withPins({}, pins));
}

function changedFrom(file: ComponentFile, pins: readonly Pin[]) {
  const { component, version, arch, sha256, from } = file;
  const now = pins.find((pin) => pin.component === component && pin.version === version && pin.arch === arch)?.sha256;
  if (sha256 === undefined || sha256 === now) return undefined;
  return {
    code: 'COMPONENT_CHANGED',
    message: `The sha256 of ${component} ${version} for ${arch} is another one than ${from === 'lock' ? 'the lock file' : 'components.yaml'} says.`,
    remedy:
      'A release does not change: see who served it and why. If it is right, remove its lines from the lock file (or state the sha256 under download.overrides) and run this again.',
    evidence: `known: ${sha256}\nnow:   ${now}\nfrom:  ${file.checksums.join(' ')}`,
  };
}

async function writeLock(sources: Sources, lock: Lock): Promise<Sources> {
  const path = lockFile(sources.plan);
  const text = lockText(lock);
  if (sources.texts[path] === undefined && Object.keys(lock).length === 0) return sources;
  if (sources.texts[path] !== text) {
    try {
      await replace(path, text, 0o644, 'controller.components.lock');
    } catch (thrown) {
      if (!(thrown instanceof Error) || !('code' in thrown)) throw thrown;
      throw new KkError({
        code: 'COMPONENT_LOCK_NOT_WRITABLE',
        message: `The lock file ${path} cannot be written: ${thrown.message}.`,
        remedy: isSystemError(thrown, 'ENOSPC')
          ? 'Free some space, then run again.'
          : 'Make its folder writable, or run as who owns the plan; without the lock file a changed component would not be noticed.',
        cause: thrown,
      });
    }
  }
  return { ...sources, texts: { ...sources.texts, [path]: text } };
}
