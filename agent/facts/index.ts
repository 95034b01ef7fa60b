export { gatherForRule } from './for-rule.ts';
export { gatherFacts } from './gather.ts';
export type { Gathered } from './gathered.ts';
export { architectureOf } from './kernel.ts';
export { gatherPackageManager } from './package-manager.ts';
