/**
 * The one evaluator for templates and conditions in Jinja syntax (ENGINE 2.2 and 2.3): the controller analyses with it
 * when it compiles, the agent evaluates with it when a step starts. Pure, bounded, without code generation; undefined
 * is an error; a result is never evaluated again as a template.
 */
export { analyse, type FreeVariable } from './analyse.ts';
export type { Expr, Expression, Statement, Template } from './ast.ts';
export { type CompiledValue, compileValue, evaluateValue, templatesOf, type ValuePath } from './compiled.ts';
export { type ExprCode, ExprError, type Origin } from './errors.ts';
export { defaultLimits, type Limits } from './limits.ts';
export { type NodeRead, nodeReads } from './node-reads.ts';
export { evaluate, render } from './render.ts';
export { chainScopes, type Scope, scopeOf } from './scope.ts';
export { type SecretRead, secretReads } from './secret-reads.ts';
export { isTemplate, parseExpression, parseTemplate } from './template.ts';
export { isMap, truthy, typeName, type Value } from './value.ts';
