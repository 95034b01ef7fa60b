import { z } from 'zod';
import { Sha256 } from '../../../shared/blob.ts';
import { seconds } from '../../../shared/duration.ts';
import type { Position } from '../../../shared/errors.ts';
import type { Json, Vars } from '../../../shared/share.ts';
import { type Problems, show } from '../problems.ts';
import { Duration } from '../schema.ts';
import { Address, type ComponentData, VERSION, Version } from './data.ts';

/** One for all architectures, or one for each. */
const byArch = <S extends z.ZodType<string>>(schema: S) => z.union([schema, z.record(z.string(), schema)]);

const Override = z.object({
  version: Version.optional(),
  url: byArch(z.string().min(1)).optional(),
  path: byArch(z.string().min(1)).optional(),
  sha256: byArch(Sha256).optional(),
});
export type Override = z.infer<typeof Override>;

const Mirror = z.union([z.literal(''), Address]);

/** What of the configuration is about components. The names are those of the configuration; what else is there is others' matter. */
const Configuration = z.object({
  zone: z.string().default(''),
  kubernetes: z.object({ version: Version.optional() }).default({}),
  download: z
    .object({
      mirror: z.union([Mirror, z.array(Address)]).default(''),
      timeout: Duration.default('10m'),
      arch: z.array(z.string()).min(1).default(['amd64']),
      overrides: z.record(z.string(), Override).default({}),
    })
    .prefault({}),
});

export interface DownloadSettings {
  kubernetes: string;
  zone: string;
  /** Asked instead of upstream; empty: none. */
  mirrors: string[];
  /** Seconds for one file. */
  timeout: number;
  arch: string[];
  overrides: Record<string, Override>;
}

/** Where a value of the configuration stands, or the nearest thing around it. */
export type PlaceOf = (path: readonly (string | number)[]) => Position;

/** The settings in a plan's variables; undefined: they are wrong, which is told. */
export function readDownloadSettings(
  vars: Vars,
  data: ComponentData,
  placeOf: PlaceOf,
  problems: Problems,
): DownloadSettings | undefined {
  const parsed = Configuration.safeParse(vars);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const path = issue.path.filter((step) => typeof step !== 'symbol');
      const value = path.reduce<Json | undefined>(
        (at, step) => (typeof at === 'object' && at !== null ? (at as Record<string, Json>)[step] : undefined),
        vars,
      );
      // A name or password in an address is no matter for a screen.
      const shown = typeof value === 'string' && value.includes('@') ? 'a text' : show(value);
      const message = `${path.join('.')} is ${shown}: ${reasonOf(issue)}.`;
      problems.add('PLAN_COMPONENT', placeOf(path), message, remedyFor(value));
    }
    return undefined;
  }
  const { zone, kubernetes, download } = parsed.data;
  return {
    kubernetes: kubernetes.version ?? data.kubernetes,
    zone,
    mirrors: [download.mirror].flat().filter((mirror) => mirror !== ''),
    timeout: seconds(download.timeout),
    arch: [...new Set(download.arch)],
    overrides: download.overrides,
  };
}

function reasonOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_union') return `it should be ${issue.message.replace(/^Invalid input: expected /, '')}`;
  const inner = issue.errors.flat().find(({ code }) => code !== 'invalid_type' && code !== 'invalid_value');
  return inner ? reasonOf(inner) : 'it is of no type that is taken here';
}

function remedyFor(value: Json | undefined): string {
  if (typeof value === 'string' && VERSION.test(`v${value}`)) return `Write v${value}.`;
  return 'Correct the value.';
}
