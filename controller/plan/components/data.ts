import { z } from 'zod';
import { ComponentName } from '../../../shared/actions/fields.ts';
import { Sha256 } from '../../../shared/blob.ts';
import { toJson } from '../document.ts';
import type { Library } from '../library.ts';
import { componentFiles } from '../paths.ts';
import { read } from '../read.ts';

/** A release of a component; what KubeKey's list writes without its v has one here, so that all are alike. */
export const VERSION = /^v\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$/;
export const Version = z.string().regex(VERSION, 'a version such as v1.34.2');

/** An http or https address without a name or password in it, for it is shown. */
export const Address = z
  .string()
  .refine(
    (text) => /^https?:\/\/[^\s/@]+(?:\/\S*)?$/.test(text) && URL.canParse(text),
    'an address that begins with http:// or https://, without a name or password',
  );

const Component = z.strictObject({
  /** Its version is that of Kubernetes. */
  follows: z.literal('kubernetes').optional(),
  url: z.union([z.string(), z.array(z.string()).min(1)]),
  checksum: z.string(),
  kind: z.enum(['binary', 'archive']),
  strip: z.int().min(0).max(20).optional(),
  include: z.array(z.string()).min(1).optional(),
  architectures: z.array(z.string()).min(1).optional(),
  /** By version and architecture. */
  sha256: z.record(z.string(), z.record(z.string(), Sha256)).optional(),
});
export type Component = z.infer<typeof Component>;

/** components.yaml. */
export const ComponentData = z.strictObject({
  kubernetes: Version,
  architectures: z.array(z.string()).min(1),
  zones: z.record(z.string(), Address),
  components: z.record(ComponentName, Component),
  /** By minor version of Kubernetes, then by component or image. */
  versions: z.record(z.string().regex(/^1\.\d+$/, 'a minor version such as "1.34"'), z.record(z.string(), z.string())),
});
export type ComponentData = z.infer<typeof ComponentData>;

/** The data that the plan goes by; undefined: there is none, or it is broken (which is told). */
export function readComponentData(library: Library): { data: ComponentData; file: string } | undefined {
  const { sources, problems } = library;
  const file = componentFiles(sources.playbookPath ?? []).find((path) => library.has(path));
  const document = file === undefined ? undefined : library.document(file);
  if (file === undefined || !document) return undefined;
  read(ComponentData, document, 'components.yaml', problems);
  const parsed = ComponentData.safeParse(toJson(document));
  return parsed.success ? { data: parsed.data, file } : undefined;
}
