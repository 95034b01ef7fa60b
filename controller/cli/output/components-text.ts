import type { ComponentFile } from '../../plan/index.ts';
import { table } from './table.ts';
import { clean } from './text.ts';

/** A file that a plan fetches, for people. */
export interface ComponentView {
  component: string;
  version: string;
  arch: string;
  sha256: string;
  /** What states the sha256: the configuration (`override`, `path`), the lock file (`lock`), components.yaml (`data`). */
  from: string;
  /** Where it is fetched, best first; empty: it is a file beside the plan. */
  urls: string[];
}

export function componentViews(files: readonly ComponentFile[]): ComponentView[] {
  return files.map(({ component, version, arch, sha256 = '', from = '', urls }) => ({
    component,
    version,
    arch,
    sha256,
    from,
    urls,
  }));
}

export function componentRows(views: readonly ComponentView[]): string[] {
  if (views.length === 0) return ['The plan fetches no components.'];
  const rows = views.map(({ component, version, arch, sha256, from, urls: [url = '-'] }) =>
    [component, version, arch, sha256, from, url].map((text) => clean(text)),
  );
  return table(['component', 'version', 'arch', 'sha256', 'from', 'url'], rows);
}
