import { runWrapper } from './command-wrapper.ts';

await runWrapper(process.argv[2] ?? '.');
