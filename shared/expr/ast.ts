import type { Origin } from './errors.ts';

/** Arguments of a filter, test, function or method, bound to parameter names when parsed. */
export type CallArgs = { readonly named: ReadonlyMap<string, Expr>; readonly rest: readonly Expr[] };

export type BinaryOp = '+' | '-' | '*' | '/' | '//' | '%' | '**';
export type CompareOp = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';

/** An expression. `at` is where its telling part stands: the name, the operator, the opening bracket. */
export type Expr =
  | { readonly type: 'literal'; readonly value: null | boolean | number | string; readonly at: Origin }
  | { readonly type: 'name'; readonly name: string; readonly at: Origin }
  | { readonly type: 'attribute'; readonly object: Expr; readonly name: string; readonly at: Origin }
  | { readonly type: 'item'; readonly object: Expr; readonly key: Expr; readonly at: Origin }
  | {
      readonly type: 'slice';
      readonly object: Expr;
      readonly from: Expr | undefined;
      readonly to: Expr | undefined;
      readonly step: Expr | undefined;
      readonly at: Origin;
    }
  | { readonly type: 'list'; readonly items: readonly Expr[]; readonly at: Origin }
  | {
      readonly type: 'map';
      readonly entries: readonly { readonly key: Expr; readonly value: Expr }[];
      readonly at: Origin;
    }
  | { readonly type: 'unary'; readonly op: '-' | '+' | 'not'; readonly operand: Expr; readonly at: Origin }
  | { readonly type: 'binary'; readonly op: BinaryOp; readonly left: Expr; readonly right: Expr; readonly at: Origin }
  | {
      readonly type: 'logic';
      readonly op: 'and' | 'or';
      readonly left: Expr;
      readonly right: Expr;
      readonly at: Origin;
    }
  | { readonly type: 'concat'; readonly parts: readonly Expr[]; readonly at: Origin }
  | {
      readonly type: 'compare';
      readonly first: Expr;
      readonly rest: readonly { readonly op: CompareOp; readonly value: Expr; readonly at: Origin }[];
      readonly at: Origin;
    }
  | {
      readonly type: 'choice';
      readonly test: Expr;
      readonly chosen: Expr;
      readonly otherwise: Expr | undefined;
      readonly at: Origin;
    }
  | {
      readonly type: 'filter';
      readonly name: string;
      readonly input: Expr;
      readonly args: CallArgs;
      readonly at: Origin;
    }
  | {
      readonly type: 'test';
      readonly name: string;
      readonly input: Expr;
      readonly args: CallArgs;
      readonly negated: boolean;
      readonly at: Origin;
    }
  | {
      readonly type: 'method';
      readonly name: string;
      readonly object: Expr;
      readonly args: CallArgs;
      readonly at: Origin;
    }
  | { readonly type: 'function'; readonly name: string; readonly args: CallArgs; readonly at: Origin }
  /** `node(selector).register` */
  | { readonly type: 'node'; readonly selector: Expr; readonly register: string; readonly at: Origin }
  /** `secret('name')` */
  | { readonly type: 'secret'; readonly name: string; readonly at: Origin };

/** A part of a template. */
export type Statement =
  | { readonly type: 'text'; readonly text: string; readonly at: Origin }
  | { readonly type: 'output'; readonly value: Expr; readonly at: Origin }
  | {
      readonly type: 'if';
      readonly branches: readonly { readonly test: Expr; readonly body: readonly Statement[] }[];
      readonly otherwise: readonly Statement[];
      readonly at: Origin;
    }
  | {
      readonly type: 'for';
      readonly targets: readonly string[];
      readonly iterable: Expr;
      readonly filter: Expr | undefined;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
      readonly at: Origin;
    }
  | { readonly type: 'set'; readonly name: string; readonly value: Expr; readonly at: Origin };

/** A parsed template: text with `{{ }}`, `{% %}` and `{# #}`. */
export type Template = { readonly type: 'template'; readonly body: readonly Statement[]; readonly origin: Origin };

/** A parsed bare expression, such as a condition. */
export type Expression = { readonly type: 'expression'; readonly root: Expr; readonly origin: Origin };

/** The expressions an expression is made of, in reading order. */
export function childrenOf(expr: Expr): readonly Expr[] {
  switch (expr.type) {
    case 'literal':
    case 'name':
    case 'secret':
      return [];
    case 'attribute':
      return [expr.object];
    case 'item':
      return [expr.object, expr.key];
    case 'slice':
      return [expr.object, expr.from, expr.to, expr.step].filter((part) => part !== undefined);
    case 'list':
      return expr.items;
    case 'map':
      return expr.entries.flatMap((entry) => [entry.key, entry.value]);
    case 'unary':
      return [expr.operand];
    case 'binary':
    case 'logic':
      return [expr.left, expr.right];
    case 'concat':
      return expr.parts;
    case 'compare':
      return [expr.first, ...expr.rest.map((part) => part.value)];
    case 'choice':
      return [expr.test, expr.chosen, expr.otherwise].filter((part) => part !== undefined);
    case 'filter':
    case 'test':
      return [expr.input, ...argumentsOf(expr.args)];
    case 'method':
      return [expr.object, ...argumentsOf(expr.args)];
    case 'function':
      return argumentsOf(expr.args);
    case 'node':
      return [expr.selector];
  }
}

/** All argument expressions of a call. */
export function argumentsOf(args: CallArgs): readonly Expr[] {
  return [...args.named.values(), ...args.rest];
}
