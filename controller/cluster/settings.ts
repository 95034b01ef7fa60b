import type { z } from 'zod';
import type { Json } from '../../shared/share.ts';
import { ClusterConfig } from './schema.ts';

/** One setting as people read of it. */
export interface Setting {
  /** Keys joined by dots. */
  path: string;
  /** Has settings of its own below it. */
  isGroup: boolean;
  default: Json;
  about: string | undefined;
  /** What it may be, where that is a list of words. */
  choices: readonly string[] | undefined;
}

/** Every setting in the order of the schema, a group before what is in it. */
export function settingsOf(): Setting[] {
  return below(ClusterConfig, '', ClusterConfig.parse({}) as unknown as Json);
}

function below(schema: z.core.$ZodType, prefix: string, value: Json): Setting[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  if (def.type !== 'object') return [];
  return Object.entries(def.shape).flatMap(([name, field]) => {
    const inner = unwrap(field);
    const kind = (inner as z.core.$ZodTypes)._zod.def;
    const usual = (value as Record<string, Json>)[name] ?? null;
    const path = `${prefix}${name}`;
    const setting: Setting = {
      path,
      isGroup: kind.type === 'object',
      default: usual,
      about: (field as z.ZodType).description ?? (inner as z.ZodType).description,
      choices: kind.type === 'enum' ? Object.values(kind.entries).map(String) : undefined,
    };
    return [setting, ...below(inner, `${path}.`, usual)];
  });
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  return def.type === 'prefault' || def.type === 'default' || def.type === 'optional' ? unwrap(def.innerType) : schema;
}
