import type { BlobRef } from '../../../shared/blob.ts';
import { OLDEST_MINOR } from '../../cluster/index.ts';
import { type Problems, suggest } from '../problems.ts';
import { type Component, type ComponentData, VERSION } from './data.ts';
import { type Lock, lockedIn } from './lock.ts';
import type { DownloadSettings, Override, PlaceOf } from './settings.ts';

/** One file that the plan needs: of a component, for one architecture. */
export interface ComponentFile {
  component: string;
  version: string;
  arch: string;
  kind: Component['kind'];
  /** Where it is fetched, best first; empty: it is a file of the plan's side. */
  urls: string[];
  /** Where its sha256 is asked, best first, when nothing here states it. */
  checksums: string[];
  /** undefined: nobody has stated it yet. */
  sha256: string | undefined;
  /** What states it: the configuration (`override`, or the file itself by `path`), the lock file, or components.yaml. */
  from: 'override' | 'path' | 'lock' | 'data' | undefined;
  /** The file on the side of the plan that stands in for it. */
  file?: BlobRef;
}

export interface Resolving {
  data: ComponentData;
  settings: DownloadSettings;
  lock: Lock;
  /** The version of Kubernetes is a setting of a cluster: those who judge these tell when it is too old. */
  versionIsJudged: boolean;
  /** The file at a path beside the plan; undefined: there is none. */
  fileAt(path: string): BlobRef | undefined;
  placeOf: PlaceOf;
  problems: Problems;
}

/** Versions of components and images by name, and what a person should know of them. Tells what is wrong with the version of Kubernetes. */
export function versionsOf({ data, settings, versionIsJudged, placeOf, problems }: Resolving): {
  versions: Record<string, string>;
  notes: string[];
} {
  const [, major = '', minor = ''] = /^v(\d+)\.(\d+)\./.exec(settings.kubernetes) ?? [];
  const at = placeOf(['kubernetes', 'version']);
  if (!versionIsJudged && (Number(major) !== 1 || Number(minor) < OLDEST_MINOR)) {
    const message = `kk cannot install Kubernetes ${settings.kubernetes}: the oldest is v1.${OLDEST_MINOR}.`;
    problems.add('PLAN_COMPONENT', at, message, `Set kubernetes.version to v1.${OLDEST_MINOR}.0 or newer.`);
  }
  const known = Object.keys(data.versions).sort((a, b) => Number(b.slice(2)) - Number(a.slice(2)));
  const row = known.find((key) => Number(key.slice(2)) <= Number(minor)) ?? known.at(-1) ?? '';
  const note = `components.yaml knows no Kubernetes v${major}.${minor}: the other components are those of v${row}. Set download.overrides where that is wrong.`;
  const stated = Object.entries(settings.overrides).flatMap(([name, { version }]) =>
    version === undefined ? [] : [[name, version] as const],
  );
  const followers = Object.entries(data.components).flatMap(([name, { follows }]) =>
    follows === undefined ? [] : [[name, settings.kubernetes] as const],
  );
  return {
    versions: { ...data.versions[row], ...Object.fromEntries([...followers, ...stated]) },
    notes: row === `${major}.${minor}` ? [] : [note],
  };
}

/**
 * What is fetched for the components of these names: pure, so that the controller comes to the same as who applied the plan.
 * Tells everything that contradicts itself or does not exist, at the place that states it.
 */
export function resolveFiles(wanted: Iterable<string>, resolving: Resolving): ComponentFile[] {
  const { data, settings, placeOf, problems } = resolving;
  for (const name of Object.keys(settings.overrides)) {
    if (Object.hasOwn(data.components, name)) continue;
    const remedy = suggest(name, Object.keys(data.components));
    problems.add(
      'PLAN_COMPONENT',
      placeOf(['download', 'overrides', name]),
      `There is no component "${name}".`,
      remedy,
    );
  }
  const { versions } = versionsOf(resolving);
  refuseArchitectures([...wanted], resolving);
  return [...wanted].flatMap((name) => {
    const component = data.components[name];
    const version = versions[name];
    if (component === undefined) return [];
    if (version === undefined || !VERSION.test(version)) {
      const message = `No version of ${name} is known for Kubernetes ${settings.kubernetes}.`;
      const at = placeOf(['kubernetes', 'version']);
      problems.add('PLAN_COMPONENT', at, message, `State download.overrides.${name}.version, such as v1.2.3.`);
      return [];
    }
    return settings.arch.flatMap((arch) => {
      if (!architecturesOf(name, data).includes(arch)) return [];
      const override = settings.overrides[name] ?? {};
      const judged = judgeOverride(name, arch, override, resolving);
      return judged === undefined ? [] : fileOf(name, version, arch, component, judged, resolving);
    });
  });
}

function architecturesOf(name: string, data: ComponentData): readonly string[] {
  return data.components[name]?.architectures ?? data.architectures;
}

/** An architecture that is not there is one mistake, however many components are not made for it. */
function refuseArchitectures(wanted: readonly string[], { data, settings, placeOf, problems }: Resolving): void {
  const known = wanted.filter((name) => data.components[name] !== undefined);
  for (const [index, arch] of settings.arch.entries()) {
    const without = known.filter((name) => !architecturesOf(name, data).includes(arch));
    if (without.length === 0) continue;
    const message = `There is no ${without.join(', ')} for the architecture "${arch}".`;
    const common = data.architectures.filter((one) =>
      without.every((name) => architecturesOf(name, data).includes(one)),
    );
    problems.add('PLAN_COMPONENT', placeOf(['download', 'arch', index]), message, suggest(arch, common));
  }
}

interface Judged {
  url: string | undefined;
  file: BlobRef | undefined;
  sha256: string | undefined;
}

/** What the configuration says of one file; undefined: it contradicts itself, which is told. */
function judgeOverride(name: string, arch: string, override: Override, resolving: Resolving): Judged | undefined {
  const { settings, placeOf, problems } = resolving;
  const of = `download.overrides.${name}`;
  const refuse = (key: string, message: string, remedy: string): undefined => {
    problems.add('PLAN_COMPONENT', placeOf(['download', 'overrides', name, key]), message, remedy);
  };
  const several = settings.arch.length > 1;
  for (const key of ['url', 'path', 'sha256'] as const) {
    const value = override[key];
    const remedy = `Write ${key}: {${settings.arch.map((one) => `${one}: …`).join(', ')}}.`;
    if (typeof value === 'object' && value[arch] === undefined)
      return refuse(key, `${of}.${key} says nothing for ${arch}.`, remedy);
    if (typeof value === 'string' && several && !value.includes('{arch}'))
      return refuse(key, `${of}.${key} is one for ${settings.arch.join(' and ')}.`, remedy);
  }
  if (override.url !== undefined && override.path !== undefined)
    return refuse('path', `${of} has both url and path.`, 'Remove one of them.');
  const sha256 = valueFor(override.sha256, arch);
  const path = valueFor(override.path, arch);
  const file = path === undefined ? undefined : resolving.fileAt(path);
  if (path !== undefined && file === undefined)
    return refuse(
      'path',
      `There is no file ${path}.`,
      'Correct the path: it is relative to the plan, on this machine.',
    );
  if (file !== undefined && sha256 !== undefined && file.sha256 !== sha256)
    return refuse(
      'sha256',
      `${path} has the sha256 ${file.sha256}, and not what is stated.`,
      'Correct one of the two.',
    );
  return { url: valueFor(override.url, arch), file, sha256 };
}

/** Of a path or address for all architectures its place for one. */
function valueFor(value: string | Record<string, string> | undefined, arch: string): string | undefined {
  return typeof value === 'object' ? value[arch] : value?.replaceAll('{arch}', arch);
}

function fileOf(
  name: string,
  version: string,
  arch: string,
  component: Component,
  { url, file, sha256 }: Judged,
  { data, settings, lock, placeOf, problems }: Resolving,
): ComponentFile[] {
  const fill = (text: string): string =>
    text.replaceAll('{version}', version).replaceAll('{number}', version.replace(/^v/, '')).replaceAll('{arch}', arch);
  const base = { component: name, version, arch, kind: component.kind };
  if (file !== undefined) {
    const executable = component.kind === 'binary' ? { executable: true as const } : {};
    const blob = { ...file, ...executable };
    return [{ ...base, urls: [], checksums: [], sha256: file.sha256, from: 'path', file: blob }];
  }
  const upstream = [component.url].flat().map(fill);
  const zone = data.zones[settings.zone];
  const mirrors = settings.mirrors.length > 0 ? settings.mirrors : zone === undefined ? [] : [zone];
  const mirrored = mirrors.flatMap((mirror) => upstream.map((one) => behind(mirror, one)));
  // A mirror that is stated is all that is asked: where there is one, upstream often cannot be reached, or may not be.
  const urls = url !== undefined ? [fill(url)] : settings.mirrors.length > 0 ? mirrored : [...mirrored, ...upstream];
  const wrong = urls.find((one) => !/^https?:\/\/[^\s/@]+\//.test(one) || !URL.canParse(one));
  if (wrong !== undefined) {
    const message = `${name} has no address that can be fetched${wrong.includes('@') ? '' : `: "${wrong}"`}.`;
    const remedy = 'Write an address that begins with http:// or https://, without a name or password in it.';
    problems.add('PLAN_COMPONENT', placeOf(['download', 'overrides', name, 'url']), message, remedy);
    return [];
  }
  const checksums = urls.map((one) =>
    fill(component.checksum)
      .replaceAll('{url}', one)
      .replaceAll('{folder}', one.slice(0, one.lastIndexOf('/'))),
  );
  const stated: Pick<ComponentFile, 'sha256' | 'from'>[] = [
    { sha256, from: 'override' },
    { sha256: lockedIn(lock, base), from: 'lock' },
    // What the list knows is upstream's file, and not one that somebody put elsewhere.
    { sha256: url === undefined ? component.sha256?.[version]?.[arch] : undefined, from: 'data' },
  ];
  const known = stated.find((one) => one.sha256 !== undefined);
  return [{ ...base, urls, checksums, sha256: known?.sha256, from: known?.from }];
}

/** `<mirror>/<upstream host>/<path>`. */
function behind(mirror: string, url: string): string {
  return `${mirror.replace(/\/+$/, '')}/${url.replace(/^https?:\/\//, '')}`;
}
