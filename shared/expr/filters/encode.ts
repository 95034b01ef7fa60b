import { parse, stringify } from 'yaml';
import { type Call, type Filter, fail, madeText, wantCount, wantMap, wantText } from '../callable.ts';
import { isMap, makeMap, measure, type Value } from '../value.ts';
import { tomlText } from './toml.ts';

/** Filters to and from JSON, YAML, TOML and base64. */
export const encodeFilters: Readonly<Record<string, Filter>> = {
  to_json: {
    about: 'JSON on one line, or indented by the given number of spaces.',
    params: ['indent'],
    apply(input, args, call) {
      measure(input, call.budget, call.at);
      return madeText(JSON.stringify(input, undefined, wantCount(args.get('indent') ?? 0, 10, call)), call);
    },
  },
  from_json: {
    about: 'The value that a JSON text means.',
    params: [],
    apply(input, _args, call) {
      const text = wantText(input, call);
      let parsed: Value;
      try {
        parsed = JSON.parse(text) as Value;
      } catch {
        return fail(call, 'EXPR_FILTER', 'the text is not JSON');
      }
      return cleaned(parsed, call, 0);
    },
  },
  to_yaml: {
    about: 'YAML in block style, ending with a newline; indent is the number of spaces a level (2).',
    params: ['indent'],
    apply(input, args, call) {
      measure(input, call.budget, call.at);
      call.budget.spend(JSON.stringify(input).length, call.at);
      const indent = Math.max(1, wantCount(args.get('indent') ?? 2, 10, call));
      return madeText(stringify(input, { indent, lineWidth: 0, aliasDuplicateObjects: false }), call);
    },
  },
  from_yaml: {
    about: 'The value that a YAML 1.2 text means; aliases are refused.',
    params: [],
    apply(input, _args, call) {
      const text = wantText(input, call);
      call.budget.spend(text.length, call.at); // a YAML parser is slow: about a microsecond a character
      let parsed: Value;
      try {
        parsed = (parse(text, { maxAliasCount: 0, logLevel: 'silent' }) ?? null) as Value;
      } catch {
        return fail(call, 'EXPR_FILTER', 'the text is not YAML');
      }
      return cleaned(parsed, call, 0);
    },
  },
  to_toml: {
    about: 'A map as TOML, ending with a newline; keys with none are left out, for TOML has no null.',
    params: [],
    apply(input, _args, call) {
      measure(input, call.budget, call.at);
      return madeText(tomlText(wantMap(input, call), call), call);
    },
  },
  b64encode: {
    about: 'The UTF-8 bytes of the text in base64.',
    params: [],
    apply(input, _args, call) {
      const bytes = new TextEncoder().encode(wantText(input, call));
      let binary = '';
      for (const byte of bytes) binary += String.fromCharCode(byte);
      return madeText(btoa(binary), call);
    },
  },
  b64decode: {
    about: 'The UTF-8 text that base64 stands for.',
    params: [],
    apply(input, _args, call) {
      const text = wantText(input, call);
      try {
        const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
        return madeText(new TextDecoder('utf-8', { fatal: true }).decode(bytes), call);
      } catch {
        return fail(call, 'EXPR_FILTER', 'the text is not base64 of UTF-8 text');
      }
    },
  },
};

/** What a parser made, within limits and without keys that could reach a prototype. */
function cleaned(value: Value, call: Call, depth: number): Value {
  call.budget.depth(depth, call.at);
  call.budget.spend(1, call.at);
  if (Array.isArray(value)) return value.map((item) => cleaned(item, call, depth + 1));
  if (isMap(value)) {
    return makeMap(
      Object.keys(value).map((key) => [key, cleaned(value[key] as Value, call, depth + 1)] as const),
      call.at,
    );
  }
  if (value !== null && !['string', 'number', 'boolean'].includes(typeof value)) {
    fail(call, 'EXPR_TYPE', 'the text holds something that JSON cannot hold');
  }
  return value;
}
