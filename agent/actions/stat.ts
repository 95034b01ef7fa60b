import { modeText } from '../../shared/actions/mode.ts';
import { observing } from './observing.ts';
import { onPath } from './system-errors.ts';

export const statExecutor = observing<'stat'>((input, { host, signal }) =>
  onPath(input.path, async () => {
    const real = input.follow ? await host.files.real(input.path) : input.path;
    const found = real === undefined ? undefined : await host.files.stat(real);
    if (real === undefined || found === undefined) return { path: input.path, exists: false };
    const { kind, mode, uid, gid, size, mtimeMs } = found;
    const target = kind === 'symlink' ? await host.files.readLink(real) : undefined;
    const digest = input.sha256 && kind === 'file' ? await host.files.digest(real, signal) : undefined;
    return {
      path: input.path,
      exists: true,
      ...{ kind, mode: modeText(mode), uid, gid, size, mtime_ms: mtimeMs },
      ...(target === undefined ? {} : { target }),
      ...(digest === undefined ? {} : { sha256: digest.sha256 }),
    };
  }),
);
