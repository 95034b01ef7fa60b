/** Text to plan: `loadSources` reads the files, `parsePlan` makes the plan of them or says everything that is wrong. */
export { type ComponentFile, type Lock, lockText, type Pin, unpinned, withPins } from './components/index.ts';
export { builtinDefaults, defaultsOf, type RoleDefaults } from './defaults.ts';
export { type InventoryFile, parseInventory } from './inventory-file.ts';
export { diskPath, hashTree, loadSources } from './load.ts';
export { lockFile } from './paths.ts';
export { suggest } from './problems.ts';
export { planJsonSchema } from './schema.ts';
export { TASK_DEFAULTS } from './task-defaults.ts';
export type * from './types.ts';
export { type ParseOptions, parsePlan } from './validate.ts';
