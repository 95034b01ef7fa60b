import { z } from 'zod';
import { Floor } from '../by-group.ts';
import { defineRule, fail, pass, unknown, warn } from '../define-rule.ts';
import { GIB, gib } from '../units.ts';

/** What the agent found below each path of the rule; bytes. */
export const DiskSpace = z.object({
  paths: z.array(
    z.object({
      path: z.string(),
      /** Mount point of the file system that has the path or will have it. */
      mount: z.string(),
      device: z.string(),
      total: z.number(),
      /** For root-owned programs the same as for others: what df calls available. */
      available: z.number(),
    }),
  ),
});
export type DiskSpace = z.infer<typeof DiskSpace>;

/** Parameters of free_disk: the agent reads the paths from them too. */
export const FreeDiskParams = z.strictObject({
  groups: z.array(z.string()),
  /** group -> absolute path -> GiB; `all` is every node's. */
  minimum_gib: z.record(z.string(), z.record(z.string().startsWith('/'), Floor)),
});
export type FreeDiskParams = z.infer<typeof FreeDiskParams>;

/** The floors that apply to a node by its groups: the strictest for each path. */
export function floorsByPath(params: FreeDiskParams): Map<string, Floor> {
  const floors = new Map<string, Floor>();
  for (const group of new Set(['all', ...params.groups])) {
    const paths = Object.hasOwn(params.minimum_gib, group) ? (params.minimum_gib[group] ?? {}) : {};
    for (const [path, floor] of Object.entries(paths)) {
      const known = floors.get(path);
      floors.set(path, {
        fail_below: Math.max(floor.fail_below, known?.fail_below ?? 0),
        warn_below: Math.max(floor.warn_below, known?.warn_below ?? 0),
      });
    }
  }
  return floors;
}

/** Paths on one file system share its space, so their floors are added up. */
export const freeDisk = defineRule({
  name: 'free_disk',
  summary: 'the file systems of the wanted paths have room for all of them',
  needs: 'disk_space',
  facts: DiskSpace,
  params: FreeDiskParams,
  judge(facts, params) {
    const mounts = new Map<
      string,
      {
        available: number;
        paths: string[];
        fail_below: number;
        warn_below: number;
      }
    >();
    const floors = floorsByPath(params);
    for (const [path, floor] of floors) {
      const found = facts.paths.find((one) => one.path === path);
      if (found === undefined) {
        return unknown(`the file system of ${path} could not be found out`, `check \`df ${path}\` on the node`);
      }
      const mount = mounts.get(found.mount) ?? {
        available: found.available,
        paths: [],
        fail_below: 0,
        warn_below: 0,
      };
      mount.paths.push(path);
      mount.fail_below += floor.fail_below;
      mount.warn_below += Math.max(floor.warn_below, floor.fail_below);
      mounts.set(found.mount, mount);
    }

    const evidence = { paths: facts.paths };
    const described = (word: 'fail_below' | 'warn_below', only: (name: string) => boolean): string =>
      [...mounts]
        .filter(([name]) => only(name))
        .map(
          ([name, m]) => `${name} has ${gib(m.available)} free, wanted ${gib(m[word] * GIB)} for ${m.paths.join(', ')}`,
        )
        .join('; ');
    const below = (word: 'fail_below' | 'warn_below'): Set<string> =>
      new Set([...mounts].filter(([, m]) => m.available < m[word] * GIB).map(([name]) => name));

    const tooSmall = below('fail_below');
    if (tooSmall.size > 0) {
      return fail(
        described('fail_below', (name) => tooSmall.has(name)),
        `free or add space on ${[...tooSmall].join(', ')}, or mount a larger disk there`,
        evidence,
      );
    }
    const tight = below('warn_below');
    if (tight.size > 0) {
      return warn(
        described('warn_below', (name) => tight.has(name)),
        `plan for more space on ${[...tight].join(', ')}: it will fill up`,
        evidence,
      );
    }
    return pass(described('warn_below', () => true) || 'no path is checked', evidence);
  },
});
