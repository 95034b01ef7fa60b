import type { ErrorReport } from '../../../shared/errors.ts';
import type { Plan } from '../types.ts';

/** A digest that nobody knows names nothing, so nothing can be run: who applies a plan asks for them first. */
export function unpinned({ components }: Plan): ErrorReport[] {
  return (components?.files ?? []).flatMap(({ component, version, arch, sha256 }) => {
    if (sha256 !== undefined) return [];
    const message = `The sha256 of ${component} ${version} for ${arch} is not known.`;
    const remedy = 'Run `kk-controller components <plan.yaml>`, which asks for it and writes the lock file.';
    return [{ code: 'COMPONENT_UNPINNED', message, remedy }];
  });
}
