/** What a cluster can be told: every setting with its default and description, and which of them contradict each other. */
export type { ClusterNode, Contradiction } from './contradiction.ts';
export { clusterDefaultsText } from './defaults-text.ts';
export { judgeCluster } from './judge.ts';
export { OLDEST_MINOR } from './judge-versions.ts';
export { CLUSTER_DEFAULTS, CLUSTER_WIDE, ClusterConfig } from './schema.ts';
export { type Setting, settingsOf } from './settings.ts';
