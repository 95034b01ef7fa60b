import { z } from 'zod';
import { Facts } from '../../shared/facts.ts';

/** The part of JSON Schema that the facts use. */
interface Schema {
  type?: string;
  description?: string;
  enum?: string[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: Schema | boolean;
}

/** The page of what an agent tells of its node. */
export async function factsPage(): Promise<string> {
  const schema = z.toJSONSchema(Facts, { io: 'input' }) as Schema;
  return `# Facts

Made by \`npm run generate\` from [shared/facts.ts](../../shared/facts.ts): what an agent finds out about its node, at the start of a run and by
the action \`facts\`. Conditions and templates read it as \`facts.os.id\`. Sizes are bytes. What is marked ○ may be absent: it could not be found
out, or the agent is an older one; write \`facts.dmi.vendor | default('')\`.

| fact | type | what it says |
|---|---|---|
${rowsOf('facts', schema, false).join('\n')}
`;
}

function rowsOf(path: string, schema: Schema, isOptional: boolean): string[] {
  const { description, properties, required = [], items } = schema;
  const inner = Object.entries(properties ?? {}).flatMap(([name, one]) =>
    rowsOf(`${path}.${name}`, one, !required.includes(name)),
  );
  const ofItems =
    items?.properties === undefined
      ? []
      : rowsOf(`${path}[]`, { properties: items.properties, required: items.required ?? [] }, false);
  const isGroup = properties !== undefined;
  if (isGroup && description === undefined && !isOptional) return inner;
  const row = `| \`${path}\`${isOptional ? ' ○' : ''} | ${typeOf(schema)} | ${(description ?? '').replaceAll('|', '\\|')} |`;
  return [row, ...inner, ...ofItems];
}

function typeOf({ type, enum: words, items, additionalProperties }: Schema): string {
  if (words !== undefined) return words.map((word) => `\`${word}\``).join(', ');
  if (type === 'array') return items?.type === 'object' ? 'list' : `list of ${items?.type ?? 'values'}`;
  if (type === 'object')
    return typeof additionalProperties === 'object' ? `map to ${additionalProperties.type}` : 'map';
  return type ?? '';
}
