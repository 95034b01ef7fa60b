import { type Call, fail, wantList } from '../callable.ts';
import { type Value, valueAt } from '../value.ts';

/** The attribute path as text; `0` may be written as a number. */
export function attributePath(value: Value | undefined, call: Call): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  return fail(call, 'EXPR_TYPE', 'attribute must be a name such as "ip" or "facts.os.id"');
}

/** That attribute (`a.b.0`) of each item of a list; one without it is EXPR_UNDEFINED unless `otherwise` is given. */
export function attributesOf(input: Value, attribute: Value, call: Call, otherwise?: Value): Value[] {
  const path = attributePath(attribute, call);
  return wantList(input, call).map((item, index) => attributeOf(item, path, index, call, otherwise));
}

function attributeOf(item: Value, path: string, index: number, call: Call, otherwise?: Value): Value {
  const found = valueAt(item, path);
  if (found !== undefined) return found;
  if (otherwise !== undefined) return otherwise;
  const hint = 'give map a default=, or select first';
  return fail(call, 'EXPR_UNDEFINED', `item ${index} has no attribute "${path}"`, hint);
}
