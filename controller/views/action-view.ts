import { z } from 'zod';
import generated from '../../shared/actions/gen/comments.json' with { type: 'json' };
import { contractOf, type PlanActionKind } from '../../shared/actions/index.ts';
import type { Json } from '../../shared/share.ts';

/** A field of an action's inputs or output. */
export interface FieldView {
  name: string;
  /** `text`, `whole number 1 to 65535`, `present | absent`, `list of text`. */
  type: string;
  required: boolean;
  default?: Json;
  about?: string;
}

/** An action as the catalogue shows it. */
export interface ActionView {
  action: PlanActionKind;
  summary: string;
  about?: string;
  /** May it change the node? */
  changes: boolean;
  /** Done by the controller itself, in tasks `on: controller`. */
  place?: 'controller';
  /** After a crash in its middle; `by inputs`: some inputs make it so. */
  repeatable: 'yes' | 'no' | 'by inputs';
  undo: 'restores' | 'nothing' | 'cannot';
  /** It may be written without a map: `command: ls`. */
  shorthand: boolean;
  /** Empty where its inputs are names of the author's own (set_fact). */
  inputs: FieldView[];
  /** What `register` keeps. */
  output: FieldView[];
  example: Json;
}

/** What a rollback does about an action, for people. A new value without its line does not compile. */
export const UNDO_TEXT: Readonly<Record<ActionView['undo'], string>> = {
  restores: 'brings back what was there before',
  nothing: 'nothing: it changes nothing that stays',
  cannot: 'cannot, and says so before it begins; `rollback:` tasks can',
};

const GENERATED: Readonly<Record<string, ActionComments>> = generated;

/** `comments`: what the source says of the actions (scripts/generate/action-comments), as it was generated last. */
export function actionView(
  kind: PlanActionKind,
  comments: Readonly<Record<string, ActionComments>> = GENERATED,
): ActionView {
  const contract = contractOf(kind);
  const said = comments[kind] ?? { input: {}, output: {} };
  const { repeatable } = contract;
  return {
    action: kind,
    summary: contract.summary,
    ...(said.about === undefined ? {} : { about: said.about }),
    changes: contract.changes,
    ...(contract.place === undefined ? {} : { place: contract.place }),
    repeatable: typeof repeatable === 'function' ? 'by inputs' : repeatable ? 'yes' : 'no',
    undo: contract.undo,
    shorthand: 'shorthand' in contract,
    inputs: fieldsOf(contract.input, 'input', said.input),
    output: fieldsOf(contract.output, 'output', said.output),
    example: contract.example as Json,
  };
}

/** The doc comments of a contract and of its fields. */
export interface ActionComments {
  about?: string | undefined;
  input: Readonly<Record<string, string>>;
  output: Readonly<Record<string, string>>;
}

/** The parts of JSON Schema that our contracts come out as. */
interface Schema {
  type?: string | string[];
  enum?: Json[];
  const?: Json;
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  default?: Json;
  minimum?: number;
  maximum?: number;
  additionalProperties?: Schema | boolean;
}

function fieldsOf(schema: z.ZodType, io: 'input' | 'output', said: Readonly<Record<string, string>>): FieldView[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Schema;
  return Object.entries(properties).map(([name, field]) => ({
    name,
    type: typeOf(field),
    required: required.includes(name),
    ...(field.default === undefined ? {} : { default: field.default }),
    ...(said[name] === undefined ? {} : { about: said[name] }),
  }));
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'whole number',
  number: 'number',
  boolean: 'true or false',
  object: 'map',
  array: 'list',
  null: 'null',
};

function typeOf(schema: Schema): string {
  if (schema.enum) return schema.enum.map(String).join(' | ');
  if (schema.const !== undefined) return String(schema.const);
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(', or ');
  if (Array.isArray(schema.type)) return schema.type.map((type) => WORDS[type] ?? type).join(', or ');
  if (schema.type === undefined) return 'anything';
  if (schema.type === 'array' && schema.items?.type !== undefined) return `list of ${typeOf(schema.items)}`;
  const word = WORDS[schema.type] ?? schema.type;
  return `${word}${limits(schema)}`;
}

/** What every whole number in JavaScript keeps within says nothing. */
function limits({ minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY }: Schema): string {
  const [low, high] = [minimum > Number.MIN_SAFE_INTEGER, maximum < Number.MAX_SAFE_INTEGER];
  if (low && high) return ` ${minimum} to ${maximum}`;
  return low ? `, ${minimum} or more` : high ? `, ${maximum} or less` : '';
}
