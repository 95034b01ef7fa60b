/** Commands that people and scripts wait for, again and again: packaged, each is a file of its own. None may need the store. */
export const OFTEN: readonly string[] = ['exec', 'facts', 'logs', 'nodes', 'runs', 'status'];
